"""SVD++: SVD that also hears which items a user rated at all, not only how; Surprise's, with fold-in.

``rating(u, i) = mean + b_u + b_i + q_i . (p_u + |N(u)|^-1/2 sum of y_j over j in N(u))`` (Koren, KDD 2008), ``N(u)``
being the user's items.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from genre_gen.collaborative.rating_model import Duplicates, SurpriseData
from genre_gen.collaborative.svd import SVD, Taste, by_row
from genre_gen.data.interactions import History


class SVDpp(SVD):
    """Predict ratings with Surprise's SVD++.

    Used as ``SVD`` is. A user's factors are ``p_u`` and the implicit part together, so that predicting is the same
    formula. Folded in, an interaction without a rating still counts as implicit: that it happened says something.

    Args:
        factors: length of the factor vectors.
        epochs: of stochastic gradient descent; the defaults from here to ``fold_in`` were chosen on held-out ratings
            of MovieLens-100K (``eval.ratings.tuning``). Surprise's own are 20, .007 and .02.
        learning_rate: of all parameters.
        regularisation: of all parameters, per rating.
        fold_in: ridge penalty of a folded-in user's bias and factors.
        rating_scale: lowest and highest rating; None takes them from the data.
        duplicates: a user who rated an item twice is ``refused``, or the ``last`` rating counts.
        seed: of the initial factors.
    """

    name: ClassVar[str] = "svdpp"

    def __init__(
        self,
        factors: int = 20,
        *,
        epochs: int = 80,
        learning_rate: float = 0.005,
        regularisation: float = 0.1,
        fold_in: float = 10.0,
        rating_scale: tuple[float, float] | None = None,
        duplicates: Duplicates = "refused",
        seed: int = 0,
    ) -> None:
        """Set the hyper-parameters; raises ConfigError where one is out of range."""
        super().__init__(
            factors,
            epochs=epochs,
            learning_rate=learning_rate,
            regularisation=regularisation,
            fold_in=fold_in,
            rating_scale=rating_scale,
            duplicates=duplicates,
            seed=seed,
        )
        self.implicit_factors = np.zeros((0, factors))

    def fold_in(self, history: History) -> Taste:
        """Solve for a user's bias and explicit factors; items, and the implicit part of the history, held fixed.

        Raises:
            UsageError: a rating that is not on the scale.
        """
        met = np.unique(history.rows[self.rated_items[history.rows]])
        if len(met) == 0:
            return self._unknown()
        implicit = self.implicit_factors[met].sum(axis=0) / np.sqrt(len(met))
        rows, ratings = self.usable(history)
        left = ratings - self.mean - self.item_bias[rows] - self.item_factors[rows] @ implicit
        bias, explicit = self._solve(rows, left)
        return Taste(bias, explicit + implicit)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters (float64) and the user ids (JSON in UTF-8 bytes)."""
        return super().arrays() | {"implicit_factors": self.implicit_factors}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; Surprise is not needed."""
        model = super().from_arrays(arrays, settings)
        model.implicit_factors = arrays["implicit_factors"]
        return model

    def _algorithm(self, library: ModuleType) -> Any:
        return library.SVDpp(
            n_factors=self.factors,
            n_epochs=self.epochs,
            lr_all=self.learning_rate,
            reg_all=self.regularisation,
            random_state=self.seed,
            cache_ratings=True,  # four times as fast, for a copy of the ratings
        )

    def _keep(self, algorithm: Any, data: SurpriseData) -> None:
        super()._keep(algorithm, data)
        self.implicit_factors = by_row(algorithm.yj, self, data)
        for user, rated in data.trainset.ur.items():
            items = [item for item, _ in rated]
            self.user_factors[user] += np.asarray(algorithm.yj)[items].sum(axis=0) / np.sqrt(len(items))
