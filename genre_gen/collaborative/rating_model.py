"""RatingModel: the base of models of ratings: checks of ratings, Surprise, predictions with a reason."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import CollaborativeModel, ModelContext, rows_of
from genre_gen.data.history import History, check_rows
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError, DataError, UsageError
from genre_gen.folders.arrays import expect

OLDEST_SURPRISE = (1, 1, 5)
INSTALL = "pip install 'scikit-surprise>=1.1.5'"
Duplicates = Literal["refused", "last"]


@dataclass(frozen=True)
class Prediction:
    """One predicted rating.

    Attributes:
        row: catalog row of the item.
        rating: predicted rating, clipped to the data's scale.
        reason: what the model could not use; None if it knew both user and item.
    """

    row: int
    rating: float
    reason: str | None = None


@dataclass(frozen=True)
class Ratings:
    """Checked ratings, one entry per rating, each user's in time order.

    ``owners`` are user rows, ``rows`` catalog rows.
    """

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class SurpriseData:
    """Ratings in Surprise's form, which numbers users and items by first appearance.

    Attributes:
        surprise: the module ``surprise``.
        trainset: a ``surprise.Trainset``.
        user_rows: our user row of each of its users.
        rows: our catalog row of each of its items.
    """

    surprise: ModuleType
    trainset: Any
    user_rows: list[int]
    rows: list[int]


class RatingModel(CollaborativeModel):
    """A model that predicts ratings. A new model implements ``fit`` and ``estimate``; this class has the checks.

    Args:
        rating_scale: lowest and highest rating; None takes them from the data.
        duplicates: if a user rated an item twice, the data is ``refused``, or the ``last`` rating counts.
    """

    SHARED: ClassVar[tuple[str, ...]] = ("rating_scale", "duplicates")
    """The hyper-parameters of all rating models."""

    def __init__(self, rating_scale: tuple[float, float] | None, duplicates: Duplicates) -> None:
        """Set the common hyper-parameters; raises ConfigError for an empty scale or an unknown way with duplicates."""
        if duplicates not in get_args(Duplicates):
            raise ConfigError(f"{self.name}: duplicates is {duplicates!r}; give {' or '.join(get_args(Duplicates))}")
        if rating_scale is not None and not rating_scale[0] < rating_scale[1]:
            raise ConfigError(f"{self.name}: rating_scale is {rating_scale}; give the lowest and the highest rating")
        self.rating_scale = None if rating_scale is None else (float(rating_scale[0]), float(rating_scale[1]))
        self.duplicates = duplicates
        self.mean = 0.0
        self.rated_items = np.zeros(0, dtype=bool)

    @classmethod
    def for_data(cls, context: ModelContext, **options: Any) -> Self:
        """Return an untrained model with the data's scale; the last of duplicates counts."""
        return cls(**{"rating_scale": context.rating_scale, "duplicates": "last", **options})

    @classmethod
    def cannot_learn(cls, interactions: Interactions) -> str | None:
        """Return that the data has no ratings, if so."""
        return None if interactions.rated else "there are no ratings to learn from"

    @abstractmethod
    def estimate(self, history: History, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], bool]:
        """Return the user's expected ratings of catalog rows, not clipped, and whether the user is known.

        Raises:
            UsageError: a rating is outside the scale.
        """

    def predict(self, history: History, rows: Sequence[int] | NDArray[np.integer]) -> list[Prediction]:
        """Predict one user's ratings of catalog rows.

        If the user or the item is unknown, the prediction uses the rest, and ``reason`` says what is unknown.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        return self._worded(wanted, *self.estimate(history, wanted))

    def rate(self, history: History, rows: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the same ratings as ``predict``, as an array."""
        return self._clipped(self.estimate(history, np.asarray(rows, dtype=np.int64))[0])

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return expected ratings, float32 ``[len(histories), n_items]``, not clipped, so that top items do not tie."""
        n_items = len(self.rated_items)
        check_rows(rows_of(histories), n_items)
        scores = [self.estimate(history, np.arange(n_items))[0] for history in histories]
        return np.array(scores, dtype=np.float32).reshape(len(histories), n_items)

    def checked(self, interactions: Interactions) -> Ratings:
        """Return the checked ratings; interactions without one (NaN) are left out.

        A single NaN or huge rating would turn every factor into NaN, and Surprise would predict the top of the scale.
        Sets the mean, the scale if none was given, and which items were rated.

        Raises:
            DataError: there are no ratings, or some are infinite, outside the scale or (unless allowed) repeated.
        """
        if interactions.ratings is None or not interactions.rated:
            raise DataError(
                f"{self.name}: this data has no ratings to learn from; leave {self.name} out of the members"
            )
        rated = ~np.isnan(interactions.ratings)
        owners = interactions.owners[rated]
        rows, values = interactions.rows[rated], interactions.ratings[rated]
        low, high = self._scale()
        bad = ~np.isfinite(values) | (values < low) | (values > high)
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{self.name}: {int(bad.sum())} ratings are outside the scale {low:g} to {high:g}, such as "
                f"{values[first]:g} by user {interactions.users[owners[first]]!r} for catalog row {rows[first]}; "
                "fix the data or the scale"
            )
        kept = _last(owners * interactions.n_items + rows)
        if len(kept) < len(rows) and self.duplicates == "refused":
            raise DataError(
                f"{self.name}: {len(rows) - len(kept)} ratings repeat a user and an item; "
                "drop them, or set duplicates to 'last'"
            )
        ratings = Ratings(owners[kept], rows[kept], values[kept].astype(np.float64))
        self.rating_scale = self.rating_scale or _observed_scale(ratings.values)
        self.mean = float(ratings.values.mean())
        self.rated_items = np.bincount(ratings.rows, minlength=interactions.n_items) > 0
        return ratings

    def surprise_data(self, interactions: Interactions) -> SurpriseData:
        """Return the ``checked`` ratings in Surprise's form; raises ConfigError if Surprise cannot be used."""
        library = _surprise(self.name)
        ratings = self.checked(interactions)
        columns = (ratings.owners.tolist(), ratings.rows.tolist(), ratings.values.tolist())
        log = [(user, item, value, None) for user, item, value in zip(*columns, strict=True)]
        trainset = library.Dataset(library.Reader(rating_scale=self.rating_scale)).construct_trainset(log)
        triples = list(trainset.all_ratings())
        trainset.all_ratings = lambda: triples  # which Surprise would otherwise make once an epoch, in Python
        users = [trainset.to_raw_uid(inner) for inner in range(trainset.n_users)]
        rows = [trainset.to_raw_iid(inner) for inner in range(trainset.n_items)]
        return SurpriseData(library, trainset, users, rows)

    def usable(self, history: History) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the rows and ratings of a history that the model can use: rated items of the training data.

        For an item that the history rates twice, the last rating counts.

        Raises:
            UsageError: a rating is outside the scale.
        """
        if history.ratings is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        usable = self.usable_ratings(history.rows, history.ratings)
        rows, ratings = history.rows[usable], history.ratings[usable]
        last = _last(rows)
        return rows[last], ratings[last].astype(np.float64)

    def usable_ratings(self, rows: NDArray[np.int64], ratings: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell which ratings (NaN for none) are of items with training ratings; raises the error of ``usable``."""
        usable: NDArray[np.bool_] = self.rated_items[rows] & ~np.isnan(ratings)
        low, high = self._scale()
        # Compared in the ratings' own precision: as float64, a float32 rating of 4.3 exceeds a scale that ends at 4.3.
        outside = ratings[usable & ((ratings < low) | (ratings > high))]
        if len(outside):
            raise UsageError(
                f"a history rates an item {outside[0]:g}; the scale is {low:g} to {high:g}; "
                "fix the rating, or the domain's rating_scale"
            )
        return usable

    def with_items(self, n_items: int) -> Self:
        """Return the model for a catalog with more items: those are items without training ratings.

        Example:
            >>> len(recommender.state.rating_models["svd"].with_items(50).rated_items)
            50
        """
        model, added = copy.copy(self), n_items - len(self.rated_items)
        for name, shape in self.shapes.items():
            widths = [(0, added if word == "items" else 0) for word in shape.split()]
            setattr(model, name, np.pad(getattr(self, name), widths))
        for name, value in self.__dict__.items():
            if sparse.issparse(value):
                indptr = np.pad(value.indptr, (0, added), mode="edge")
                setattr(model, name, sparse.csr_matrix((value.data, value.indices, indptr), (n_items, n_items)))
        return model

    def settings(self) -> dict[str, Any]:
        """Return the hyper-parameters and the mean rating, ready for JSON."""
        return {**super().settings(), "mean": self.mean}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; Surprise is not needed."""
        expect(arrays, "rated_items", "b", (None,))
        options = dict(settings)
        mean = float(options.pop("mean"))
        model = super().from_arrays(arrays, options)
        model.mean = mean
        return model

    def _scale(self) -> tuple[float, float]:
        return self.rating_scale or (-np.inf, np.inf)

    def _clipped(self, ratings: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(ratings, *self._scale())

    def _worded(self, rows: NDArray[np.int64], raw: NDArray[np.float64], user_known: bool) -> list[Prediction]:
        ratings, known = self._clipped(raw), self.rated_items[rows]
        return [
            Prediction(int(row), float(rating), _reason(user_known, bool(item_known)))
            for row, rating, item_known in zip(rows, ratings, known, strict=True)
        ]


def by_row(learned: NDArray[np.float64], data: SurpriseData, n_items: int) -> NDArray[np.float32]:
    """Return an array by Surprise's item numbers as float32 by catalog row; items without ratings get zeros."""
    whole = np.zeros((n_items, *learned.shape[1:]), np.float32)
    whole[data.rows] = learned
    return whole


def too_large(n_items: int, limit: int, matrices: int) -> str | None:
    """Return that dense matrices ``[n_items, n_items]`` of a catalog do not fit into memory, if so."""
    if n_items <= limit:
        return None
    return (
        f"{n_items} items need dense matrices of {matrices * 8 * n_items**2 / 1e9:.0f} GB (the limit is {limit} "
        "items); use svd, which has no such limit"
    )


def ridge(design: NDArray[np.float64], target: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Solve ``min |design x - target|^2 + penalty |x|^2`` by the smaller system of normal equations."""
    n, width = design.shape
    if n < width:
        return np.asarray(design.T @ np.linalg.solve(design @ design.T + penalty * np.eye(n), target))
    return np.asarray(np.linalg.solve(design.T @ design + penalty * np.eye(width), design.T @ target))


def _surprise(name: str) -> ModuleType:
    """Import Surprise; raises ConfigError if another package has its name, or if an old version fails."""
    try:
        import surprise
    except ImportError as error:
        raise ConfigError(f"{name} needs Surprise, which cannot be imported ({error}); {INSTALL}") from None
    if not hasattr(surprise, "SVD"):
        raise ConfigError(
            f"{name}: {surprise.__file__} is another package named surprise; pip uninstall surprise, then {INSTALL}"
        )
    version = str(surprise.__version__)
    if tuple(int(part) for part in version.split(".")[:3] if part.isdigit()) < OLDEST_SURPRISE:
        raise ConfigError(f"{name}: Surprise {version} breaks on NumPy 2; {INSTALL}")
    module: ModuleType = surprise
    return module


def _last(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each key's last occurrence, in order."""
    _, last = np.unique(keys[::-1], return_index=True)
    return np.sort(len(keys) - 1 - last)


def _observed_scale(ratings: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(ratings.min()), float(ratings.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _reason(user_known: bool, item_known: bool) -> str | None:
    if user_known and item_known:
        return None
    if item_known:
        return "this user's ratings are unknown: mean and item only"
    if user_known:
        return "this item has no training ratings: mean and user only"
    return "user and item are unknown: the mean rating"
