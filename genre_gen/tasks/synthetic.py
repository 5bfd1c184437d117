"""Synthetic histories: real ones in which an item stands in for another that is described alike.

Items that few or none have had yet are learned from too little; what is described like them tells whose histories they
might stand in. Rare items stand in most often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.interactions import History
from genre_gen.tasks.base import TaskData


def synthetic(data: TaskData, n: int, rng: np.random.Generator) -> Iterator[tuple[History, int, NDArray[np.int64]]]:
    """Yield made-up histories.

    Args:
        data: catalog, interactions and the size of a training window.
        n: how many are tried; those are left out whose history holds the item already, or nothing else.
        rng: decides.

    Yields:
        The history, at most a window long; how many of its first items only give context (those before the item that
        stands in, which ordinary examples have as targets already); and which interaction each item comes from, int64
        ``[items]``, -1 for the one that stands in.
    """
    similar, known = data.text_similarity, data.interactions
    counts = np.bincount(known.rows, minlength=len(data.catalog))
    weights = (np.diff(similar.indptr) > 0) / (1.0 + counts)
    if not weights.any():
        return
    by_item = np.argsort(known.rows, kind="stable")  # the interactions of an item stand together
    first = np.concatenate([[0], np.cumsum(counts)])
    for row in rng.choice(len(weights), size=n, p=weights / weights.sum()).tolist():
        cells = slice(similar.indptr[row], similar.indptr[row + 1])
        alike = similar.data[cells] / similar.data[cells].sum(dtype=np.float64)
        other = int(rng.choice(similar.indices[cells], p=alike))
        history, place, origins = _around(data, int(by_item[rng.integers(first[other], first[other + 1])]))
        if len(history) > 1 and row not in history.rows:
            rows = history.rows.copy()
            rows[place], origins[place] = row, -1
            yield replace(history, rows=rows), place, origins


def _around(data: TaskData, place: int) -> tuple[History, int, NDArray[np.int64]]:
    """Return the window around an interaction, where that is in it, and which interactions it consists of."""
    known, window = data.interactions, data.domain.training.window
    user_row = int(np.searchsorted(known.offsets, place, side="right")) - 1
    begin = max(int(known.offsets[user_row]), place - window // 2)
    end = min(int(known.offsets[user_row + 1]), begin + window)
    start = begin - int(known.offsets[user_row])
    return known.history_at(user_row).slice(start, start + end - begin), place - begin, np.arange(begin, end)
