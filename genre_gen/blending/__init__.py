"""Blending: weighted sums of members' scores, with weights chosen on validation cases; ratings; re-ranking."""
