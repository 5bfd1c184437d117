"""Peers of the leaderboard that the package itself does not ship, and how any model's cases are ranked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from genre_gen.evaluation import metrics
from genre_gen.interactions import Case, History, allowed_items

BATCH = 256


def ranks_of(
    score: Callable[[Sequence[History]], NDArray[np.float32]],
    cases: Sequence[Case],
    n_items: int,
    repeat: bool = False,
) -> NDArray[np.float64]:
    """Return the rank of each case's target among all items but those of the history.

    Args:
        score: float32 ``[len(histories), n_items]`` for histories.
        cases: histories and targets.
        n_items: size of the catalog.
        repeat: whether items of the history take part.

    Returns:
        float64 ``[len(cases)]``, 1 for the best; ties count half.
    """
    found = [np.zeros(0)]
    for begin in range(0, len(cases), BATCH):
        part = cases[begin : begin + BATCH]
        histories = [case.history for case in part]
        targets = np.array([case.target for case in part], dtype=np.int64)
        found.append(metrics.ranks(score(histories), targets, allowed_items(histories, n_items, repeat)))
    return np.concatenate(found)


def mean_ndcg(ranks: NDArray[np.float64], at: int = 10) -> float:
    """Return the mean NDCG of ranks."""
    return float(metrics.ndcg_at(ranks, at).mean())
