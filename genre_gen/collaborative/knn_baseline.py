"""KNNBaseline: what a user gave to similar items, above or below the baseline; Surprise's, item by item.

``rating(u, i) = b_ui + sum of s_ij (r_uj - b_uj) / sum of s_ij`` over the ``neighbours`` items ``j`` of the user's that
are most similar to ``i``, where ``b_ui = mean + b_u + b_i`` and ``s`` is the Pearson correlation around ``b``, shrunk
towards 0 where few users rated both (Koren, 2010).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from genre_gen.collaborative.rating_model import Duplicates, RatingModel, options_of
from genre_gen.collaborative.svd import by_row
from genre_gen.data.interactions import History, Interactions
from genre_gen.errors import ConfigError, DataError

MAX_ITEMS = 10_000
"""Surprise holds five dense ``[n_items, n_items]`` of 8 bytes: 4 GB here."""


class KNNBaseline(RatingModel):
    """Predict ratings with Surprise's KNNBaseline over items.

    A prediction needs the similarities and the user's own ratings, nothing learned about the user: a user's training
    history gets what Surprise predicts for that user's id, and any other history is worth as much.

    Args:
        neighbours: most similar rated items that are heard, >= 1.
        shrinkage: of a similarity, in users who rated both items, >= 0.
        user_penalty: ratings' worth of shrinkage of ``b_u`` towards 0, >= 0.
        item_penalty: the same of ``b_i``.
        rating_scale: lowest and highest rating; None takes them from the data.
        duplicates: a user who rated an item twice is ``refused``, or the ``last`` rating counts.
    """

    name: ClassVar[str] = "knn_baseline"

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
        """Set the hyper-parameters; raises ConfigError where one is out of range."""
        if neighbours < 1 or min(shrinkage, user_penalty, item_penalty) < 0:
            raise ConfigError(
                f"{self.name}: neighbours {neighbours}, shrinkage {shrinkage}, user_penalty {user_penalty}, "
                f"item_penalty {item_penalty}; neighbours must be >= 1 and the others >= 0"
            )
        super().__init__(rating_scale, duplicates)
        self.neighbours, self.shrinkage = neighbours, shrinkage
        self.user_penalty, self.item_penalty = user_penalty, item_penalty
        self.item_bias, self.similar = np.zeros(0), np.zeros((0, 0))

    def fit(self, interactions: Interactions) -> Self:
        """Learn the items' biases and similarities; interactions without a rating (NaN) are left out.

        Raises:
            DataError: more than MAX_ITEMS items; no ratings, or infinite, out-of-scale or repeated ones.
            ConfigError: Surprise is missing, too old, or another package of that name.
        """
        if interactions.n_items > MAX_ITEMS:
            raise DataError(
                f"{self.name}: {interactions.n_items} items need dense matrices of "
                f"{5 * 8 * interactions.n_items**2 / 1e9:.0f} GB (at most {MAX_ITEMS} items are taken); "
                "svd is the rating model for more"
            )
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
            # Ratings that are just what the biases say, such as all the same, correlate with none.
            algorithm.sim = np.zeros((len(data.rows), len(data.rows)))
        self.item_bias = by_row(np.asarray(algorithm.bi), self, data)
        # float64: rounding would reorder neighbours of nearly one similarity, and differ from Surprise visibly.
        self.similar = np.zeros((interactions.n_items, interactions.n_items))
        self.similar[np.ix_(data.rows, data.rows)] = np.maximum(algorithm.sim, 0.0)  # only positive ones are heard
        return self

    def estimate(self, history: History, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], bool]:
        """Return expected ratings, not clipped, and whether the user has rated anything that was met in training."""
        rated, ratings = self.usable(history)
        above = ratings - self.mean - self.item_bias[rated]
        # The last step of the alternating least squares that the items' biases come from: Surprise's own b_u.
        bias = above.sum() / (self.user_penalty + len(rated)) if len(rated) else 0.0
        estimates = self.mean + bias + self.item_bias[rows]
        if len(rated):
            estimates += self._neighbours_say(self.similar[np.ix_(rows, rated)], above - bias)
        return estimates, len(rated) > 0

    def _neighbours_say(self, similar: NDArray[np.float64], left: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weighted mean of what the nearest neighbours leave of the baseline; 0 where there are none.

        Args:
            similar: ``[rows, rated]``.
            left: ``[rated]``.
        """
        if similar.shape[1] > self.neighbours:
            # Stable, so that of equally similar items the earlier ones count, as in Surprise.
            nearest = np.argsort(-similar, axis=1, kind="stable")[:, : self.neighbours]
            similar, heard = np.take_along_axis(similar, nearest, axis=1), left[nearest]
        else:
            heard = np.broadcast_to(left, similar.shape)
        weight = similar.sum(axis=1)
        said = (similar * heard).sum(axis=1)
        return np.divide(said, weight, out=np.zeros_like(said), where=weight > 0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return ``item_bias`` and ``similar`` (float64, ``[n_items, n_items]``)."""
        return {"item_bias": self.item_bias, "similar": self.similar, "rated_items": self.rated_items}

    def settings(self) -> dict[str, Any]:
        """Return the hyper-parameters and the mean rating."""
        return {
            "neighbours": self.neighbours,
            "shrinkage": self.shrinkage,
            "user_penalty": self.user_penalty,
            "item_penalty": self.item_penalty,
            **self.shared_settings(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; Surprise is not needed."""
        options, mean = options_of(settings)
        model = cls(**options)
        model.mean, model.rated_items = mean, arrays["rated_items"]
        model.item_bias, model.similar = arrays["item_bias"], arrays["similar"]
        return model
