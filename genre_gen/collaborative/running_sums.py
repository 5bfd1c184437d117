"""Running sums of item-to-item weights: the scores of all prefixes of a history by one product for each chunk.

A power law of age needs the whole history for each prefix. A sum of exponentials needs one running sum for each: what
is older than the present chunk enters the scores by some tens of sums instead of thousands of items.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.prefixes import Chunk, PrefixScorer

Matrix = NDArray[np.floating]
ERROR = 3e-5
"""The largest relative error of the weight of an item that is older than its chunk."""

FLOOR = 1e-7
"""The share of the last item's weight below which the error is relative to it: single precision loses such weights."""

MOST = 40
"""The largest number of exponentials; ages of a million need about 30."""


class RunningSums(PrefixScorer):
    """Adds up ``(1 + age) ** -recency`` times the weights of the distinct items of each prefix.

    Args:
        weights_of: returns what items add to all scores, ``[len(rows), n_items]``, dense or sparse.
        recency: the exponent of the ages, >= 0.
        n_items: size of the catalog.
    """

    def __init__(
        self,
        weights_of: Callable[[NDArray[np.int64]], NDArray[np.float32] | sparse.csr_matrix],
        recency: float,
        n_items: int,
    ) -> None:
        """Begin without a history."""
        self.weights_of, self.recency, self.n_items = weights_of, recency, n_items
        self.direct: Matrix = np.zeros(0)  # the weights of the ages within a chunk
        self.terms = np.zeros((0, n_items), dtype=np.float32)  # running sums first, then the weights of the chunk
        self.older = 0  # number of running sums

    def fresh(self) -> RunningSums:
        """Return one without a history."""
        return RunningSums(self.weights_of, self.recency, self.n_items)

    def score(self, chunk: Chunk, out: NDArray[np.float32]) -> None:
        """Multiply the sums of older items and the weights of the chunk's by their coefficients."""
        older, count = self.older, len(chunk)
        if len(self.terms) < MOST + count:  # pages that stay unused cost no memory
            more = np.empty((MOST + count - older, self.n_items), dtype=np.float32)
            self.terms = np.concatenate([self.terms[:older], more]) if older else more
            self.direct = (1.0 + np.arange(count)) ** -self.recency
        weights, terms = self.weights_of(chunk.rows), self.terms[: older + count]
        if isinstance(weights, np.ndarray):
            terms[older:] = weights
        else:
            weights.toarray(out=terms[older:])
        rates, shares = exponentials(self.recency, int(chunk.longest[0])) if older else (np.zeros(0), np.zeros(0))
        np.matmul(self._coefficients(chunk, rates, shares).astype(np.float32), terms, out=out)
        self._carry(chunk, terms, rates)

    def _coefficients(self, chunk: Chunk, rates: Matrix, shares: Matrix) -> Matrix:
        """Return the coefficient of each term in the scores of each prefix: ``[C, sums + C]``."""
        steps, lags, owners = np.arange(len(chunk)), chunk.lags, chunk.owners
        ages = steps[:, None] - steps
        recent = np.where((ages >= 0) & (owners[:, None] == owners), self.direct[np.maximum(ages, 0)], 0.0)
        repeated = np.flatnonzero(lags)
        for step in repeated[lags[repeated] <= repeated].tolist():
            recent[step:, step - lags[step]] = 0.0  # only the last occurrence counts
        continued = owners == owners[0]
        for step in repeated[lags[repeated] > repeated].tolist():  # the earlier occurrence is in the sums
            end = int(continued.sum())
            ages_then = np.arange(lags[step], lags[step] + end - step)
            recent[step:end, step] -= np.exp(-np.outer(ages_then, rates)) @ shares
        old = np.where(continued[:, None], np.exp(-np.outer(steps + 1, rates)) * shares, 0.0)
        return np.concatenate([old, recent], axis=1)

    def _carry(self, chunk: Chunk, terms: NDArray[np.float32], rates: Matrix) -> None:
        """Update the sums for the next chunk, which continues the last history, or drop them."""
        if not chunk.goes_on:
            self.older = 0
            return
        count, lags, same = len(chunk), chunk.lags, bool(chunk.owners[0] == chunk.owners[-1])
        if not (same and self.older):
            rates = exponentials(self.recency, int(chunk.longest[-1]))[0]
        factors = np.exp(-np.outer(rates, np.arange(count - 1, -1, -1)))
        factors[:, chunk.owners != chunk.owners[-1]] = 0.0
        repeated = np.flatnonzero(lags)
        ages = count - 1 - repeated + lags[repeated]  # of the earlier occurrences
        within = lags[repeated] <= repeated
        factors[:, (repeated - lags[repeated])[within]] = 0.0
        if same:
            factors[:, repeated[~within]] -= np.exp(-np.outer(rates, ages[~within]))
        added, sums = factors.astype(np.float32) @ terms[self.older :], self.terms[: len(rates)]
        if same and self.older:
            sums *= np.exp(-rates * count).astype(np.float32)[:, None]
            sums += added
        else:
            sums[:] = added
        self.older = len(rates)


def exponentials(recency: float, longest: int) -> tuple[Matrix, Matrix]:
    """Return rates and shares of exponentials whose sum is ``(1 + age) ** -recency`` for the ages 1 to ``longest``.

    ``sum of shares * exp(-rates * age)`` has a relative error of at most ERROR, above FLOOR. The power law is a mixture
    of exponentials, ``1 / gamma(r) * integral of s ** (r - 1) * exp(-(1 + age) * s) ds``; the rates form a geometric
    series, and the shares are those of least squares.
    """
    return _exponentials(float(recency), 2 ** int(np.ceil(np.log2(max(longest, 64)))))


@lru_cache(maxsize=256)
def _exponentials(recency: float, longest: int) -> tuple[Matrix, Matrix]:
    if recency == 0:
        return np.zeros(1), np.ones(1)
    ages = np.unique(np.round(np.geomspace(1, longest, 500)))
    wanted = (1 + ages) ** -recency
    scale = np.maximum(wanted, FLOOR)
    best: tuple[float, Matrix, Matrix] = (np.inf, np.zeros(0), np.zeros(0))
    for count in range(6, MOST + 1):
        for slowest in (0.1, 0.3, 1.0):
            for fastest in (2.0, 3.0, 5.0):
                rates = np.geomspace(slowest / longest, fastest, count)
                relative = np.exp(-np.outer(ages, rates)) / scale[:, None]
                shares = np.linalg.lstsq(relative, wanted / scale, rcond=None)[0]
                error = float(np.abs(relative @ shares - wanted / scale).max())
                if error < best[0] and np.abs(shares).sum() < 4:  # noqa: PLR2004 - more would cancel out
                    best = error, rates, shares
        if best[0] <= ERROR:
            break
    return best[1], best[2]
