"""Training: from data and settings to a recommender's state."""
