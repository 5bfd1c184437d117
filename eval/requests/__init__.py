"""How much does a request in free text improve the ranking, and is it obeyed?"""
