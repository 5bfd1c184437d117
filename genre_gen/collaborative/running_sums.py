"""Running sums of item-to-item weights: the scores of all prefixes of a history by two products for each chunk.

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
        longest: the length of the longest history.
    """

    def __init__(
        self,
        weights_of: Callable[[NDArray[np.int64]], NDArray[np.float32] | sparse.csr_matrix],
        recency: float,
        longest: int,
    ) -> None:
        """Begin without a history."""
        self.weights_of, self.recency, self.longest = weights_of, recency, longest
        self.direct: Matrix = np.zeros((0, 0))  # the coefficients of a chunk's items, if all are distinct
        self.sums: NDArray[np.float32] | None = None  # of the chunks before: [n_items, rates]

    def score(self, chunk: Chunk) -> NDArray[np.float32]:
        """Add the weights of the chunk's items, and the sums of older ones, in the proportions of each prefix."""
        import torch

        weights = self.weights_of(chunk.rows).T
        rates, shares = exponentials(self.recency, self.longest)
        recent = self._of_recent(chunk, rates, shares).astype(np.float32)
        scores: NDArray[np.float32] = np.asarray(weights @ recent, order="C")
        steps = np.arange(1, len(chunk) + 1)
        if chunk.places[0] and self.sums is not None:
            old = (np.exp(-np.outer(rates, steps)) * shares[:, None]).astype(np.float32)
            torch.from_numpy(scores).addmm_(torch.from_numpy(self.sums), torch.from_numpy(old))
        if chunk.goes_on:
            added = weights @ self._of_sums(chunk, rates).astype(np.float32)
            if chunk.places[0] and self.sums is not None:
                self.sums *= np.exp(-rates * len(chunk)).astype(np.float32)
                self.sums += added
            else:
                self.sums = added
        return scores

    def _of_recent(self, chunk: Chunk, rates: Matrix, shares: Matrix) -> Matrix:
        """Return the coefficient of each of a chunk's items in the scores of each prefix: ``[C, C]``."""
        count, lags = len(chunk), chunk.lags
        if len(self.direct) < count:
            ages = np.arange(count) - np.arange(count)[:, None]
            self.direct = np.where(ages >= 0, (1.0 + np.abs(ages)) ** -self.recency, 0.0)
        recent = self.direct[:count, :count] * (chunk.owners[:, None] == chunk.owners)
        repeated = np.flatnonzero(lags)
        for step in repeated[lags[repeated] <= repeated].tolist():
            recent[step - lags[step], step:] = 0.0  # only the last occurrence counts
        for step in repeated[lags[repeated] > repeated].tolist():  # the earlier occurrence is in the sums
            ages = np.arange(lags[step], lags[step] + count - step)
            recent[step, step:] -= np.exp(-np.outer(ages, rates)) @ shares
        return recent

    def _of_sums(self, chunk: Chunk, rates: Matrix) -> Matrix:
        """Return the coefficient of each of a chunk's items in the sums for the next chunk: ``[C, rates]``."""
        count, lags = len(chunk), chunk.lags
        factors = np.exp(-np.outer(np.arange(count - 1, -1, -1), rates))
        repeated = np.flatnonzero(lags)
        within = lags[repeated] <= repeated
        factors[(repeated - lags[repeated])[within]] = 0.0
        ages = count - 1 - repeated + lags[repeated]  # of the earlier occurrences
        factors[repeated[~within]] -= np.exp(-np.outer(ages[~within], rates))
        return factors


class FactoredSums(RunningSums):
    """Running sums of weights that are products of two factors, ``left[row] @ right.T``; the sums are of the left ones.

    Args:
        left: ``[n_items, width]``.
        right: sparse ``[n_items, width]``.
        recency: the exponent of the ages, >= 0.
        longest: the length of the longest history.
    """

    def __init__(self, left: NDArray[np.float32], right: sparse.csr_matrix, recency: float, longest: int) -> None:
        """Begin without a history."""
        super().__init__(left.__getitem__, recency, longest)
        self.right = right

    def score(self, chunk: Chunk) -> NDArray[np.float32]:
        """Multiply the sums with the other factor."""
        scores: NDArray[np.float32] = self.right @ super().score(chunk)
        return scores


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
