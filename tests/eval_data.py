"""Interactions in which the right answer is known."""

from __future__ import annotations

import numpy as np

from genre_gen.data.interactions import Interactions

ITEMS = 12


def cycles(users: int = 24, length: int = 7, rated: bool = False) -> Interactions:
    """Return users who walk around a circle of items, each from another start."""
    rows = np.concatenate([(np.arange(length) + user) % ITEMS for user in range(users)])
    names = np.repeat([f"u{user}" for user in range(users)], length)
    ratings = (1 + (rows * 7 + np.arange(len(rows)) * 3) % 5).astype(np.float32) if rated else None
    return Interactions.from_columns(names, rows, ITEMS, ratings, np.arange(len(rows)))
