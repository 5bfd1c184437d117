"""Are explanations true, and do they cite what picks depend on?"""
