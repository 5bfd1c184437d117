"""Ranking: the currency between all parts of GENRE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.arguments import check_count


@dataclass(frozen=True)
class Ranking:
    """Items in order of preference, best first.

    Attributes:
        rows: int64 ``[n]``, catalog rows (positions in the catalog), each at most once.
        scores: float32 ``[n]``, finite and non-increasing; their unit depends on the source of the ranking
            (log-probability for the LLM, standard deviations for a blend).

    Example:
        >>> Ranking.from_scores(np.array([0.1, 0.9, 0.5]), n=2).rows.tolist()
        [1, 2]
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
            scores: ``[n_items]``; items without a finite score are not ranked (fail closed).
            n: number of items to keep; ``None`` keeps all.
            allowed: bool ``[n_items]``; items that may appear. ``None`` allows all.

        Returns:
            At most ``n`` items; equal scores are ordered by catalog row, so the result is deterministic.
        """
        if n is not None:
            check_count(n, "n", "rank at least one item")
        usable = np.isfinite(scores)
        if allowed is not None:
            usable &= allowed
        large = n is not None and len(scores) > _LARGE * n
        rows = _promising(scores, usable, n) if large else np.flatnonzero(usable)  # type: ignore[arg-type]
        values = scores[rows].astype(np.float32)
        if n is not None and n < len(rows):
            # All items that tie with the n-th score are kept, so that the stable sort orders them by row.
            # Negated: near the end of an array of mostly equal values, partition is 70 times slower.
            threshold = -np.partition(-values, n - 1)[n - 1]
            keep = values >= threshold
            rows, values = rows[keep], values[keep]
        order = np.argsort(-values, kind="stable")[:n]
        return cls(rows[order].astype(np.int64), values[order])

    def top(self, n: int) -> Ranking:
        """Return the first ``n`` items."""
        return Ranking(self.rows[:n], self.scores[:n])


_LARGE = 1024  # items for each that is asked for, above which most are ruled out before they are sorted


def _promising(scores: NDArray[np.floating], usable: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    """Return the usable rows that may be among the ``n`` best, ties included.

    There are ``n`` blocks of rows whose best is at least as good as the ``n``-th best of all blocks' best. So no row
    below that is among the ``n`` best.
    """
    values, blocks = scores.astype(np.float32), 16 * n
    np.copyto(values, -np.inf, where=~usable)
    best = values[: len(values) // blocks * blocks].reshape(blocks, -1).max(axis=1)
    return np.flatnonzero(usable & (values >= np.partition(best, blocks - n)[blocks - n]))
