"""SVD++: Surprise's SVD that also uses the set of items that a user rated, with fold-in of new users.

``rating(u, i) = mean + b_u + b_i + q_i . (p_u + |N(u)|^-1/2 sum of y_j over j in N(u))`` (Koren, KDD 2008), where
``N(u)`` are the user's items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from genre_gen.collaborative.rating_model import SurpriseData, by_row
from genre_gen.collaborative.running_ridge import Factorisation
from genre_gen.collaborative.svd import SVD, Taste
from genre_gen.data.history import History


class SVDpp(SVD):
    """Predict ratings with Surprise's SVD++.

    It is used like ``SVD``: a user's factors are ``p_u`` plus the implicit part, so the formula of a prediction is the
    same. In a folded-in history, interactions without a rating are part of the implicit part.

    Args:
        factors: length of the factor vectors.
        epochs: of stochastic gradient descent; the defaults from here to ``fold_in_penalty`` were chosen on held-out
            ratings of MovieLens-100K (``eval.ratings.tuning``). Surprise's own are 20, .007 and .02.
        learning_rate: learning rate of all parameters.
        regularisation: penalty on all parameters, per rating.
        fold_in_penalty: ridge penalty of a folded-in user's bias and factors.
        options: ``rating_scale``, ``duplicates`` and ``seed``, see ``SVD``.
    """

    name: ClassVar[str] = "svdpp"
    learned = (*SVD.learned, "implicit_factors")
    shapes: ClassVar[Mapping[str, str]] = {**SVD.shapes, "implicit_factors": "items factors"}

    def __init__(
        self,
        factors: int = 20,
        *,
        epochs: int = 80,
        learning_rate: float = 0.005,
        regularisation: float = 0.1,
        fold_in_penalty: float = 10.0,
        **options: Any,
    ) -> None:
        """Set the hyper-parameters; raises ConfigError if one is out of range."""
        super().__init__(
            factors,
            epochs=epochs,
            learning_rate=learning_rate,
            regularisation=regularisation,
            fold_in_penalty=fold_in_penalty,
            **options,
        )
        self.implicit_factors = np.zeros((0, factors), np.float32)

    def fold_in(self, history: History) -> Taste:
        """Solve for a user's bias and explicit factors, with fixed items and implicit part of the history.

        Raises:
            UsageError: a rating is outside the scale.
        """
        implicit_rows = np.unique(history.rows[self.rated_items[history.rows]])
        if not len(implicit_rows):
            return self._unknown()
        implicit = self.implicit_factors[implicit_rows].sum(axis=0, dtype=np.float64) / np.sqrt(len(implicit_rows))
        rows, ratings = self.usable(history)
        residuals = ratings - self.mean - self.item_bias[rows] - self.item_factors[rows] @ implicit
        bias, explicit = self._solve(rows, residuals)
        return Taste(bias, explicit + implicit)

    def _factorisation(self) -> Factorisation:
        """Return the regression around the implicit part, which adds nothing to the bias."""
        implicit = np.column_stack([np.zeros(len(self.item_bias)), self.implicit_factors])[None]
        return replace(super()._factorisation(), implicit=implicit)

    def _algorithm(self, library: ModuleType) -> Any:
        return library.SVDpp(**self._surprise_options(), cache_ratings=True)  # four times as fast, for one more copy

    def _keep(self, algorithm: Any, data: SurpriseData) -> None:
        super()._keep(algorithm, data)
        influence = np.asarray(algorithm.yj)
        self.implicit_factors = by_row(influence, data, len(self.rated_items))
        for user, rated in data.trainset.ur.items():
            items = [item for item, _ in rated]
            self.user_factors[user] = algorithm.pu[user] + influence[items].sum(axis=0) / np.sqrt(len(items))
