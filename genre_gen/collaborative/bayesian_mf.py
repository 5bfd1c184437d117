"""BayesianMF: matrix factorisation that averages over the posterior of the factors instead of choosing one estimate.

``rating(u, i) = mean + b_u + b_i + q_i . p_u + noise``, sampled by Gibbs (Salakhutdinov and Mnih, ICML 2008, with the
biases as one more dimension). A user's factors and bias are drawn around ``prior + |N(u)|^-1/2 sum of y_j``, which
uses the set of rated items as SVD++ does (``y`` sampled as in Macau, Simm et al., 2015). No learning rate or number of
epochs needs tuning: the spread of factors and the noise of ratings are sampled too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import rows_of
from genre_gen.collaborative.prefixes import PrefixScorer
from genre_gen.collaborative.rating_model import Duplicates, RatingModel, too_large
from genre_gen.collaborative.running_ridge import Factorisation, FoldedPrefixes
from genre_gen.data.batches import batches
from genre_gen.data.history import History, check_rows
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError, DataError

Matrix = NDArray[np.float64]
PRIOR_STRENGTH = 2.0
"""The hyper-prior's mean has the weight of this many users (or items); the paper's value."""
MAX_ITEMS = 10_000
"""Fitting factors a dense ``[n_items, n_items]`` once, which takes 2 GB with copies at this size."""
BLOCK = 4096
"""Items whose ratings are computed at a time."""


class BayesianMF(RatingModel):
    """Predict ratings by the mean over samples of a Bayesian matrix factorisation.

    A user is given by a history only. Under each kept sample of the items, the mean of the user's factors has a closed
    form, which replaces sampling them. So a new user is treated like one of the training data.

    Args:
        factors: length of the factor vectors; a larger number costs time and does not hurt accuracy.
        implicit_penalty: regularises the implicit factors ``y``, > 0.
        warm_up: sweeps before the first kept sample.
        samples: number of samples of the items' factors that are kept.
        apart: sweeps from one kept sample to the next; consecutive ones are too similar to be worth their memory.
        rating_scale: see ``RatingModel``.
        duplicates: see ``RatingModel``.
        seed: seed of the sampling.
    """

    name: ClassVar[str] = "bayesian_mf"
    hyperparameters = (
        "factors", "implicit_penalty", "warm_up", "samples", "apart", "seed", *RatingModel.SHARED,
    )  # fmt: skip
    learned = (
        "items", "implicit", "user_means", "user_precisions", "precisions", "rated_items",
    )  # fmt: skip
    shapes: ClassVar[Mapping[str, str]] = {
        "items": "samples items width", "implicit": "samples items width", "user_means": "samples width",
        "user_precisions": "samples width width", "precisions": "samples", "rated_items": "items",
    }  # fmt: skip

    def __init__(
        self,
        factors: int = 10,
        *,
        implicit_penalty: float = 5.0,
        warm_up: int = 50,
        samples: int = 50,
        apart: int = 5,
        rating_scale: tuple[float, float] | None = None,
        duplicates: Duplicates = "refused",
        seed: int = 0,
    ) -> None:
        """Set the hyper-parameters; raises ConfigError if one is out of range."""
        if min(factors, samples, apart) < 1 or warm_up < 0 or not implicit_penalty > 0:
            raise ConfigError(
                f"{self.name}: factors {factors}, implicit_penalty {implicit_penalty}, warm_up {warm_up}, samples "
                f"{samples}, apart {apart}; all must be >= 1 (warm_up may be 0, implicit_penalty must be > 0)"
            )
        super().__init__(rating_scale, duplicates)
        self.factors, self.warm_up, self.samples, self.apart, self.seed = factors, warm_up, samples, apart, seed
        self.implicit_penalty = implicit_penalty
        width = factors + 1
        # Half precision: rounding is far below the spread of the samples, whose mean a prediction is.
        self.items, self.implicit = (np.zeros((samples, 0, width), dtype=np.float16) for _ in range(2))
        self.user_means, self.user_precisions = np.zeros((samples, width)), np.zeros((samples, width, width))
        self.precisions = np.zeros(samples)

    @classmethod
    def cannot_learn(cls, interactions: Interactions) -> str | None:
        """Return that there are no ratings, or more than MAX_ITEMS items."""
        return super().cannot_learn(interactions) or too_large(interactions.n_items, MAX_ITEMS, matrices=2)

    def fit(self, interactions: Interactions) -> Self:
        """Draw the samples; raises DataError for more than MAX_ITEMS items, and the errors of ``checked``."""
        if why := too_large(interactions.n_items, MAX_ITEMS, matrices=2):
            raise DataError(f"{self.name}: {why}")
        ratings = self.checked(interactions)
        rng = np.random.default_rng(self.seed)
        shape = (len(interactions.users), interactions.n_items)
        above = sparse.csr_matrix((ratings.values - self.mean, (ratings.owners, ratings.rows)), shape=shape)
        by_user, by_item = Side(above), Side(above.T.tocsr())
        influence = Implicit(by_user.given, self.implicit_penalty)
        users, items = (rng.normal(0, 0.1, (n, self.factors + 1)) for n in shape)
        expected, precision = np.zeros_like(users), 1.0 / max(float(ratings.values.var()), 1e-3)
        self.items = np.zeros((self.samples, shape[1], self.factors + 1), dtype=np.float16)
        self.implicit = np.zeros_like(self.items)
        for sweep in range(1, self.warm_up + self.samples * self.apart + 1):
            prior = sample_prior(users - expected, rng)
            implicit = influence.sample(users, prior, rng)
            expected = influence.shares @ implicit
            users = by_user.sample(items, prior.mean + expected, prior.precision, precision, rng)
            items_prior = sample_prior(items, rng)
            items = by_item.sample(users, items_prior.mean, items_prior.precision, precision, rng)
            precision = sample_noise(ratings.values - self.mean, users[ratings.owners], items[ratings.rows], rng)
            kept, rest = divmod(sweep - self.warm_up, self.apart)
            if kept > 0 and rest == 0:
                self.items[kept - 1], self.implicit[kept - 1] = items, implicit
                self.user_means[kept - 1], self.user_precisions[kept - 1] = prior.mean, prior.precision
                self.precisions[kept - 1] = precision
        return self

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; raises ValueError for arrays that do not fit its settings."""
        model = super().from_arrays(arrays, settings)
        if model.items.shape[::2] != (model.samples, model.factors + 1):
            raise ValueError(f"items have the shape {model.items.shape} for {model.samples} samples")
        return model

    def estimate(self, history: History, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], bool]:
        """Return expected ratings, not clipped, and whether the history has an item with training ratings.

        An interaction without a rating counts as implicit evidence.
        """
        user, known = self._user(history)
        return self._expected(user[None], rows)[0], known

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return expected ratings, float32 ``[len(histories), n_items]``, not clipped, so that top items do not tie."""
        n_items = len(self.rated_items)
        check_rows(rows_of(histories), n_items)
        users = np.zeros((len(histories), self.samples, self.factors + 1))
        for user, history in zip(users, histories, strict=True):
            user[:] = self._user(history)[0]
        parts = [self._expected(users, part) for part in batches(np.arange(n_items), BLOCK)]
        return np.concatenate([np.zeros((len(histories), 0)), *parts], axis=1).astype(np.float32)

    def prefix_scorer(self, interactions: Interactions, *, repeat: bool = True) -> PrefixScorer:
        """Return what solves for the factors under each sample after each interaction."""
        items, implicit = self.items.astype(np.float64), self.implicit.astype(np.float64)
        model = Factorisation(
            with_ones(items),
            self.mean + items[..., -1],
            self.user_precisions,
            1 / self.precisions,
            self.rated_items,
            self.user_means,
            implicit,
        )
        return FoldedPrefixes(model, self.usable_ratings)

    def _user(self, history: History) -> tuple[Matrix, bool]:
        """Return the user's mean factors and bias under each sample, and whether anything is known of the user."""
        rows_met = np.unique(history.rows[self.rated_items[history.rows]])
        implicit = self.implicit[:, rows_met].sum(axis=1, dtype=np.float64) / np.sqrt(max(len(rows_met), 1))
        means = self.user_means + implicit
        rated, ratings = self.usable(history)
        seen = self.items[:, rated].astype(np.float64)  # [samples, n, width]
        design, residuals = with_ones(seen), ratings - self.mean - seen[..., -1]
        weighted = self.precisions[:, None, None] * design.transpose(0, 2, 1)
        target = self.user_precisions @ means[..., None] + weighted @ residuals[..., None]
        user = np.linalg.solve(self.user_precisions + weighted @ design, target)  # [samples, width, 1]
        return user[..., 0], len(rows_met) > 0

    def _expected(self, users: Matrix, rows: NDArray[np.int64]) -> Matrix:
        """Return expected ratings ``[n, len(rows)]`` of users ``[n, samples, factors + 1]``: the mean over samples."""
        width = self.samples * (self.factors + 1)
        items = self.items[:, rows].transpose(1, 0, 2).reshape(len(rows), width).astype(np.float64)
        factors = with_ones(users).reshape(len(users), width)  # what multiplies an item's bias is 1
        return np.asarray(self.mean + (users[..., -1].sum(axis=1)[:, None] + factors @ items.T) / self.samples)


@dataclass(frozen=True)
class Prior:
    """The normal distribution from which all users' (or items') factors and biases are drawn.

    Attributes:
        mean: ``[factors + 1]``, the bias last.
        precision: ``[factors + 1, factors + 1]``.
    """

    mean: Matrix
    precision: Matrix


class Side:
    """The ratings grouped by one side: by user, or by item.

    Args:
        above: rating minus the mean, ``[n, others]``, sparse; a rating equal to the mean is a stored zero.
    """

    def __init__(self, above: sparse.csr_matrix) -> None:
        """Store the ratings and their positions."""
        self.above = above
        self.given = sparse.csr_matrix((np.ones(above.nnz), above.indices, above.indptr), shape=above.shape)

    def sample(
        self, others: Matrix, prior_mean: Matrix, prior_precision: Matrix, precision: float, rng: np.random.Generator
    ) -> Matrix:
        """Draw all factors and biases of this side, given the other side's: ``[n, factors + 1]``, the bias last.

        The prior's mean is ``[factors + 1]``, or ``[n, factors + 1]`` with one each; ``precision`` is the noise's.
        """
        design = with_ones(others)
        width = design.shape[1]
        squares = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
        exact = prior_precision + precision * np.asarray(self.given @ squares).reshape(-1, width, width)
        residuals = self.above @ design - self.given @ (design * others[:, -1:])
        target = prior_mean @ prior_precision + precision * residuals
        lower = np.linalg.cholesky(exact)
        # The mean is exact^-1 target; exact^-1/2 times normal noise gives the spread. Both share the last solve.
        half = np.linalg.solve(lower, target[..., None]) + rng.normal(size=(*target.shape, 1))
        return np.asarray(np.linalg.solve(lower.transpose(0, 2, 1), half)[..., 0])


class Implicit:
    """The linear influence of the set of rated items on a user's expected factors and bias.

    Args:
        given: 1 for each rating, ``[users, items]``, sparse.
        penalty: regularisation of the influence.
    """

    def __init__(self, given: sparse.csr_matrix, penalty: float) -> None:
        """Prepare the normal equations, which stay the same in all sweeps."""
        counts = np.asarray(given.sum(axis=1)).ravel()
        self.shares = sparse.diags(1 / np.sqrt(np.maximum(counts, 1))) @ given
        self.penalty = penalty
        self.lower = np.linalg.cholesky((self.shares.T @ self.shares).toarray() + penalty * np.eye(given.shape[1]))

    def sample(self, users: Matrix, prior: Prior, rng: np.random.Generator) -> Matrix:
        """Draw the implicit factors ``[items, factors + 1]`` given the users'; their noise is that of a user."""
        from scipy.linalg import cho_solve

        spread = np.linalg.cholesky(np.linalg.inv(prior.precision)).T
        width = len(prior.mean)
        target = users - prior.mean + rng.normal(size=users.shape) @ spread
        noise = np.sqrt(self.penalty) * rng.normal(size=(len(self.lower), width)) @ spread
        return np.asarray(cho_solve((self.lower, True), self.shares.T @ target + noise))


def with_ones(side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return factors as the design matrix of the other side: the last column, the bias, becomes 1."""
    design = side.copy()
    design[..., -1] = 1.0
    return design


def sample_prior(side: Matrix, rng: np.random.Generator) -> Prior:
    """Draw the prior of one side from its normal-Wishart posterior, given all factors and biases of that side."""
    from scipy.stats import wishart

    n, width = side.shape
    mean = side.mean(axis=0)
    scatter = (side - mean).T @ (side - mean) + PRIOR_STRENGTH * n / (PRIOR_STRENGTH + n) * np.outer(mean, mean)
    scale = np.linalg.inv(np.eye(width) + scatter)
    precision = np.atleast_2d(wishart.rvs(df=width + n, scale=(scale + scale.T) / 2, random_state=rng))
    spread = np.linalg.inv((PRIOR_STRENGTH + n) * precision)
    return Prior(rng.multivariate_normal(n * mean / (PRIOR_STRENGTH + n), spread), precision)


def sample_noise(above: Matrix, users: Matrix, items: Matrix, rng: np.random.Generator) -> float:
    """Draw the precision of the noise, given the residuals over the factors; the arrays have one row per rating."""
    residuals = above - (users[:, :-1] * items[:, :-1]).sum(axis=1) - users[:, -1] - items[:, -1]
    return float(rng.gamma(1 + len(residuals) / 2, 1 / (1 + (residuals**2).sum() / 2)))
