"""The best items of a blend for many histories: the sum of standardised scores, in few passes and single precision.

Scores are ``[n_items, B]`` here: those of an item for all histories of a batch are next to each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import blended
from genre_gen.data.batches import batches

TRUSTED = 1e-2
"""The least variance, as a share of the squared mean, for which sums in single precision are exact enough."""

CACHED = 1024
"""Items at a time whose scores are added up."""

NOISE = 1e-9
"""The least spread, as a share of the largest score, that is not taken for rounding errors of equal scores."""


@dataclass(frozen=True)
class Excluded:
    """The cells ``[n_items, B]`` of a batch that are not allowed; the same one may be named twice.

    Attributes:
        everywhere: int64, catalog rows that are not allowed to any history.
        rows: int64 ``[m]``, catalog rows of other cells.
        histories: int64 ``[m]``, their places in the batch.
        counts: int64 ``[B]``, the number of allowed items of each history.
    """

    everywhere: NDArray[np.int64]
    rows: NDArray[np.int64]
    histories: NDArray[np.int64]
    counts: NDArray[np.int64]

    def fill(self, scores: NDArray[np.float32], value: float) -> None:
        """Set the excluded cells."""
        scores[self.everywhere] = value
        scores[self.rows, self.histories] = value

    def allowed(self, n_items: int) -> NDArray[np.bool_]:
        """Return what is allowed: bool ``[n_items, B]``."""
        allowed = np.ones((n_items, len(self.counts)), dtype=bool)
        allowed[self.everywhere] = False
        allowed[self.rows, self.histories] = False
        return allowed


def likeliest(
    scores: Iterable[NDArray[np.float32]], weights: Sequence[float], excluded: Excluded, n_items: int, top: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the best items of a blend, which equals that of :func:`genre_gen.blending.blend.blended` up to rounding.

    Args:
        scores: float32 ``[n_items, B]`` of each member, which are overwritten. Each is read while it is in the
            processor's cache, if it is computed when it is asked for.
        weights: the members' weights, > 0.
        excluded: what is not allowed.
        n_items: the size of the catalog.
        top: number of items, at most ``n_items``.

    Returns:
        Rows and blended scores ``[B, top]``, best first, ties by row. Scores lack a constant for each history; they are
        ``-inf`` for items that are not allowed, and for all items where all have the same score.
    """
    import torch

    batch = len(excluded.counts)
    block = max(1, min(64, n_items // (8 * top)))
    padded = np.full((-(-n_items // block) * block, batch), -np.inf, dtype=np.float32)
    total = padded[:n_items]
    total[:] = 0.0
    telling, finite, kept = np.zeros(batch, dtype=bool), True, []
    for of_member, weight in zip(scores, weights, strict=True):
        scales = scales_of(of_member, excluded)
        telling |= scales > 0
        finite = finite and bool(np.isfinite(scales).all())
        factors = (scales * weight).astype(np.float32)
        torch.from_numpy(total).addcmul_(torch.from_numpy(of_member), torch.from_numpy(factors))
        kept.append(of_member)
    if not finite:  # some member has no finite score for some item
        allowed, names = excluded.allowed(n_items).T, [str(number) for number in range(len(kept))]
        by_history = dict(zip(names, (of_member.T for of_member in kept), strict=True))
        exact = blended(by_history, dict(zip(names, weights, strict=True)), allowed).total
        total[:], telling = exact.T, exact.max(axis=1) > 0
    excluded.fill(padded, -np.inf)
    rows, values = best_items(padded, block, top)
    return rows, np.where(telling[:, None], values, -np.inf)


def scales_of(scores: NDArray[np.float32], excluded: Excluded) -> NDArray[np.float64]:
    """Return one divided by the standard deviation of each history's allowed scores; 0 where all are equal.

    A history with a score that is not finite has NaN. The scores ``[n_items, B]`` become 0 where they are excluded, and
    are centred where they are far from 0.
    """
    excluded.fill(scores, 0.0)
    count, ones = np.maximum(excluded.counts, 1), np.ones(CACHED, np.float32)
    sums, squares = np.zeros((2, scores.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):
        for part in batches(scores, CACHED):  # its squares stay in the processor's cache
            sums += ones[: len(part)] @ part
            squares += ones[: len(part)] @ np.square(part)
        variance = squares / count - (sums / count) ** 2
        doubtful = np.flatnonzero((variance < TRUSTED * (sums / count) ** 2) & np.isfinite(squares))
    scales = np.where(np.isfinite(squares), 0.0, np.nan)
    if len(doubtful):
        allowed, exact = excluded.allowed(len(scores))[:, doubtful], scores[:, doubtful].astype(np.float64)
        centred = exact - exact.sum(axis=0) / count[doubtful]
        variance[doubtful] = np.where(allowed, centred**2, 0.0).sum(axis=0) / count[doubtful]
        # The rounding errors of equal scores must not be scaled up to standard deviations.
        variance[doubtful[variance[doubtful] <= (NOISE * np.abs(exact).max(axis=0)) ** 2]] = 0.0
        scores[:, doubtful] = centred  # or the blend would lose their differences in single precision
    return np.divide(1.0, np.sqrt(np.maximum(variance, 0.0)), out=scales, where=variance > 0)


def best_items(scores: NDArray[np.float32], block: int, top: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ``top`` best rows of each column and their values ``[B, top]``, best first, ties by row.

    The rows are divided into blocks; only blocks whose maximum is among the ``top`` best are looked into. ``scores`` is
    ``[height, B]``, ``height`` a multiple of ``block``.
    """
    height, batch = scores.shape
    blocks = scores.reshape(block, height // block, batch)
    maxima = np.ascontiguousarray(blocks.max(axis=0).T) if block > 1 else scores.T
    least = -np.partition(-maxima, top - 1, axis=1)[:, top - 1]
    history, chosen = np.nonzero(maxima >= least[:, None])
    inside, chosen_too = np.nonzero(blocks[:, chosen, history] >= least[history])
    history, rows = history[chosen_too], inside * (height // block) + chosen[chosen_too]
    order = np.argsort(history, kind="stable")
    history, rows = history[order], rows[order]
    # One integer holds score and row, so that one sort finds the best and breaks ties.
    bits = (-scores[rows, history]).view(np.uint32)
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    counts = np.bincount(history, minlength=batch)
    keys = np.full((batch, counts.max()), np.iinfo(np.uint64).max)
    keys[history, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)] = (
        ascending << np.uint64(32)
    ) | rows.astype(np.uint64)
    best = (np.sort(keys, axis=1)[:, :top] & np.uint64(2**32 - 1)).astype(np.int64)
    return best, scores[best, np.arange(batch)[:, None]]
