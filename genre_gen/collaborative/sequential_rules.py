"""SequentialRules: counted item transitions (SR; Ludewig and Jannach 2018, https://arxiv.org/abs/1803.09587)."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import RECENCY
from genre_gen.collaborative.item_to_item import ItemToItem
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError


class SequentialRules(ItemToItem):
    """Count sequential rules from item to item, and score by the rules of a history's recent items.

    An item ``b`` that comes ``lag`` steps after ``a`` in a training history adds ``lag ** -decay`` to ``N[a, b]`` and
    ``backward`` times that to ``N[b, a]``; with kinds of events, times the weights of both.
    ``T[a, b] = N[a, b] / ((out[a] + smoothing) * (into[b] + smoothing) ** novelty)``, where ``out`` and ``into`` are
    N's row and column sums. The scores of a history are ``sum over its items of (1 + age) ** -recency * T[item]``, with
    age 0 for the most recent. The defaults were chosen on validation cases of two data sets together (dense films, a
    sparse shop); the optimum is flat.

    Args:
        lags: the largest number of steps between the two items, >= 1.
        decay: how fast the count falls with the lag, >= 0.
        backward: the count of the opposite direction, 0 (none) to 1 (order is ignored).
        smoothing: pseudo-count against overconfident rules of rare items, >= 0.
        novelty: penalty for items that follow many others, 0 (none) to 1.
        recency: how fast the weight of a history's items falls with their age, >= 0.
    """

    name: ClassVar[str] = "sequential_rules"
    hyperparameters = ("lags", "decay", "backward", "smoothing", "novelty", "recency")
    learned = ("rules",)
    tells_neighbours = True
    relations = ("followed_by",)
    grid = (
        {"smoothing": (10.0, 100.0, 1000.0), "novelty": (0.0, 0.2, 0.4, 0.6)},
        {"decay": (0.0, 0.3, 0.6, 1.0), "backward": (0.2, 0.5, 1.0)},
        {"recency": RECENCY},
    )

    def __init__(
        self,
        lags: int = 10,
        *,
        decay: float = 0.3,
        backward: float = 0.5,
        smoothing: float = 100.0,
        novelty: float = 0.4,
        recency: float = 1.0,
    ) -> None:
        """Set the hyper-parameters; raises ConfigError if one is out of range."""
        self.lags, self.decay, self.backward = lags, decay, backward
        self.smoothing, self.novelty, self.recency = smoothing, novelty, recency
        if lags < 1 or min(decay, backward, smoothing, novelty, recency) < 0:
            raise ConfigError(f"sequential_rules: {self.settings()}; lags must be >= 1 and the others >= 0")
        self.rules = sparse.csr_matrix((0, 0), dtype=np.float32)

    def fit(self, interactions: Interactions) -> Self:
        """Count and normalise the rules."""
        return self.fit_sharing(interactions, {})

    def fit_sharing(self, interactions: Interactions, shared: dict[str, Any]) -> Self:
        """Count and normalise the rules; the last counts are shared, which only ``lags`` and ``decay`` change."""
        key = (self.lags, self.decay)
        if shared.get("key") != key:
            shared.update(key=key, counts=self._forward(interactions))
        counts = sparse.csr_matrix(shared["counts"] + self.backward * shared["counts"].T)
        out, into = np.asarray(counts.sum(axis=1)).ravel(), np.asarray(counts.sum(axis=0)).ravel()
        # Items without any rule have no entries, so their infinite factor is never used.
        tiny = np.finfo(np.float64).tiny
        left = 1 / np.maximum(out + self.smoothing, tiny)
        right = np.maximum(into + self.smoothing, tiny) ** -self.novelty
        counts.data *= np.repeat(left, np.diff(counts.indptr))
        counts.data *= right[counts.indices]
        self.rules = counts.astype(np.float32)
        return self

    def _forward(self, interactions: Interactions) -> sparse.csr_matrix:
        """Count how often an item comes after another: float64 ``[n_items, n_items]``."""
        n_items = interactions.n_items
        rows, owners, of_kinds = interactions.rows, interactions.owners, interactions.weights
        counts = sparse.csr_matrix((n_items, n_items), dtype=np.float64)
        for lag in range(1, self.lags + 1):
            before, after = rows[:-lag], rows[lag:]
            same = (owners[:-lag] == owners[lag:]) & (before != after)
            weights = np.full(int(same.sum()), float(lag) ** -self.decay)
            if of_kinds is not None:
                weights *= of_kinds[:-lag][same] * of_kinds[lag:][same]
            counts += sparse.csr_matrix((weights, (before[same], after[same])), shape=(n_items, n_items))
        return counts

    @property
    def n_items(self) -> int:
        """Return the number of items."""
        return int(self.rules.shape[0])

    def weights_of(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        """Return the rules of some items, sparse."""
        return self.rules[rows]

    def weighted(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return weighted histories times all rules."""
        return np.asarray((histories @ self.rules).toarray(), dtype=np.float32)
