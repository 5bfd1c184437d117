"""Peers of the leaderboard that the package itself does not ship."""
