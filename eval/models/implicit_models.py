"""BPR and ALS of the package implicit, with the interface of the collaborative models."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import history_matrix
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError, UsageError


class BPR:
    """Bayesian personalised ranking (Rendle et al., UAI 2009): matrix factorisation on pairs of items.

    Users are identified by id; for a user who was not in training, items are ranked by their biases.

    Args:
        factors: length of the factor vectors.
        learning_rate: of stochastic gradient descent.
        regularization: of all factors.
        iterations: passes over the interactions.
        seed: of factors and samples.
    """

    name: ClassVar[str] = "bpr"

    def __init__(
        self,
        factors: int = 64,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        iterations: int = 100,
        seed: int = 0,
    ) -> None:
        """Set the hyper-parameters."""
        self.factors, self.learning_rate, self.regularization = factors, learning_rate, regularization
        self.iterations, self.seed = iterations, seed
        self.user_factors, self.item_factors = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
        self.row_of_user: dict[str | None, int] = {}

    def fit(self, interactions: Interactions) -> Self:
        """Learn factors of users and items."""
        model = _implicit().cpu.bpr.BayesianPersonalizedRanking(
            factors=self.factors,
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=self.iterations,
            num_threads=1,  # with more threads, results would not be reproducible
            random_state=self.seed,
        )
        model.fit(_matrix(interactions), show_progress=False)
        self.user_factors, self.item_factors = model.user_factors, model.item_factors
        self.row_of_user = {user: row for row, user in enumerate(interactions.users)}
        return self

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return the products of user and item factors: float32 ``[len(histories), n_items]``."""
        users = np.zeros((len(histories), self.user_factors.shape[1]), dtype=np.float32)
        users[:, -1] = 1.0  # the last column of the items is their bias
        for number, history in enumerate(histories):
            row = self.row_of_user.get(history.user)
            if row is not None:
                users[number] = self.user_factors[row]
        return users @ self.item_factors.T


class ALS:
    """Weighted matrix factorisation of implicit feedback (Hu, Koren and Volinsky, ICDM 2008).

    Users are solved for from their histories, known or new.

    Args:
        factors: length of the factor vectors.
        regularization: of all factors.
        alpha: weight of an interaction; an item without interaction has weight 1.
        iterations: alternations.
        seed: of the initial factors.
    """

    name: ClassVar[str] = "als"

    def __init__(
        self,
        factors: int = 64,
        regularization: float = 1.0,
        alpha: float = 10.0,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        """Set the hyper-parameters."""
        self.factors, self.regularization, self.alpha = factors, regularization, alpha
        self.iterations, self.seed = iterations, seed
        self.n_items = 0
        self.model: Any = None

    def fit(self, interactions: Interactions) -> Self:
        """Learn factors of users and items."""
        self.n_items = interactions.n_items
        self.model = _implicit().cpu.als.AlternatingLeastSquares(
            factors=self.factors,
            regularization=self.regularization,
            alpha=self.alpha,
            iterations=self.iterations,
            random_state=self.seed,
        )
        self.model.fit(_matrix(interactions), show_progress=False)
        return self

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return the products of folded-in users and item factors: float32 ``[len(histories), n_items]``."""
        if self.model is None:
            raise UsageError("als is not fitted; call fit first")
        seen = sparse.csr_matrix(history_matrix(histories, self.n_items))
        users = self.model.recalculate_user(np.arange(len(histories)), seen)
        return np.asarray(np.atleast_2d(users) @ self.model.item_factors.T, dtype=np.float32)


def _matrix(interactions: Interactions) -> sparse.csr_matrix:
    return sparse.csr_matrix(history_matrix(interactions.histories(), interactions.n_items))


def _implicit() -> ModuleType:
    try:
        import implicit.cpu.als
        import implicit.cpu.bpr
    except ImportError as error:
        raise ConfigError(f"bpr and als need the package implicit ({error}); pip install implicit") from None
    module: ModuleType = implicit
    return module
