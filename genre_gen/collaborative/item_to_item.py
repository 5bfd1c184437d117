"""ItemToItem: models whose scores are sums of item-to-item weights over the items of a history."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import CollaborativeModel, history_matrix
from genre_gen.collaborative.running_sums import RunningSums
from genre_gen.data.batches import batches
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions

Weights: TypeAlias = NDArray[np.float32] | sparse.csr_matrix
"""The weights of some items, ``[len(rows), n_items]``: dense, or sparse where most are 0."""

CELLS = 2**24
"""The number of dense weights in memory at a time."""


class ItemToItem(CollaborativeModel):
    """A model that adds up the weights of a history's items, and more of the recent ones.

    ``score(history) = sum of (1 + age) ** -recency * weights_of(item)`` over the distinct items of the history, with
    the age of an item's most recent interaction, 0 for the last. A new model implements ``fit``, ``n_items`` and
    ``weights_of``, and has the hyper-parameter ``recency``.

    Attributes:
        recency: how fast the weight of a history's items falls with their age, >= 0.

    Example:
        >>> model = ItemKNN(neighbours=1, recency=0.0).fit(split.train)
        >>> model.weights_of(np.array([3])).shape == (1, model.n_items)
        True
    """

    recency: float

    @property
    @abstractmethod
    def n_items(self) -> int:
        """Return the number of items of the catalog that the model was fitted on; 0 before that."""

    @abstractmethod
    def weights_of(self, rows: NDArray[np.int64]) -> Weights:
        """Return what each item adds to the scores of all: float32 ``[len(rows), n_items]``, always of one kind."""

    def weighted(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return weighted histories ``[B, n_items]`` times the weights of all items: float32 ``[B, n_items]``.

        Override it where all weights are in memory as one matrix.
        """
        scores = np.zeros(histories.shape, dtype=np.float32)
        met = np.unique(histories.indices).astype(np.int64)
        for part in batches(met, max(1, CELLS // max(self.n_items, 1))):
            product = histories[:, part] @ self.weights_of(part)
            scores += product.toarray() if sparse.issparse(product) else product
        return scores

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return the weighted sum over each history's items: float32 ``[len(histories), n_items]``."""
        return self.weighted(history_matrix(histories, self.n_items, self.recency))

    def prefix_scorer(self, interactions: Interactions, *, repeat: bool = True) -> RunningSums:
        """Return running sums over each history."""
        return RunningSums(self.weights_of, self.recency, int(np.diff(interactions.offsets).max(initial=0)))
