"""How well are ratings predicted?"""
