"""Running ridge regression: a user's factors after each of a history's ratings, in time linear in their number.

This is recursive least squares, several ratings at a time. With the covariance ``P`` of the factors before some
ratings, their designs ``D`` and the noise's variance ``v``, let ``L L' = D P D' + v I`` and ``B = L^-1 D P``. The first
``e`` rows of ``L`` and ``B`` belong to the first ``e`` ratings, so one decomposition has the solutions after each.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative.prefixes import Chunk, PrefixScorer

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Factorisation:
    """What predicts ratings: ``offsets[item] + mean over samples of design[item] . solution``.

    Attributes:
        design: ``[samples, n_items, width]``, of the users' regression; a constant 1 belongs to the bias.
        offsets: ``[samples, n_items]``, the rating of an item without a user.
        precision: ``[samples, width, width]``, of a user's factors before any rating.
        noise: ``[samples]``, the variance of a rating.
        prior: ``[samples, width]``, the mean of a user's factors before any rating; None for 0.
        implicit: ``[samples, n_items, width]``: the prior's mean is moved by ``n ** -0.5`` times the sum over the
            ``n`` distinct items of a history that the model knows; None for no such part.
        known: bool ``[n_items]``, whether the model learned something about an item.
    """

    design: Array
    offsets: Array
    precision: Array
    noise: Array
    known: NDArray[np.bool_]
    prior: Array | None = None
    implicit: Array | None = None


class RunningRidge:
    """The regression of one user, for several samples of the items at a time."""

    def __init__(self, precision: Array, covariance: Array, noise: Array) -> None:
        """Begin without ratings; ``covariance`` is the inverse of ``precision``."""
        self.precision, self.covariance, self.noise = precision, covariance, noise
        self.solution = np.zeros(precision.shape[:2])  # for a prior's mean of 0

    def extend(self, design: Array, residuals: Array, counts: NDArray[np.int64], prior: Array | None) -> Array:
        """Take in ratings; return the solutions after the first ``counts`` of them: ``[samples, C, width]``.

        Args:
            design: ``[samples, m, width]``.
            residuals: ``[samples, m]``, ratings over what is known without the user.
            counts: ``[C]``, 0 to ``m``, not falling.
            prior: ``[samples, C, width]``, the prior's mean for each solution; None for 0.
        """
        wide = design @ self.covariance  # [samples, m, width]
        inner = wide @ design.swapaxes(1, 2)
        inner[:, np.arange(inner.shape[1]), np.arange(inner.shape[1])] += self.noise[:, None]
        innovations = (residuals - (design @ self.solution[..., None])[..., 0])[..., None]
        both = np.linalg.solve(np.linalg.cholesky(inner), np.concatenate([wide, innovations], axis=2))
        half, scaled = both[..., :-1], both[..., -1:]
        steps = np.concatenate([self.solution[:, None], half * scaled], axis=1).cumsum(axis=1)
        solutions = steps[:, counts]
        if prior is not None:
            pulled = prior @ self.precision
            done = np.arange(half.shape[1]) < counts[:, None]  # [C, m]
            solutions += pulled @ self.covariance - np.where(done, pulled @ half.swapaxes(1, 2), 0.0) @ half
        self.covariance = self.covariance - half.swapaxes(1, 2) @ half
        self.solution = steps[:, -1]
        return np.asarray(solutions)

    def correct(self, design: Array, difference: float) -> None:
        """Add a difference to the rating of a design ``[samples, width]`` that was taken in."""
        self.solution = self.solution + (self.covariance @ design[..., None])[..., 0] * difference / self.noise[:, None]


class FoldedPrefixes(PrefixScorer):
    """Scores prefixes by a matrix factorisation: the user's factors are solved for after each interaction.

    Args:
        model: the parameters.
        usable: tells which of some rows and ratings can be used; raises UsageError for ratings outside the scale.
    """

    def __init__(
        self,
        model: Factorisation,
        usable: Callable[[NDArray[np.int64], NDArray[np.float32]], NDArray[np.bool_]],
    ) -> None:
        """Lay the items' parameters out for one product in single precision, without what is equal for all items."""
        self.model, self.usable = model, usable
        self.telling = np.flatnonzero(np.ptp(model.design, axis=1))  # of the flat factors
        of_factors = model.design.transpose(0, 2, 1).reshape(-1, model.design.shape[1])[self.telling]
        offsets = model.offsets.mean(axis=0)
        rows = (of_factors / len(model.design), (offsets - offsets.mean())[None])
        self.items = np.concatenate(rows).astype(np.float32)  # [telling + 1, n_items]
        self.covariance: Array = np.linalg.inv(model.precision)
        self._begin()

    def fresh(self) -> FoldedPrefixes:
        """Return one without a history."""
        scorer = copy.copy(self)
        scorer._begin()
        return scorer

    def _begin(self) -> None:
        """Forget the history."""
        self.ridge = RunningRidge(self.model.precision, self.covariance, self.model.noise)
        self.rated: dict[int, float] = {}  # row -> the last rating
        self.implicit, self.met = np.zeros(self.ridge.solution.shape), 0

    def score(self, chunk: Chunk) -> NDArray[np.float32]:
        """Solve for the factors of each owner, and multiply them with the items'."""
        solutions = np.concatenate([self._solutions(chunk, part) for part in chunk.parts()], axis=1)
        flat = np.ones((len(self.items), len(chunk)), dtype=np.float32)
        flat[:-1] = solutions.transpose(0, 2, 1).reshape(-1, len(chunk))[self.telling]
        scores: NDArray[np.float32] = self.items.T @ flat
        return scores

    def _solutions(self, chunk: Chunk, part: slice) -> Array:
        """Return the factors after each interaction of one owner: ``[samples, C, width]``."""
        if chunk.places[part.start] == 0:
            self._begin()
        rows = chunk.rows[part]
        ratings = np.full(len(rows), np.nan, np.float32) if chunk.ratings is None else chunk.ratings[part]
        used, prior = self.usable(rows, ratings), self._prior(rows, chunk.lags[part])
        solutions, begin = [], 0
        for step in np.flatnonzero(used & (chunk.lags[part] > 0)).tolist():
            row, rating = int(rows[step]), float(ratings[step])
            if row not in self.rated and row not in rows[begin:step][used[begin:step]]:
                continue  # the earlier interaction had no rating
            solutions.append(self._stretch(rows, ratings, used, prior, slice(begin, step)))
            self.ridge.correct(self.model.design[:, row], rating - self.rated[row])
            self.rated[row], used[step], begin = rating, False, step
        solutions.append(self._stretch(rows, ratings, used, prior, slice(begin, len(rows))))
        return np.concatenate(solutions, axis=1)

    def _stretch(
        self,
        rows: NDArray[np.int64],
        ratings: NDArray[np.float32],
        used: NDArray[np.bool_],
        prior: Array | None,
        part: slice,
    ) -> Array:
        """Take in interactions none of which rates an item again."""
        rated = rows[part][used[part]]
        values = ratings[part][used[part]].astype(np.float64)
        self.rated.update(zip(rated.tolist(), values.tolist(), strict=True))
        means = None if prior is None else prior[:, part]
        residuals = values - self.model.offsets[:, rated]
        return self.ridge.extend(self.model.design[:, rated], residuals, np.cumsum(used[part]), means)

    def _prior(self, rows: NDArray[np.int64], lags: NDArray[np.int64]) -> Array | None:
        """Return the prior's mean after each interaction, ``[samples, C, width]``."""
        model = self.model
        if model.implicit is None:
            return None if model.prior is None else np.repeat(model.prior[:, None], len(rows), axis=1)
        new = model.known[rows] & (lags == 0)
        parts = np.where(new[:, None], model.implicit[:, rows], 0.0).cumsum(axis=1) + self.implicit[:, None]
        counts = self.met + np.cumsum(new)
        self.implicit, self.met = parts[:, -1], int(counts[-1])
        means = parts / np.sqrt(np.maximum(counts, 1))[:, None]
        return means if model.prior is None else means + model.prior[:, None]
