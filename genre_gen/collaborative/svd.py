"""SVD: Surprise's biased matrix factorisation, for ratings; with fold-in of users it has never met.

``rating(u, i) = mean + b_u + b_i + q_i . p_u`` (Koren, Bell, Volinsky, 2009), learned by Surprise's SGD. What is kept
are the arrays of that formula: no pickle, and no Surprise needed to predict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from genre_gen.collaborative.base import CollaborativeModel, history_matrix
from genre_gen.errors import ConfigError, DataError, UsageError
from genre_gen.interactions import History, Interactions

OLDEST_SURPRISE = (1, 1, 5)
INSTALL = "pip install 'scikit-surprise>=1.1.5'"


@dataclass(frozen=True)
class Prediction:
    """One predicted rating.

    Attributes:
        row: catalog row of the item.
        rating: on the data's scale, clipped to it.
        reason: what the model could not take into account; None where it knew both user and item.
    """

    row: int
    rating: float
    reason: str | None = None


@dataclass(frozen=True)
class Taste:
    """What the model knows of one user.

    Attributes:
        bias: how far above the mean the user rates.
        factors: float64 ``[factors]``.
        known: False where there was no rating to learn from, so that both are zero.
    """

    bias: float
    factors: NDArray[np.float64]
    known: bool = True


class SVD(CollaborativeModel):
    """Predict ratings with Surprise's SVD.

    Histories are always *folded in*: the user's bias and factors are solved for from the history's own ratings, items
    held fixed. A history may hold ratings made since training (in leave-one-out the test histories hold the validation
    item), and a history given by hand must be worth as much as a stored one. The factors that Surprise learned for its
    training users are used where a user is named by id: then ``predict`` equals Surprise's own.

    Args:
        factors: length of the factor vectors.
        epochs: of stochastic gradient descent.
        learning_rate: of all parameters.
        regularisation: of all parameters, per rating.
        fold_in: ridge penalty of a folded-in user's bias and factors.
        rating_scale: lowest and highest rating; None takes them from the data.
        duplicates: a user who rated an item twice is ``refused``, or the ``last`` rating counts.
        seed: of the initial factors.
    """

    name: ClassVar[str] = "svd"

    def __init__(
        self,
        factors: int = 100,
        *,
        epochs: int = 20,
        learning_rate: float = 0.005,
        regularisation: float = 0.02,
        fold_in: float = 20.0,
        rating_scale: tuple[float, float] | None = None,
        duplicates: Literal["refused", "last"] = "refused",
        seed: int = 0,
    ) -> None:
        """Set the hyper-parameters; raises ConfigError where one is out of range."""
        if factors < 1 or epochs < 1 or learning_rate <= 0 or regularisation < 0 or fold_in <= 0:
            raise ConfigError(
                f"svd: factors {factors}, epochs {epochs}, learning_rate {learning_rate}, regularisation "
                f"{regularisation}, fold_in {fold_in}; all must be > 0 (regularisation may be 0)"
            )
        if rating_scale is not None and not rating_scale[0] < rating_scale[1]:
            raise ConfigError(f"svd: rating_scale is {rating_scale}; give the lowest and the highest rating")
        self.factors, self.epochs, self.learning_rate = factors, epochs, learning_rate
        self.regularisation, self.fold_in_penalty = regularisation, fold_in
        self.duplicates, self.seed = duplicates, seed
        self.rating_scale = None if rating_scale is None else (float(rating_scale[0]), float(rating_scale[1]))
        self.mean = 0.0
        self.users: tuple[str, ...] = ()
        self.user_bias, self.item_bias = np.zeros(0), np.zeros(0)
        self.user_factors, self.item_factors = np.zeros((0, factors)), np.zeros((0, factors))
        self.rated_items = np.zeros(0, dtype=bool)
        self._row_of_user: dict[str, int] = {}

    def fit(self, interactions: Interactions) -> Self:
        """Learn from the ratings; interactions without one (NaN) are left out.

        Raises:
            DataError: no ratings, or infinite, out-of-scale or (unless allowed) repeated ones.
            ConfigError: Surprise is missing, too old, or another package of that name.
        """
        surprise = _surprise()
        users, rows, ratings = self._checked(interactions)
        self.rating_scale = self.rating_scale or _observed_scale(ratings)
        reader = surprise.Reader(rating_scale=self.rating_scale)
        log = zip(users.tolist(), rows.tolist(), ratings.astype(np.float64).tolist(), [None] * len(rows), strict=True)
        trainset = surprise.Dataset(reader).construct_trainset(list(log))
        algorithm = surprise.SVD(
            n_factors=self.factors,
            n_epochs=self.epochs,
            lr_all=self.learning_rate,
            reg_all=self.regularisation,
            random_state=self.seed,
        ).fit(trainset)
        # Surprise numbers users and items by first appearance; ours are user rows and catalog rows.
        known_users = [trainset.to_raw_uid(inner) for inner in range(trainset.n_users)]
        known_items = [trainset.to_raw_iid(inner) for inner in range(trainset.n_items)]
        self.users = tuple(interactions.users[row] for row in known_users)
        self.mean = float(trainset.global_mean)
        self.user_bias, self.user_factors = np.array(algorithm.bu), np.array(algorithm.pu)
        self.item_bias = np.zeros(interactions.n_items)
        self.item_factors = np.zeros((interactions.n_items, self.factors))
        self.rated_items = np.zeros(interactions.n_items, dtype=bool)
        self.item_bias[known_items], self.item_factors[known_items] = algorithm.bi, algorithm.qi
        self.rated_items[known_items] = True
        self._row_of_user = {user: row for row, user in enumerate(self.users)}
        return self

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return expected ratings, float32 ``[len(histories), n_items]``, not clipped: good items shall not tie."""
        history_matrix(histories, len(self.item_bias))  # refuses rows of another catalog, as every model does
        tastes = [self.fold_in(history) for history in histories]
        factors = np.array([taste.factors for taste in tastes]).reshape(len(tastes), self.factors)
        bias = np.array([taste.bias for taste in tastes])
        return (self.mean + bias[:, None] + self.item_bias + factors @ self.item_factors.T).astype(np.float32)

    def fold_in(self, history: History) -> Taste:
        """Solve for a user's bias and factors from the ratings in a history, items held fixed.

        Minimises ``sum (rating - mean - b_i - b_u - q_i . p_u)^2 + fold_in (b_u^2 + |p_u|^2)``. Interactions without a
        rating, and items that nobody rated in training, say nothing.

        Raises:
            UsageError: a rating that is not on the scale.
        """
        if history.ratings is None:
            return self._unknown()
        usable = self.rated_items[history.rows] & ~np.isnan(history.ratings)
        rows, ratings = history.rows[usable], history.ratings[usable].astype(np.float64)
        if len(rows) == 0:
            return self._unknown()
        low, high = self._scale()
        if ratings.min() < low or ratings.max() > high:
            outside = ratings[(ratings < low) | (ratings > high)][0]
            raise UsageError(f"a history rates an item {outside:g}; the scale is {low:g} to {high:g}")
        design = np.column_stack([np.ones(len(rows)), self.item_factors[rows]])  # [n, 1 + factors]
        left = ratings - self.mean - self.item_bias[rows]
        solution = _ridge(design, left, self.fold_in_penalty)
        return Taste(float(solution[0]), solution[1:])

    def taste(self, who: str | History) -> Taste:
        """Return what is known of a user id (as Surprise learned it) or of a history (folded in)."""
        if isinstance(who, History):
            return self.fold_in(who)
        row = self._row_of_user.get(who)
        return self._unknown() if row is None else Taste(float(self.user_bias[row]), self.user_factors[row])

    def predict(self, who: str | History, rows: Sequence[int] | NDArray[np.integer]) -> list[Prediction]:
        """Predict one user's ratings of items.

        Args:
            who: a user id of the training data, or a history with ratings.
            rows: catalog rows.

        Returns:
            One prediction per row. Where the user or the item is unknown the prediction is made from what is left
            (mean and the other's bias) and says so in ``reason``: neither an error nor a silent guess.
        """
        rows = np.asarray(rows, dtype=np.int64)
        taste = self.taste(who)
        raw = self.mean + taste.bias + self.item_bias[rows] + self.item_factors[rows] @ taste.factors
        ratings = np.clip(raw, *self._scale())
        known = self.rated_items[rows]
        return [
            Prediction(int(row), float(rating), _reason(taste.known, bool(item_known)))
            for row, rating, item_known in zip(rows, ratings, known, strict=True)
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters (float64) and the user ids (JSON in UTF-8 bytes)."""
        return {
            "user_bias": self.user_bias,
            "item_bias": self.item_bias,
            "user_factors": self.user_factors,
            "item_factors": self.item_factors,
            "rated_items": self.rated_items,
            "users": np.frombuffer(json.dumps(self.users).encode(), dtype=np.uint8),
        }

    def settings(self) -> dict[str, Any]:
        """Return the hyper-parameters and the mean rating."""
        return {
            "factors": self.factors,
            "epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "regularisation": self.regularisation,
            "fold_in": self.fold_in_penalty,
            "rating_scale": None if self.rating_scale is None else list(self.rating_scale),
            "duplicates": self.duplicates,
            "seed": self.seed,
            "mean": self.mean,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; Surprise is not needed."""
        options = dict(settings)
        mean, scale = options.pop("mean"), options.pop("rating_scale")
        model = cls(rating_scale=None if scale is None else (scale[0], scale[1]), **options)
        model.mean = mean
        model.user_bias, model.item_bias = arrays["user_bias"], arrays["item_bias"]
        model.user_factors, model.item_factors = arrays["user_factors"], arrays["item_factors"]
        model.rated_items = arrays["rated_items"]
        model.users = tuple(json.loads(arrays["users"].tobytes()))
        model._row_of_user = {user: row for row, user in enumerate(model.users)}
        return model

    def _unknown(self) -> Taste:
        return Taste(0.0, np.zeros(self.factors), known=False)

    def _scale(self) -> tuple[float, float]:
        return self.rating_scale or (-np.inf, np.inf)

    def _checked(self, interactions: Interactions) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return user rows, catalog rows and ratings, one entry per rating, or say what is wrong with them.

        One NaN or huge rating would turn every factor into NaN, and Surprise would answer with the top of the scale.
        """
        if interactions.ratings is None or np.isnan(interactions.ratings).all():
            raise DataError("svd: this data has no ratings to learn from; leave svd out of the blend's members")
        rated = ~np.isnan(interactions.ratings)
        owners = np.repeat(np.arange(len(interactions.users)), np.diff(interactions.offsets))[rated]
        rows, ratings = interactions.rows[rated], interactions.ratings[rated]
        low, high = self._scale()
        bad = ~np.isfinite(ratings) | (ratings < low) | (ratings > high)
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"svd: {int(bad.sum())} ratings are not on the scale {low:g} to {high:g}, such as {ratings[first]:g} "
                f"by user {interactions.users[owners[first]]!r} of catalog row {rows[first]}; mend the data or scale"
            )
        _, last = np.unique((owners * interactions.n_items + rows)[::-1], return_index=True)
        kept = np.sort(len(rows) - 1 - last)
        if len(kept) < len(rows) and self.duplicates == "refused":
            raise DataError(
                f"svd: {len(rows) - len(kept)} ratings repeat a user and an item; "
                "drop them, or set duplicates to 'last'"
            )
        return owners[kept], rows[kept], ratings[kept]


def _surprise() -> ModuleType:
    """Import Surprise, or say what to install: the name is easily taken by another package, and old ones break."""
    try:
        import surprise
    except ImportError as error:
        raise ConfigError(f"svd needs Surprise, which does not load here ({error}); {INSTALL}") from None
    if not hasattr(surprise, "SVD"):
        raise ConfigError(
            f"svd: {surprise.__file__} is another package named surprise; pip uninstall surprise, then {INSTALL}"
        )
    version = str(surprise.__version__)
    if tuple(int(part) for part in version.split(".")[:3] if part.isdigit()) < OLDEST_SURPRISE:
        raise ConfigError(f"svd: Surprise {version} breaks on NumPy 2; {INSTALL}")
    module: ModuleType = surprise
    return module


def _observed_scale(ratings: NDArray[np.float32]) -> tuple[float, float]:
    low, high = float(ratings.min()), float(ratings.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _ridge(design: NDArray[np.float64], target: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Solve ``min |design x - target|^2 + penalty |x|^2``, by whichever normal equations are smaller."""
    n, width = design.shape
    if n < width:
        return np.asarray(design.T @ np.linalg.solve(design @ design.T + penalty * np.eye(n), target))
    return np.asarray(np.linalg.solve(design.T @ design + penalty * np.eye(width), design.T @ target))


def _reason(user_known: bool, item_known: bool) -> str | None:
    if user_known and item_known:
        return None
    if item_known:
        return "nothing is known of this user's ratings: mean and item only"
    if user_known:
        return "nobody rated this item in training: mean and user only"
    return "neither user nor item is known: the mean rating"
