"""Is data of the public shapes that people bring read right, or refused with a remedy that works?"""
