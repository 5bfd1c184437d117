"""What does it cost to restrict a language model to a catalog?"""
