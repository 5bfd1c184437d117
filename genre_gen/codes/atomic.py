"""Atomic codes: one token of its own for each item, the only scheme that one forward pass decodes exactly."""

from __future__ import annotations

import numpy as np

from genre_gen.codes.base import Codes


def atomic(n_items: int) -> Codes:
    """Give the item in row ``k`` the one code token ``k``, called ``<item_k>``."""
    return Codes("atomic", np.arange(n_items, dtype=np.int64)[:, None], tuple(f"<item_{k}>" for k in range(n_items)))
