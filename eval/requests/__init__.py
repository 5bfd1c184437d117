"""What is a request in free text worth, and is it obeyed?"""
