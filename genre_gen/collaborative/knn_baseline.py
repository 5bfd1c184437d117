"""KNNBaseline: a user's ratings of similar items relative to the baseline (Surprise's, item-based).

``rating(u, i) = b_ui + sum of s_ij (r_uj - b_uj) / sum of s_ij`` over the ``neighbours`` items ``j`` of the user that
are most similar to ``i``, where ``b_ui = mean + b_u + b_i`` and ``s`` is the Pearson correlation around ``b``, shrunk
towards 0 if few users rated both (Koren, 2010).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import csr_arrays, csr_from
from genre_gen.collaborative.rating_model import Duplicates, RatingModel, too_large
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError, DataError

MAX_ITEMS = 10_000
"""Surprise keeps five dense ``[n_items, n_items]`` of 8 bytes: 4 GB at this size."""


class KNNBaseline(RatingModel):
    """Predict ratings with Surprise's KNNBaseline over items.

    A prediction needs the similarities and the user's own ratings, and no learned parameters of the user. A training
    history gets Surprise's prediction for its user id, and any other history is treated the same.

    Args:
        neighbours: number of most similar rated items used, >= 1.
        shrinkage: shrinkage of a similarity, in users who rated both items, >= 0.
        user_penalty: shrinkage of ``b_u`` towards 0, in ratings, >= 0.
        item_penalty: the same for ``b_i``.
        rating_scale: see ``RatingModel``.
        duplicates: see ``RatingModel``.
    """

    name: ClassVar[str] = "knn_baseline"
    hyperparameters = (
        "neighbours", "shrinkage", "user_penalty", "item_penalty", *RatingModel.SHARED,
    )  # fmt: skip
    learned = ("item_bias", "rated_items")
    shapes: ClassVar[Mapping[str, str]] = {"item_bias": "items", "rated_items": "items"}

    def __init__(
        self,
        neighbours: int = 40,
        shrinkage: float = 200.0,
        *,
        user_penalty: float = 15.0,
        item_penalty: float = 10.0,
        rating_scale: tuple[float, float] | None = None,
        duplicates: Duplicates = "refused",
    ) -> None:
        """Set the hyper-parameters; raises ConfigError if one is out of range."""
        if neighbours < 1 or min(shrinkage, user_penalty, item_penalty) < 0:
            raise ConfigError(
                f"{self.name}: neighbours {neighbours}, shrinkage {shrinkage}, user_penalty {user_penalty}, "
                f"item_penalty {item_penalty}; neighbours must be >= 1 and the others >= 0"
            )
        super().__init__(rating_scale, duplicates)
        self.neighbours, self.shrinkage = neighbours, shrinkage
        self.user_penalty, self.item_penalty = user_penalty, item_penalty
        self.item_bias, self.similar = np.zeros(0), sparse.csr_matrix((0, 0))

    @classmethod
    def cannot_learn(cls, interactions: Interactions) -> str | None:
        """Return that there are no ratings, or more than MAX_ITEMS items."""
        return super().cannot_learn(interactions) or too_large(interactions.n_items, MAX_ITEMS, matrices=5)

    def fit(self, interactions: Interactions) -> Self:
        """Learn biases and similarities; raises DataError for more than MAX_ITEMS items, and as ``surprise_data``."""
        if why := too_large(interactions.n_items, MAX_ITEMS, matrices=5):
            raise DataError(f"{self.name}: {why}")
        data = self.surprise_data(interactions)
        algorithm = data.surprise.KNNBaseline(
            k=self.neighbours,
            sim_options={"name": "pearson_baseline", "user_based": False, "shrinkage": self.shrinkage},
            bsl_options={"method": "als", "reg_u": self.user_penalty, "reg_i": self.item_penalty},
            verbose=False,
        )
        try:
            algorithm.fit(data.trainset)
        except ZeroDivisionError:
            # Ratings without residuals over the biases, such as equal ones, have no correlation.
            algorithm.sim = np.zeros((len(data.rows), len(data.rows)))
        self.item_bias = np.zeros(interactions.n_items)
        self.item_bias[data.rows] = algorithm.bi
        # float64, since rounding would reorder neighbours of nearly equal similarity and differ visibly from Surprise.
        positive = sparse.coo_matrix(np.maximum(algorithm.sim, 0.0))  # only positive ones count
        rows = np.array(data.rows)
        cells = (positive.data, (rows[positive.row], rows[positive.col]))
        self.similar = sparse.csr_matrix(cells, shape=(interactions.n_items,) * 2)
        return self

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return biases, and the upper half of the similarities, which are symmetric."""
        return super().arrays() | csr_arrays("similar", sparse.csr_matrix(sparse.triu(self.similar)))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; raises ValueError for arrays that do not fit together."""
        model = super().from_arrays(arrays, settings)
        upper = csr_from(arrays, "similar")
        if upper.shape[0] != len(model.item_bias):
            raise ValueError(f"similar has {upper.shape[0]} items, and item_bias has {len(model.item_bias)}")
        model.similar = sparse.csr_matrix(upper + sparse.triu(upper, 1).T)
        return model

    def estimate(self, history: History, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], bool]:
        """Return expected ratings, not clipped, and whether the user has rated an item of the training data."""
        rated, ratings = self.usable(history)
        above = ratings - self.mean - self.item_bias[rated]
        # The last step of the alternating least squares that the items' biases come from: Surprise's own b_u.
        bias = above.sum() / (self.user_penalty + len(rated)) if len(rated) else 0.0
        estimates = self.mean + bias + self.item_bias[rows]
        if len(rated):
            estimates += self._neighbours_mean(self.similar[rated][:, rows].toarray().T, above - bias)
        return estimates, len(rated) > 0

    def _neighbours_mean(self, similar: NDArray[np.float64], residuals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weighted mean of the nearest neighbours' residuals ``[rated]`` over the baseline, else 0."""
        if similar.shape[1] > self.neighbours:
            # Stable sorting, so that ties go to earlier items, as in Surprise.
            nearest = np.argsort(-similar, axis=1, kind="stable")[:, : self.neighbours]
            similar, counted = np.take_along_axis(similar, nearest, axis=1), residuals[nearest]
        else:
            counted = np.broadcast_to(residuals, similar.shape)
        weight = similar.sum(axis=1)
        total = (similar * counted).sum(axis=1)
        return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
