"""The recommender: what it holds, what it answers, and how it is saved."""
