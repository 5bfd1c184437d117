"""The best items of a blend for many histories: the sum of standardised scores, in few passes and single precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import blended

TRUSTED = 1e-2
"""The least variance, as a share of the squared mean, for which sums in single precision are exact enough."""

NOISE = 1e-9
"""The least spread, as a share of the largest score, that is not taken for rounding errors of equal scores."""


@dataclass(frozen=True)
class Excluded:
    """The cells ``[B, n_items]`` of a batch that are not allowed; the same one may be named twice.

    Attributes:
        histories: int64 ``[m]``, places in the batch.
        rows: int64 ``[m]``, catalog rows.
        counts: int64 ``[B]``, the number of allowed items of each history.
    """

    histories: NDArray[np.int64]
    rows: NDArray[np.int64]
    counts: NDArray[np.int64]

    def fill(self, scores: NDArray[np.float32], value: float) -> None:
        """Set the excluded cells of contiguous scores ``[B, width]``."""
        scores.reshape(-1)[self.histories * scores.shape[1] + self.rows] = value

    def allowed(self, batch: NDArray[np.integer], n_items: int) -> NDArray[np.bool_]:
        """Return what is allowed to some histories of the batch: bool ``[len(batch), n_items]``."""
        allowed = np.ones((len(self.counts), n_items), dtype=bool)
        allowed[self.histories, self.rows] = False
        return allowed[batch]


def likeliest(
    scores: NDArray[np.float32],
    scales: NDArray[np.float64],
    weights: Sequence[float],
    excluded: Excluded,
    top: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the best items of a blend, which equals that of :func:`genre_gen.blending.blend.blended` up to rounding.

    Args:
        scores: float32 ``[members, B, n_items]``, as ``scales_of`` left them.
        scales: ``[members, B]``, the output of ``scales_of``.
        weights: the members' weights, > 0.
        excluded: what is not allowed.
        top: number of items, at most ``n_items``.

    Returns:
        Rows and blended scores ``[B, top]``, best first, ties by row. Scores lack a constant for each history; they are
        ``-inf`` for items that are not allowed, and for all items where all have the same score.
    """
    _, batch, n_items = scores.shape
    block = max(1, min(64, n_items // (8 * top)))
    padded = np.full((batch, -(-n_items // block) * block), -np.inf, dtype=np.float32)
    total = padded[:, :n_items]
    scales = scales * np.asarray(weights)[:, None]
    if np.isfinite(scales).all():
        factors = np.ascontiguousarray(scales.T, dtype=np.float32)[:, None]  # [B, 1, members]
        np.matmul(factors, scores.transpose(1, 0, 2), out=total[:, None])
        excluded.fill(padded, -np.inf)
        telling = scales.max(axis=0) > 0
    else:  # some member has no finite score for some item
        allowed = excluded.allowed(np.arange(batch), n_items)
        names = [str(number) for number in range(len(scores))]
        exact = blended(dict(zip(names, scores, strict=True)), dict(zip(names, weights, strict=True)), allowed).total
        total[:], telling = exact, exact.max(axis=1) > 0
    rows, values = best_items(padded, block, top)
    return rows, np.where(telling[:, None], values, -np.inf)


def scales_of(scores: NDArray[np.float32], excluded: Excluded) -> NDArray[np.float64]:
    """Return one divided by the standard deviation of each history's allowed scores; 0 where all are equal.

    A history with a score that is not finite has NaN. The scores ``[B, n_items]`` become 0 where they are excluded, and
    are centred where they are far from 0.
    """
    excluded.fill(scores, 0.0)
    count = np.maximum(excluded.counts, 1)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = (scores @ np.ones(scores.shape[1], np.float32)).astype(np.float64)
        squares = (scores[:, None] @ scores[:, :, None])[:, 0, 0].astype(np.float64)
        variance = squares / count - (sums / count) ** 2
        doubtful = np.flatnonzero((variance < TRUSTED * (sums / count) ** 2) & np.isfinite(squares))
    scales = np.where(np.isfinite(squares), 0.0, np.nan)
    if len(doubtful):
        allowed, exact = excluded.allowed(doubtful, scores.shape[1]), scores[doubtful].astype(np.float64)
        centred = exact - exact.sum(axis=1, keepdims=True) / count[doubtful, None]
        variance[doubtful] = np.where(allowed, centred**2, 0.0).sum(axis=1) / count[doubtful]
        # The rounding errors of equal scores must not be scaled up to standard deviations.
        variance[doubtful[variance[doubtful] <= (NOISE * np.abs(exact).max(axis=1)) ** 2]] = 0.0
        scores[doubtful] = centred  # or the blend would lose their differences in single precision
    return np.divide(1.0, np.sqrt(np.maximum(variance, 0.0)), out=scales, where=variance > 0)


def best_items(scores: NDArray[np.float32], block: int, top: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ``top`` best columns of each row and their values, best first, ties by column.

    The columns are divided into blocks; only the ``top`` blocks with the best maxima are looked into. ``scores`` is
    ``[B, width]``, ``width`` a multiple of ``block``.
    """
    batch, width = scores.shape
    blocks = scores.reshape(batch, block, width // block)  # a block is a column of these
    maxima = blocks.max(axis=1) if block > 1 else scores
    chosen = np.argpartition(-maxima, top - 1, axis=1)[:, :top]
    least = np.take_along_axis(maxima, chosen, axis=1).min(axis=1)
    columns = (np.arange(block)[:, None] * (width // block) + chosen[:, None]).reshape(batch, -1)
    candidates = np.take_along_axis(scores, columns, axis=1)
    cells = np.flatnonzero(candidates >= least[:, None])
    history = cells // candidates.shape[1]
    # One integer holds score and column, so that one sort finds the best and breaks ties.
    bits = (-candidates.reshape(-1)[cells]).view(np.uint32)
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    counts = np.bincount(history, minlength=batch)
    keys = np.full((batch, counts.max()), np.iinfo(np.uint64).max)
    keys[history, np.arange(len(cells)) - np.repeat(np.cumsum(counts) - counts, counts)] = (
        ascending << np.uint64(32)
    ) | columns.reshape(-1)[cells].astype(np.uint64)
    best = (np.sort(keys, axis=1)[:, :top] & np.uint64(2**32 - 1)).astype(np.int64)
    return best, np.take_along_axis(scores, best, axis=1)
