"""Blending: members' scores joined into one, with weights chosen on validation cases; ratings; re-ranking."""
