"""Metrics of ranking, rating and lists. They see ranks, ratings and lists, and know no model.

A rank is 1 for the best; items that tie with the target count half, so a rank may end in .5 and no order of the
catalog can flatter a model. ``recall_at`` and its relatives return one value per user: their mean is the figure of a
table, and the intervals and tests of :mod:`genre_gen.evaluation.significance` need the single values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genre_gen.errors import UsageError


def ranks(
    scores: NDArray[np.floating], targets: NDArray[np.integer], allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return the rank of each target among the allowed items.

    Args:
        scores: ``[B, n_items]``, higher is better; an item whose score is not finite is not ranked.
        targets: ``[B]`` catalog rows. A target always takes part, allowed or not.
        allowed: bool ``[B, n_items]``; None allows all.

    Returns:
        float64 ``[B]``: ``1 + items above + tied items / 2``; infinite where the target's own score is not finite.
    """
    targets = np.asarray(targets)
    own = np.take_along_axis(scores, targets[:, None], axis=1)  # [B, 1]
    rivals = np.isfinite(scores)
    if allowed is not None:
        rivals &= allowed
    np.put_along_axis(rivals, targets[:, None], values=False, axis=1)
    above = ((scores > own) & rivals).sum(axis=1)
    tied = ((scores == own) & rivals).sum(axis=1)
    return np.where(np.isfinite(own[:, 0]), 1.0 + above + tied / 2, np.inf)


def ranks_in_lists(lists: NDArray[np.integer], targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the rank of each target in a ready list of recommendations.

    Args:
        lists: int ``[B, n]`` catalog rows, best first; -1 where a list is shorter.
        targets: ``[B]`` catalog rows.

    Returns:
        float64 ``[B]``; infinite (a miss at every cut) where the list lacks the target.
    """
    found = np.asarray(lists) == np.asarray(targets)[:, None]
    return np.where(found.any(axis=1), 1.0 + found.argmax(axis=1), np.inf)


def recall_at(ranks: NDArray[np.float64], at: int) -> NDArray[np.float64]:
    """Return 1 for each target within the first ``at``, else 0 (with one target per user also the hit rate)."""
    return (ranks <= at).astype(np.float64)


def ndcg_at(ranks: NDArray[np.float64], at: int) -> NDArray[np.float64]:
    """Return ``1 / log2(1 + rank)`` for each target within the first ``at``, else 0; one target, so the ideal is 1."""
    return np.where(ranks <= at, 1.0 / np.log2(1.0 + ranks), 0.0)


def mrr_at(ranks: NDArray[np.float64], at: int) -> NDArray[np.float64]:
    """Return ``1 / rank`` for each target within the first ``at``, else 0."""
    return np.where(ranks <= at, 1.0 / ranks, 0.0)


def rmse(predicted: ArrayLike, actual: ArrayLike) -> float:
    """Return the root of the mean squared error of predicted ratings; raises UsageError where it is undefined."""
    return float(np.sqrt(np.mean(_errors(predicted, actual) ** 2)))


def mae(predicted: ArrayLike, actual: ArrayLike) -> float:
    """Return the mean absolute error of predicted ratings; raises UsageError where it is undefined."""
    return float(np.mean(np.abs(_errors(predicted, actual))))


def _errors(predicted: ArrayLike, actual: ArrayLike) -> NDArray[np.float64]:
    guess, truth = np.asarray(predicted, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    if guess.shape != truth.shape or guess.size == 0:
        raise UsageError(f"{guess.shape} predictions for {truth.shape} ratings; give one each, and at least one")
    if not (np.isfinite(guess).all() and np.isfinite(truth).all()):
        raise UsageError("a prediction or a rating is not a finite number; drop the unrated cases first")
    return guess - truth


def coverage(lists: NDArray[np.integer], n_items: int) -> float:
    """Return the share of the catalog that appears in anybody's list (int ``[B, n]``, -1 = no item)."""
    return len(np.unique(lists[lists >= 0])) / n_items


def novelty(lists: NDArray[np.integer], counts: NDArray[np.integer]) -> float:
    """Return the mean self-information of the recommended items in bits: ``-log2(share of interactions)``.

    Args:
        lists: int ``[B, n]`` catalog rows, -1 = no item.
        counts: ``[n_items]`` training interactions; 1 is added, so that an item never seen stays finite.

    Returns:
        Higher is more novel; nan for empty lists.
    """
    shown = lists[lists >= 0]
    if len(shown) == 0:
        return float("nan")
    smoothed = np.asarray(counts, dtype=np.float64) + 1.0
    return float(-np.log2(smoothed[shown] / smoothed.sum()).mean())


def mean_popularity(lists: NDArray[np.integer], counts: NDArray[np.integer]) -> float:
    """Return the mean number of training interactions of the recommended items; nan for empty lists."""
    shown = lists[lists >= 0]
    return float(np.asarray(counts)[shown].mean()) if len(shown) else float("nan")
