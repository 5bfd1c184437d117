"""What does training take, and what does it bring?"""
