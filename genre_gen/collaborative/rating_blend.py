"""RatingBlend: several models' predicted ratings, with weights learned on held-out ratings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative.rating_model import RatingModel
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.errors import DataError, UsageError

Ratings = NDArray[np.float64]

LARGEST = 1e6
"""No rating, and no weight of a model, has a larger absolute value."""

RIDGE = 1e-3
"""Penalty on squared weights, in squared ratings; it limits the weight of nearly constant predictions."""


@dataclass(frozen=True)
class RatingBlend:
    """``intercept + sum of weight x prediction``, clipped to the scale: stacking (Breiman, 1996).

    Attributes:
        weights: member -> weight, >= 0; they need not sum to 1. Members with weight 0 need no predictions.
        intercept: intercept in points of the rating scale.
        rating_scale: lowest and highest rating.
    """

    weights: Mapping[str, float]
    intercept: float
    rating_scale: tuple[float, float]

    @classmethod
    def learn(cls, predictions: Mapping[str, Ratings], actual: Ratings, rating_scale: tuple[float, float]) -> Self:
        """Choose non-negative weights with the least squared error plus RIDGE penalty.

        Each member's predictions ``[n]`` must be for ratings that it was not trained on; otherwise the member that
        overfits most gets all weight.

        Raises:
            UsageError: no members.
            DataError: predictions have another length or are NaN, or there are no ratings.
        """
        from scipy.optimize import nnls

        table = _table(predictions)
        actual = np.asarray(actual, dtype=np.float64)
        if len(actual) == 0 or len(actual) != len(table) or not np.isfinite(actual).all():
            raise DataError(f"{len(table)} predictions for {len(actual)} ratings; give one finite rating for each")
        # Centred, so that the intercept, which may be negative, is not part of the problem.
        penalty = np.sqrt(RIDGE * len(actual)) * np.eye(table.shape[1])
        centred = np.concatenate([table - table.mean(axis=0), penalty])
        weights, _ = nnls(centred, np.concatenate([actual - actual.mean(), np.zeros(table.shape[1])]))
        intercept = float(actual.mean() - table.mean(axis=0) @ weights)
        return cls(dict(zip(predictions, map(float, weights), strict=True)), intercept, rating_scale)

    def combine(self, predictions: Mapping[str, Ratings]) -> Ratings:
        """Return the blended ratings ``[n]``; entries of ``predictions`` that are not members are ignored.

        Raises:
            UsageError: a member's predictions are missing.
            DataError: predictions of different lengths, or NaN.
        """
        used = [name for name, weight in self.weights.items() if weight > 0 or name in predictions]
        missing = [name for name in used if name not in predictions]
        if missing:
            raise UsageError(f"no predictions of {', '.join(missing)}; the blend needs {', '.join(used)}")
        table = _table({name: predictions[name] for name in used})
        blended = self.intercept + table @ np.array([self.weights[name] for name in used])
        return np.asarray(np.clip(blended, *self.rating_scale))

    def settings(self) -> dict[str, Any]:
        """Return the blend, ready for JSON; ``RatingBlend.restore`` reads it."""
        weights = {name: float(weight) for name, weight in self.weights.items()}
        return {
            "weights": weights,
            "intercept": float(self.intercept),
            "rating_scale": [*map(float, self.rating_scale)],
        }

    @classmethod
    def restore(cls, settings: Mapping[str, Any]) -> Self:
        """Return the blend of the output of ``settings``; raises ValueError, TypeError or KeyError if it is invalid."""
        weights, intercept = dict(settings["weights"]), settings["intercept"]
        low, high = settings["rating_scale"]
        numbers = [*weights.values(), intercept, low, high]
        extra = settings.keys() - {"weights", "intercept", "rating_scale"}
        if extra or not all(type(number) in {int, float} for number in numbers):
            raise ValueError("the blend of ratings holds other things than weights, an intercept and a scale")
        valid = (
            weights and low < high and min(weights.values()) >= 0 and all(abs(number) <= LARGEST for number in numbers)
        )
        if not valid:  # nor where one is NaN
            raise ValueError("the blend of ratings has no weights, one below 0, or numbers that are out of range")
        return cls(weights, float(intercept), (float(low), float(high)))


def rate_all(model: RatingModel, known: Interactions, asked: Interactions) -> Ratings:
    """Predict every rating of ``asked`` from its users' interactions in ``known``: ``[len(asked)]``, in that order."""
    stranger = History(np.zeros(0, dtype=np.int64))
    users = set(known.users)
    parts = [
        model.rate(known.history(user) if user in users else stranger, asked.history(user).rows) for user in asked.users
    ]
    return np.concatenate([np.zeros(0), *parts])


def _table(predictions: Mapping[str, Ratings]) -> Ratings:
    """Return the members' predictions as columns ``[n, members]``; raises DataError if they are invalid."""
    if not predictions:
        raise UsageError("a blend needs at least one member's predictions")
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in predictions.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"predictions of different lengths ({lengths}); give one per rating, in one order")
    bad = [name for name, values in columns.items() if not np.isfinite(values).all()]
    if bad:
        raise DataError(f"predictions of {', '.join(bad)} are NaN or infinite; leave those ratings or that member out")
    return np.column_stack(list(columns.values()))
