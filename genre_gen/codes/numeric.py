"""Numeric codes: the digits of an item's row, the field's plainest baseline (P5, OpenP5)."""

from __future__ import annotations

import numpy as np

from genre_gen.codes.base import Codes


def numeric(n_items: int, width: int = 10) -> Codes:
    """Write each row as a number of base ``width``, the most significant digit first, all of equal length.

    Args:
        n_items: number of items.
        width: number of digits; digit ``k`` is the code token ``<digit_k>``.
    """
    length = 1
    while width**length < n_items:
        length += 1
    powers = width ** np.arange(length - 1, -1, -1, dtype=np.int64)
    codes = np.arange(n_items, dtype=np.int64)[:, None] // powers % width
    return Codes("numeric", codes, tuple(f"<digit_{k}>" for k in range(width)))
