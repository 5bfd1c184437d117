"""SVD: Surprise's biased matrix factorisation of ratings, with fold-in of new users.

``rating(u, i) = mean + b_u + b_i + q_i . p_u`` (Koren, Bell, Volinsky, 2009), learned by Surprise's SGD. Only the
arrays of that formula are kept: there is no pickle, and predicting does not need Surprise.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative.base import rows_of
from genre_gen.collaborative.prefixes import PrefixScorer
from genre_gen.collaborative.rating_model import Duplicates, Prediction, RatingModel, SurpriseData, by_row, ridge
from genre_gen.collaborative.running_ridge import Factorisation, FoldedPrefixes
from genre_gen.data.history import History, check_rows
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError
from genre_gen.folders.arrays import expect, json_in, texts

__all__ = ["SVD", "Prediction", "Taste"]
BLOCK = 2**14
"""Items whose ratings are computed at a time."""


@dataclass(frozen=True)
class Taste:
    """The parameters of one user.

    Attributes:
        bias: the user's mean deviation from the mean rating.
        factors: float64 ``[factors]``.
        known: False if there were no ratings; then both are zero.
    """

    bias: float
    factors: NDArray[np.float64]
    known: bool = True


class SVD(RatingModel):
    """Predict ratings with Surprise's SVD.

    Histories are always *folded in*: the user's bias and factors are solved for from the ratings of the history, with
    fixed items. So a history may contain ratings made after training, and a history of a new user is treated like a
    stored one. The factors that Surprise learned for its training users are used if a user is named by id; then
    ``predict`` equals Surprise's.

    Args:
        factors: length of the factor vectors.
        epochs: epochs of stochastic gradient descent.
        learning_rate: learning rate of all parameters.
        regularisation: penalty on all parameters, per rating.
        fold_in_penalty: ridge penalty of a folded-in user's bias and factors.
        rating_scale: see ``RatingModel``.
        duplicates: see ``RatingModel``.
        seed: seed of the initial factors.
    """

    name: ClassVar[str] = "svd"
    hyperparameters = (
        "factors", "epochs", "learning_rate", "regularisation", "fold_in_penalty", "seed", *RatingModel.SHARED,
    )  # fmt: skip
    learned: ClassVar[tuple[str, ...]] = ("user_bias", "item_bias", "user_factors", "item_factors", "rated_items")
    shapes: ClassVar[Mapping[str, str]] = {
        "user_bias": "users", "user_factors": "users factors", "item_bias": "items", "item_factors": "items factors",
        "rated_items": "items",
    }  # fmt: skip
    relations = ("predicted", "liked_too")

    def __init__(
        self,
        factors: int = 100,
        *,
        epochs: int = 20,
        learning_rate: float = 0.005,
        regularisation: float = 0.02,
        fold_in_penalty: float = 20.0,
        rating_scale: tuple[float, float] | None = None,
        duplicates: Duplicates = "refused",
        seed: int = 0,
    ) -> None:
        """Set the hyper-parameters; raises ConfigError if one is out of range."""
        if factors < 1 or epochs < 1 or learning_rate <= 0 or regularisation < 0 or fold_in_penalty <= 0:
            raise ConfigError(
                f"{self.name}: factors {factors}, epochs {epochs}, learning_rate {learning_rate}, regularisation "
                f"{regularisation}, fold_in_penalty {fold_in_penalty}; all must be > 0 (regularisation may be 0)"
            )
        super().__init__(rating_scale, duplicates)
        self.factors, self.epochs, self.learning_rate = factors, epochs, learning_rate
        self.regularisation, self.fold_in_penalty, self.seed = regularisation, fold_in_penalty, seed
        self.users: tuple[str, ...] = ()
        self.user_bias, self.item_bias = np.zeros(0, np.float32), np.zeros(0, np.float32)
        self.user_factors, self.item_factors = (np.zeros((0, factors), np.float32) for _ in range(2))
        self._row_of_user: dict[str, int] = {}

    def fit(self, interactions: Interactions) -> Self:
        """Learn from the ratings; raises the errors of ``surprise_data``."""
        data = self.surprise_data(interactions)
        self.users = tuple(interactions.users[row] for row in data.user_rows)
        self._row_of_user = {user: row for row, user in enumerate(self.users)}
        self._keep(self._algorithm(data.surprise).fit(data.trainset), data)
        return self

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return expected ratings, float32 ``[len(histories), n_items]``, not clipped, so that top items do not tie."""
        check_rows(rows_of(histories), len(self.item_bias))
        tastes = [self.fold_in(history) for history in histories]
        factors = np.array([taste.factors for taste in tastes]).reshape(len(tastes), self.factors)
        bias = np.array([taste.bias for taste in tastes])
        scores = np.empty((len(tastes), len(self.item_bias)), np.float32)
        for begin in range(0, len(self.item_bias), BLOCK):  # the product is in float64, one block of items at a time
            part = slice(begin, begin + BLOCK)
            scores[:, part] = self.mean + bias[:, None] + self.item_bias[part] + factors @ self.item_factors[part].T
        return scores

    def prefix_scorer(self, interactions: Interactions, *, repeat: bool = True) -> PrefixScorer:
        """Return what folds all prefixes of a history in at once."""
        return FoldedPrefixes(self._factorisation(), self.usable_ratings)

    def fold_in(self, history: History) -> Taste:
        """Solve for a user's bias and factors from the ratings in a history, with fixed items.

        Minimises ``sum (rating - mean - b_i - b_u - q_i . p_u)^2 + penalty (b_u^2 + |p_u|^2)``. Interactions without a
        rating, and items without ratings in training, are left out.

        Raises:
            UsageError: a rating is outside the scale.
        """
        rows, ratings = self.usable(history)
        if not len(rows):
            return self._unknown()
        bias, factors = self._solve(rows, ratings - self.mean - self.item_bias[rows])
        return Taste(bias, factors)

    def taste(self, who: str | History) -> Taste:
        """Return the parameters of a user id (learned by Surprise) or of a history (folded in)."""
        if isinstance(who, History):
            return self.fold_in(who)
        row = self._row_of_user.get(who)
        if row is None:
            return self._unknown()
        return Taste(float(self.user_bias[row]), self.user_factors[row].astype(np.float64))

    def estimate(self, who: str | History, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], bool]:
        """Return expected ratings, not clipped, and whether the user is known (see ``predict``)."""
        taste = self.taste(who)
        return self.mean + taste.bias + self.item_bias[rows] + self.item_factors[rows] @ taste.factors, taste.known

    def predict(self, who: str | History, rows: Sequence[int] | NDArray[np.integer]) -> list[Prediction]:
        """Predict as ``RatingModel`` does; ``who`` may also be a user id of the training data."""
        wanted = np.asarray(rows, dtype=np.int64)
        return self._worded(wanted, *self.estimate(who, wanted))

    def rate(self, who: str | History, rows: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the same ratings as ``predict``, as an array."""
        return self._clipped(self.estimate(who, np.asarray(rows, dtype=np.int64))[0])

    def without_users(self) -> Self:
        """Return the model without ids, biases and factors of the training users; histories are folded in as before."""
        model = copy.copy(self)
        model.users, model._row_of_user = (), {}
        model.user_bias, model.user_factors = self.user_bias[:0], self.user_factors[:0]
        return model

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters (float32) and the user ids (JSON in UTF-8 bytes)."""
        return super().arrays() | {"users": np.frombuffer(json.dumps(self.users).encode(), dtype=np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; Surprise is not needed. Raises ValueError for arrays that do not fit together."""
        model = super().from_arrays(arrays, settings)
        model.users = texts(json_in(arrays, "users"), "users")
        expect(arrays, "user_bias", "f", (len(model.users),))
        if model.item_factors.shape[1] != model.factors:
            raise ValueError(f"item_factors are {model.item_factors.shape[1]} wide, not {model.factors}")
        model._row_of_user = {user: row for row, user in enumerate(model.users)}
        return model

    def _algorithm(self, library: ModuleType) -> Any:
        """Return Surprise's untrained algorithm."""
        return library.SVD(**self._surprise_options())

    def _surprise_options(self) -> dict[str, Any]:
        return {
            "n_factors": self.factors,
            "n_epochs": self.epochs,
            "lr_all": self.learning_rate,
            "reg_all": self.regularisation,
            "random_state": self.seed,
        }

    def _keep(self, algorithm: Any, data: SurpriseData) -> None:
        """Copy the parameters of Surprise's algorithm, ordered by catalog and user row, in single precision."""
        n_items = len(self.rated_items)
        self.user_bias, self.user_factors = (np.array(part, np.float32) for part in (algorithm.bu, algorithm.pu))
        self.item_bias, self.item_factors = (by_row(part, data, n_items) for part in (algorithm.bi, algorithm.qi))

    def _factorisation(self) -> Factorisation:
        """Return the regression that ``fold_in`` solves, as one sample; the first factor belongs to the bias."""
        design = np.column_stack([np.ones(len(self.item_bias)), self.item_factors])[None]
        precision = self.fold_in_penalty * np.eye(design.shape[2])[None]
        return Factorisation(design, (self.mean + self.item_bias)[None], precision, np.ones(1), self.rated_items)

    def _solve(self, rows: NDArray[np.int64], residuals: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the bias and factors that fit the residuals of a user's ratings over mean and items."""
        design = np.column_stack([np.ones(len(rows)), self.item_factors[rows]])  # float64 [n, 1 + factors]
        solution = ridge(design, residuals, self.fold_in_penalty)
        return float(solution[0]), solution[1:]

    def _unknown(self) -> Taste:
        return Taste(0.0, np.zeros(self.factors), known=False)
