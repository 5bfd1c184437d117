"""What does a request cost?"""
