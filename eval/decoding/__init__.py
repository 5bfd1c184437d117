"""What does it cost to keep a language model to a catalog?"""
