"""Are explanations true, and do they say what picks depend on?"""
