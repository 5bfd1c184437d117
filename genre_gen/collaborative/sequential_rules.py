"""SequentialRules: which item follows which, counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from typing_extensions import Self

from genre_gen.collaborative.base import CollaborativeModel, history_matrix
from genre_gen.data.interactions import History, Interactions
from genre_gen.errors import ConfigError


class SequentialRules(CollaborativeModel):
    """Count item-to-item sequential_rules and score by the recent items of a history.

    An item ``b`` that comes ``lag`` steps after ``a`` in a training history adds ``lag ** -decay`` to ``N[a, b]`` and
    ``backward`` times that to ``N[b, a]``.
    ``T[a, b] = N[a, b] / ((out[a] + smoothing) * (into[b] + smoothing) ** novelty)``, where ``out`` and ``into`` are
    N's row and column sums; a history scores ``sum over its items of (1 + age) ** -recency * T[item]``, age 0 being
    the most recent. The defaults were chosen on validation cases of two unlike data sets (dense films, sparse shop)
    at once, and are flat around the optimum.

    Args:
        lags: how many steps ahead a transition may reach, >= 1.
        decay: how fast its count falls with the lag, >= 0.
        backward: what a transition says about the opposite direction, 0 (nothing) to 1 (order means nothing).
        smoothing: pseudo-count that keeps rare items from certainty, >= 0.
        novelty: how far items that follow everything are held back, 0 (not at all) to 1.
        recency: how fast the weight of a history's items falls with their age, >= 0.
    """

    name: ClassVar[str] = "sequential_rules"

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
        """Set the hyper-parameters; raises ConfigError where one is out of range."""
        self.lags, self.decay, self.backward = lags, decay, backward
        self.smoothing, self.novelty, self.recency = smoothing, novelty, recency
        if lags < 1 or min(decay, backward, smoothing, novelty, recency) < 0:
            raise ConfigError(f"sequential_rules: {self.settings()}; lags must be >= 1 and the others >= 0")
        self.follows = sparse.csr_matrix((0, 0), dtype=np.float32)

    def fit(self, interactions: Interactions) -> Self:
        """Count and normalise the sequential_rules."""
        n_items = interactions.n_items
        rows, owners = interactions.rows, interactions.owners
        counts = sparse.csr_matrix((n_items, n_items), dtype=np.float64)
        for lag in range(1, self.lags + 1):
            before, after = rows[:-lag], rows[lag:]
            ours = (owners[:-lag] == owners[lag:]) & (before != after)
            weights = np.full(int(ours.sum()), float(lag) ** -self.decay)
            counts += sparse.csr_matrix((weights, (before[ours], after[ours])), shape=(n_items, n_items))
        counts = counts + self.backward * counts.T
        out, into = np.asarray(counts.sum(axis=1)).ravel(), np.asarray(counts.sum(axis=0)).ravel()
        # Items without any transition have no entries: their (infinite) factor would multiply nothing.
        tiny = np.finfo(np.float64).tiny
        left = sparse.diags(1 / np.maximum(out + self.smoothing, tiny))
        right = sparse.diags(np.maximum(into + self.smoothing, tiny) ** -self.novelty)
        self.follows = sparse.csr_matrix(left @ counts @ right).astype(np.float32)
        return self

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return the weighted sum of the rules of each history: float32 ``[len(histories), n_items]``."""
        recent = history_matrix(histories, self.follows.shape[0], lambda age: (1.0 + age) ** -self.recency)
        return np.asarray((recent @ self.follows).toarray(), dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the matrix of sequential_rules (from, to) in CSR form: ``data``, ``indices``, ``indptr``."""
        return {"data": self.follows.data, "indices": self.follows.indices, "indptr": self.follows.indptr}

    def settings(self) -> dict[str, Any]:
        """Return the hyper-parameters."""
        names = ("lags", "decay", "backward", "smoothing", "novelty", "recency")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model."""
        model = cls(**settings)
        n_items = len(arrays["indptr"]) - 1
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        model.follows = sparse.csr_matrix(parts, shape=(n_items, n_items), dtype=np.float32)
        return model
