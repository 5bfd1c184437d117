"""Ranking: the currency between all parts of GENRE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranking:
    """Items in order of preference, best first.

    Attributes:
        rows: int64 ``[n]``, catalog rows (positions in the catalog), each at most once.
        scores: float32 ``[n]``, finite and non-increasing; their unit depends on who made the ranking
            (log-probability for the LLM, standard deviations for a blend).
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of ranked items."""
        return len(self.rows)

    @classmethod
    def from_scores(
        cls, scores: NDArray[np.floating], n: int | None = None, allowed: NDArray[np.bool_] | None = None
    ) -> Ranking:
        """Rank catalog rows by score.

        Args:
            scores: ``[n_items]``; an item whose score is not finite is never ranked (fail closed).
            n: how many to keep; ``None`` keeps all.
            allowed: bool ``[n_items]``; items that may appear. ``None`` allows all.

        Returns:
            At most ``n`` items; equal scores are ordered by catalog row, so the result is deterministic.
        """
        usable = np.isfinite(scores)
        if allowed is not None:
            usable &= allowed
        rows = np.flatnonzero(usable)
        values = scores[rows].astype(np.float32)
        if n is not None and n < len(rows):
            # Everything that ties with the n-th score stays in, so that the stable sort decides by row.
            threshold = np.partition(values, len(values) - n)[len(values) - n]
            keep = values >= threshold
            rows, values = rows[keep], values[keep]
        order = np.argsort(-values, kind="stable")[:n]
        return cls(rows[order].astype(np.int64), values[order])

    def top(self, n: int) -> Ranking:
        """Return the first ``n`` items."""
        return Ranking(self.rows[:n], self.scores[:n])


def standardised(scores: NDArray[np.floating], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return scores in standard deviations from the mean of each user's allowed items: float64 ``[B, n_items]``.

    An allowed item that scores ``-inf`` takes the lowest finite score. NaN stays out of the mean and becomes 0, as do
    all items that are not allowed, and scores that do not differ.
    """
    known = allowed & ~np.isnan(scores)
    usable = known & np.isfinite(scores)
    lowest = np.where(usable, scores, np.inf).min(axis=1, keepdims=True)
    filled = np.where(usable, scores, np.where(np.isfinite(lowest), lowest, 0.0)).astype(np.float64)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = np.where(known, filled - np.where(known, filled, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    # Equal scores leave rounding errors, which must not be blown up to standard deviations.
    noise = 1e-9 * np.abs(filled).max(axis=1, keepdims=True, initial=0.0)
    return np.where(spread > noise, centred / np.where(spread > noise, spread, 1.0), 0.0)


def shares(
    scores: Mapping[str, NDArray[np.floating]], weights: Mapping[str, float], allowed: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Return each member's share of the blended scores: member -> float64 ``[B, n_items]``.

    A share is the weight times the standardised score. A member that has NaN for an item knows nothing of it (nobody
    has had it yet, and the member counts who had what); its share is then what the members that know all items let
    expect: the regression of its shares on theirs, over what the user may get and it knows. Counted as nothing
    instead, such an item would lose to all that anybody has had; left to the others alone, it would beat them.

    Args:
        scores: member -> ``[B, n_items]``, all of which take part; NaN for what the member knows nothing of, ``-inf``
            for what it puts below all others.
        weights: member -> weight.
        allowed: bool ``[B, n_items]``.
    """
    parts = {name: weights[name] * standardised(values, allowed) for name, values in scores.items()}
    gaps = {name: gap for name, values in scores.items() if (gap := np.isnan(values)).any()}
    others = sum((part for name, part in parts.items() if name not in gaps), np.zeros(allowed.shape))
    for name, gap in gaps.items():
        parts[name] = np.where(gap & allowed, _expected(parts[name], others, allowed & ~gap), parts[name])
    return parts


def _expected(own: NDArray[np.float64], others: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the linear regression of ``own`` on ``others`` over what is ``known``, at all items: ``[B, n_items]``."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    middle_own, middle = (np.where(known, one, 0.0).sum(axis=1, keepdims=True) / count for one in (own, others))
    apart = np.where(known, others - middle, 0.0)
    spread = (apart**2).sum(axis=1, keepdims=True)
    slope = (apart * (own - middle_own)).sum(axis=1, keepdims=True) / np.where(spread > 0, spread, 1.0)
    return middle_own + slope * (others - middle)


def blended(
    scores: Mapping[str, NDArray[np.floating]], weights: Mapping[str, float], allowed: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the sum of the members' shares: float32 ``[B, n_items]``; see :func:`shares`.

    Returns:
        ``-inf`` where an item is not allowed or no member has a score for it.
    """
    scored = np.zeros(allowed.shape, dtype=bool)
    for values in scores.values():
        scored |= np.isfinite(values)
    total = sum(shares(scores, weights, allowed).values(), np.zeros(allowed.shape))
    return np.where(scored & allowed, total, -np.inf).astype(np.float32)
