"""Synthetic histories: real ones in which one item is replaced by an item with a similar text.

Rare and cold items have too few interactions to learn from; items with similar texts show whose histories they
might be in. Rare items are inserted most often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.history import History
from genre_gen.tasks.base import TaskData


def synthetic(data: TaskData, n: int, rng: np.random.Generator) -> Iterator[tuple[History, int, NDArray[np.int64]]]:
    """Try to make ``n`` synthetic histories; those that already have the item, or have no other, are left out.

    Yields:
        The history, at most a window long; the number of its first items that are context only (those before the new
        item, which ordinary examples have as targets already); and the interaction of each item, int64 ``[items]``,
        -1 for the new one.
    """
    similar, interactions = data.text_similarity, data.interactions
    counts = np.bincount(interactions.rows, minlength=len(data.catalog))
    weights = (np.diff(similar.indptr) > 0) / (1.0 + counts)
    if not weights.any():
        return
    by_item = np.argsort(interactions.rows, kind="stable")  # groups the interactions of an item
    first = np.concatenate([[0], np.cumsum(counts)])
    for row in rng.choice(len(weights), size=n, p=weights / weights.sum()).tolist():
        cells = slice(similar.indptr[row], similar.indptr[row + 1])
        shares = similar.data[cells] / similar.data[cells].sum(dtype=np.float64)
        other = int(rng.choice(similar.indices[cells], p=shares))
        history, position, origins = _around(data, int(by_item[rng.integers(first[other], first[other + 1])]))
        if len(history) > 1 and row not in history.rows:
            rows = history.rows.copy()
            rows[position], origins[position] = row, -1
            yield replace(history, rows=rows), position, origins


def _around(data: TaskData, index: int) -> tuple[History, int, NDArray[np.int64]]:
    """Return the window around an interaction, the interaction's position in it, and the window's interactions."""
    interactions, window = data.interactions, data.domain.training.window
    user_row = int(np.searchsorted(interactions.offsets, index, side="right")) - 1
    begin = max(int(interactions.offsets[user_row]), index - window // 2)
    end = min(int(interactions.offsets[user_row + 1]), begin + window)
    start = begin - int(interactions.offsets[user_row])
    return interactions.history_at(user_row).slice(start, start + end - begin), index - begin, np.arange(begin, end)
