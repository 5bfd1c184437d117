"""EASE: a linear item-to-item model in closed form (Steck, WWW 2019, https://arxiv.org/abs/1905.03375)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import RECENCY, history_matrix
from genre_gen.collaborative.item_to_item import ItemToItem
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError, DataError
from genre_gen.folders.arrays import expect

MAX_ITEMS = 20_000
"""Fitting needs a dense float64 ``[n_items, n_items]``: 3.2 GB at this size, and minutes."""


class Ease(ItemToItem):
    """Predict a user's binary history from itself, where no item may predict itself.

    ``B = argmin |X - X B|^2 + l2 |B|^2`` with a zero diagonal, which is ``B = I - P diag(1 / P)`` for
    ``P = (X'X + l2 I)^-1``.

    Args:
        l2: strength of the regularisation, > 0; choose it on validation cases.
        recency: the weight of an interaction in scoring is ``(1 + age) ** -recency``, with age 0 for the most recent;
            0 gives all interactions equal weight, as in the paper.
    """

    name: ClassVar[str] = "ease"
    hyperparameters = ("l2", "recency")
    learned = ("weights",)
    tells_neighbours = True
    relations = ("followed_by",)
    grid = ({"recency": RECENCY}, {"l2": (50.0, 200.0, 500.0)})

    def __init__(self, l2: float = 200.0, recency: float = 0.5) -> None:
        """Set the hyper-parameters; raises ConfigError if they are out of range."""
        if not l2 > 0:
            raise ConfigError(f"ease: l2 is {l2}; it must be > 0, or the matrix cannot be inverted (try 200)")
        if recency < 0:
            raise ConfigError(f"ease: recency is {recency}; it must be >= 0")
        self.l2, self.recency = l2, recency
        self.weights: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)

    def fit(self, interactions: Interactions) -> Self:
        """Solve for the item-to-item weights.

        Raises:
            DataError: more than MAX_ITEMS items.
        """
        if interactions.n_items > MAX_ITEMS:
            raise DataError(
                f"ease: {interactions.n_items} items need a dense matrix of "
                f"{8 * interactions.n_items**2 / 1e9:.0f} GB (the limit is {MAX_ITEMS} items); "
                "replace ease by item_knn, which is sparse, in blend.members"
            )
        from scipy.linalg import lapack

        users = history_matrix(interactions.histories(), interactions.n_items).astype(np.float64)
        gram = (users.T @ users).toarray(order="F")
        gram[np.diag_indices_from(gram)] += self.l2
        # Cholesky in float64 and in place: the condition number is about (most frequent item) / l2, and a second copy
        # of [n_items, n_items] would exhaust the memory first.
        factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
        inverse, failed_too = lapack.dpotri(factor, lower=1, overwrite_c=1)
        if failed or failed_too:
            raise DataError(f"ease: the item matrix cannot be inverted with l2 {self.l2}; choose a larger l2")
        weights = inverse.astype(np.float32)  # the lower triangle of P; the upper one is mirrored next
        weights += np.tril(weights, -1).T
        weights /= -np.diag(inverse).astype(np.float32)
        np.fill_diagonal(weights, 0.0)
        self.weights = np.ascontiguousarray(weights)
        return self

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; raises ValueError for weights that are not square."""
        n_items = len(arrays["weights"])
        expect(arrays, "weights", "f", (n_items, n_items))
        return super().from_arrays(arrays, settings)

    @property
    def n_items(self) -> int:
        """Return the number of items."""
        return len(self.weights)

    def weights_of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows of the learned weights."""
        return self.weights[rows]

    def weighted(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return weighted histories times the learned weights."""
        return np.asarray(histories @ self.weights, dtype=np.float32)
