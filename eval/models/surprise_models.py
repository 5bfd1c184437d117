"""SVD, SVD++ and KNNBaseline of Surprise as rankers, by predicted ratings.

Surprise predicts one rating at a time. Here the same formulas are computed for all items at once with its parameters; a
test compares both. Ratings are not clipped to the scale, so that top items do not tie.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError, DataError

MAX_ITEMS = 20_000
"""KNNBaseline needs a dense float64 ``[n_items, n_items]``: 3.2 GB at this size."""


class SurpriseRanker(ABC):
    """The base of the three: ratings, and rows of users and items. Unrated users and items have a bias of 0."""

    name: ClassVar[str]

    def __init__(self) -> None:
        """Initialise without parameters."""
        self.mean = 0.0
        self.user_bias, self.item_bias = np.zeros(0), np.zeros(0)
        self.row_of_user: dict[str | None, int] = {}

    @abstractmethod
    def _algorithm(self) -> Any:
        """Return Surprise's algorithm, not fitted."""

    @abstractmethod
    def _keep(self, algorithm: Any, items: list[int], n_items: int) -> None:
        """Keep the fitted parameters; ``items`` are the catalog rows in Surprise's order."""

    @abstractmethod
    def _taste(self, row: int) -> NDArray[np.float64]:
        """Return a known user's part of the ratings in addition to the biases: float64 ``[n_items]``."""

    def fit(self, interactions: Interactions) -> Self:
        """Learn from all ratings; interactions without one are left out.

        Raises:
            DataError: there are no ratings.
        """
        trainset = _trainset(interactions)
        algorithm = self._algorithm().fit(trainset)
        items = [trainset.to_raw_iid(inner) for inner in range(trainset.n_items)]
        users = [interactions.users[trainset.to_raw_uid(inner)] for inner in range(trainset.n_users)]
        self.row_of_user = {user: row for row, user in enumerate(users)}
        self.mean, self.user_bias = float(trainset.global_mean), np.array(algorithm.bu)
        self.item_bias = np.zeros(interactions.n_items)
        self.item_bias[items] = algorithm.bi
        self._keep(algorithm, items, interactions.n_items)
        return self

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return predicted ratings: float32 ``[len(histories), n_items]``."""
        scores = np.tile(self.mean + self.item_bias, (len(histories), 1))
        for number, history in enumerate(histories):
            row = self.row_of_user.get(history.user)
            if row is not None:
                scores[number] += self.user_bias[row] + self._taste(row)
        return scores.astype(np.float32)


class SurpriseSVD(SurpriseRanker):
    """``mean + b_u + b_i + q_i . p_u``.

    Args:
        factors: length of the factor vectors.
        epochs: of stochastic gradient descent.
        regularisation: of all parameters.
        seed: of the initial factors.
    """

    name: ClassVar[str] = "surprise-svd"

    def __init__(self, factors: int = 100, epochs: int = 20, regularisation: float = 0.02, seed: int = 0) -> None:
        """Set the hyper-parameters; the defaults are Surprise's."""
        super().__init__()
        self.factors, self.epochs, self.regularisation, self.seed = factors, epochs, regularisation, seed
        self.user_factors, self.item_factors = np.zeros((0, factors)), np.zeros((0, factors))

    def _algorithm(self) -> Any:
        return _surprise().SVD(
            n_factors=self.factors, n_epochs=self.epochs, reg_all=self.regularisation, random_state=self.seed
        )

    def _keep(self, algorithm: Any, items: list[int], n_items: int) -> None:
        self.user_factors = np.array(algorithm.pu)
        self.item_factors = np.zeros((n_items, self.factors))
        self.item_factors[items] = algorithm.qi

    def _taste(self, row: int) -> NDArray[np.float64]:
        return np.asarray(self.item_factors @ self.user_factors[row])


class SurpriseSVDpp(SurpriseSVD):
    """``mean + b_u + b_i + q_i . (p_u + sum of y_j over the user's items / sqrt(their number))``."""

    name: ClassVar[str] = "surprise-svdpp"

    def __init__(self, factors: int = 20, epochs: int = 20, regularisation: float = 0.02, seed: int = 0) -> None:
        """Set the hyper-parameters; the defaults are Surprise's."""
        super().__init__(factors, epochs, regularisation, seed)

    def _algorithm(self) -> Any:
        return _surprise().SVDpp(
            n_factors=self.factors, n_epochs=self.epochs, reg_all=self.regularisation, random_state=self.seed
        )

    def _keep(self, algorithm: Any, items: list[int], n_items: int) -> None:
        super()._keep(algorithm, items, n_items)
        for row, rated in algorithm.trainset.ur.items():
            inner = [item for item, _ in rated]
            self.user_factors[row] += algorithm.yj[inner].sum(axis=0) / np.sqrt(len(inner))


class SurpriseKNN(SurpriseRanker):
    """KNNBaseline between items: baselines plus the deviations of the most similar rated items from theirs.

    Args:
        neighbours: maximum number of rated items used.
        similarity: Surprise's name of the similarity, such as ``pearson_baseline`` or ``msd``.
        shrinkage: shrinkage of ``pearson_baseline``.
    """

    name: ClassVar[str] = "surprise-knn"

    def __init__(self, neighbours: int = 40, similarity: str = "pearson_baseline", shrinkage: float = 100.0) -> None:
        """Set the hyper-parameters; the defaults are Surprise's, but between items."""
        super().__init__()
        self.neighbours, self.similarity, self.shrinkage = neighbours, similarity, shrinkage
        self.similar = np.zeros((0, 0))
        self.place_of = np.zeros(0, dtype=np.int64)
        self.rated: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []

    def fit(self, interactions: Interactions) -> Self:
        """Compute the similarities; raises DataError if the data has no ratings, or more than MAX_ITEMS items."""
        if interactions.n_items > MAX_ITEMS:
            raise DataError(f"surprise-knn: {interactions.n_items} items; at most {MAX_ITEMS} fit into memory")
        return super().fit(interactions)

    def _algorithm(self) -> Any:
        options: dict[str, Any] = {"name": self.similarity, "user_based": False}
        if self.similarity == "pearson_baseline":
            options["shrinkage"] = self.shrinkage
        return _surprise().KNNBaseline(k=self.neighbours, sim_options=options, verbose=False)

    def _keep(self, algorithm: Any, items: list[int], n_items: int) -> None:
        self.similar = np.asarray(algorithm.sim)
        self.place_of = np.array(items, dtype=np.int64)
        self.rated = []
        for row in range(algorithm.trainset.n_users):
            inner, ratings = zip(*algorithm.trainset.ur[row], strict=True)
            chosen = np.array(inner, dtype=np.int64)
            baseline = self.mean + self.user_bias[row] + np.asarray(algorithm.bi)[chosen]
            self.rated.append((chosen, np.array(ratings) - baseline))

    def _taste(self, row: int) -> NDArray[np.float64]:
        chosen, deviations = self.rated[row]
        similar = np.maximum(self.similar[:, chosen], 0.0)  # [rated items, the user's]; negative ones are not used
        deviations = np.broadcast_to(deviations, similar.shape)
        if len(chosen) > self.neighbours:
            best = np.argpartition(-similar, self.neighbours - 1, axis=1)[:, : self.neighbours]
            similar, deviations = (np.take_along_axis(values, best, axis=1) for values in (similar, deviations))
        total = similar.sum(axis=1)
        added = np.zeros(len(self.item_bias))
        added[self.place_of] = (similar * deviations).sum(axis=1) / np.where(total > 0, total, 1.0)
        return added


def _trainset(interactions: Interactions) -> Any:
    """Return the ratings as Surprise's trainset; its raw ids are our user rows and catalog rows."""
    surprise, ratings = _surprise(), interactions.ratings
    if ratings is None or not np.isfinite(ratings).any():
        raise DataError("surprise: this data has no ratings to learn from; leave these models out")
    usable = np.isfinite(ratings)
    owners = interactions.owners[usable]
    values = ratings[usable].astype(float)
    low, high = float(values.min()), float(values.max())
    reader = surprise.Reader(rating_scale=(low, high if high > low else low + 1.0))
    columns = (owners.tolist(), interactions.rows[usable].tolist(), values.tolist())
    return surprise.Dataset(reader).construct_trainset([(*triple, None) for triple in zip(*columns, strict=True)])


def _surprise() -> Any:
    try:
        import surprise
    except ImportError as error:
        raise ConfigError(f"Surprise does not load ({error}); pip install 'scikit-surprise>=1.1.5'") from None
    return surprise
