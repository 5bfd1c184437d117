"""Peers of the leaderboard that are not part of the package."""
