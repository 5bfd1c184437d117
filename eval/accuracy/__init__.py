"""How good are recommendations, and what makes them so?"""
