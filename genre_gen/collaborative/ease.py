"""EASE: a linear item-to-item model in closed form (Steck, WWW 2019, https://arxiv.org/abs/1905.03375)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import RECENCY
from genre_gen.collaborative.ease_weights import (
    STORED_PAIRS,
    DenseWeights,
    EaseWeights,
    SparseWeights,
    UserWeights,
    neighbours,
)
from genre_gen.collaborative.item_to_item import ItemToItem, Weights
from genre_gen.collaborative.running_sums import FactoredSums, RunningSums
from genre_gen.collaborative.together import PAIRS, seen_matrix
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError

log = logging.getLogger(__name__)
DENSE_ITEMS = 5_000
"""Up to this many items all weights are kept: 100 MB in memory and half of that on disk, and seconds to fit."""
FEW_USERS = 2_000
"""With more items, but up to this many users, weights are computed from users: milliseconds for a history."""
KEPT_CELLS = 2**27
"""The cells of weights computed from users, 512 MB, that scoring all prefixes of many histories may keep."""
FACTORED = 50
"""The users of an item, on average, up to which all prefixes are scored by way of users."""
FORMS: tuple[type[EaseWeights], ...] = (DenseWeights, UserWeights, SparseWeights)


class Ease(ItemToItem):
    """Predict a user's binary history from itself, where no item may predict itself.

    With kinds of events, ``X`` has the weight of the user's strongest event with an item. A history that is scored
    counts each of its items as 1.

    ``B = argmin |X - X B|^2 + l2 |B|^2`` with a zero diagonal, which is ``B = I - P diag(1 / P)`` for
    ``P = (X'X + l2 I)^-1``. The weights have the form that suits the data, see
    :mod:`genre_gen.collaborative.ease_weights`:

    - up to ``DENSE_ITEMS`` items: all of them, in memory;
    - else, up to ``FEW_USERS`` users: the same weights, computed from users when they are needed;
    - else: of each item, the weights of the items that predict it best; the time and memory of fitting are linear in
      items.

    Args:
        l2: strength of the regularisation, > 0; choose it on validation cases.
        recency: the weight of an interaction in scoring is ``(1 + age) ** -recency``, with age 0 for the most recent;
            0 gives all interactions equal weight, as in the paper.
    """

    name: ClassVar[str] = "ease"
    hyperparameters = ("l2", "recency")
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
        self.weights: EaseWeights = SparseWeights(sparse.csr_matrix((0, 0), dtype=np.float32))

    def fit(self, interactions: Interactions) -> Self:
        """Solve for the item-to-item weights, in the form that suits the data; it is logged.

        Raises:
            DataError: the items' matrix cannot be inverted with this ``l2``.
        """
        form = form_for(interactions)
        seen = seen_matrix(interactions, STORED_PAIRS if form is SparseWeights else PAIRS)
        log.info("ease: %s weights for %d items and %d users", form.kind, *reversed(seen.shape))
        self.weights = form.fit(seen, self.l2)
        return self

    def fit_seconds(self, interactions: Interactions) -> float:
        """Return about how many seconds ``fit`` takes, by the work of the weights' form; fewer users may have another.

        The rates are of one core of 2024.
        """
        n_items, n_users = interactions.n_items, len(interactions.users)
        pairs = float((np.diff(interactions.offsets).astype(np.float64) ** 2).sum())
        form = form_for(interactions)
        if form is DenseWeights:
            return 3e-11 * n_items**3 + 1e-8 * min(pairs, PAIRS)
        if form is UserWeights:
            return 3e-11 * n_users**3 + 1e-9 * len(interactions) * n_users
        return 1e-7 * (min(pairs, STORED_PAIRS) + n_items * neighbours(n_items) ** 2)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the weights' form."""
        return self.weights.arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; raises ValueError for arrays that are weights in no form."""
        model = cls(**settings)
        form = next((each for each in FORMS if each.mark in arrays), None)
        if form is None:
            raise ValueError("the weights are missing")
        model.weights = form.from_arrays(arrays)
        return model

    @property
    def n_items(self) -> int:
        """Return the number of items."""
        return self.weights.n_items

    def weights_of(self, rows: NDArray[np.int64]) -> Weights:
        """Return rows of the learned weights."""
        return self.weights.of(rows)

    def weighted(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return weighted histories times the learned weights."""
        return self.weights.times(histories)

    def prefix_scorer(self, interactions: Interactions, *, repeat: bool = True) -> RunningSums:
        """Return running sums; of what users contribute, where that is less work than the weights themselves."""
        weights, longest = self.weights, int(np.diff(interactions.offsets).max(initial=0))
        if isinstance(weights, UserWeights) and not repeat and weights.seen.nnz <= FACTORED * self.n_items:
            return FactoredSums(*weights.factors(), self.recency, longest)
        scorer = super().prefix_scorer(interactions)
        many = len(interactions) >= self.n_items
        if many and isinstance(weights, UserWeights) and self.n_items**2 <= KEPT_CELLS:
            scorer.weights_of = weights.whole().__getitem__
        return scorer

    def without_users(self) -> Self:
        """Return the model without users' items: itself, or with sparse weights where they were computed from users.

        Those are near the exact ones, but not equal, so the scores of a history change a little.
        """
        if not isinstance(self.weights, UserWeights):
            return self
        log.info("ease: sparse weights replace those by users, so that no user's items are shared")
        model = copy.copy(self)
        model.weights = SparseWeights.fit(self.weights.seen.astype(np.float64), self.l2)
        return model


def form_for(interactions: Interactions) -> type[EaseWeights]:
    """Return the form of the weights: dense for few items, by users for few users, else sparse."""
    if interactions.n_items <= DENSE_ITEMS:
        return DenseWeights
    return UserWeights if len(interactions.users) <= FEW_USERS else SparseWeights
