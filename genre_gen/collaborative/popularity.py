"""Popularity: the same items for all users, those with most interactions first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative.base import CollaborativeModel, rows_of
from genre_gen.collaborative.prefixes import Constant, PrefixScorer
from genre_gen.data.history import History, check_rows
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError, DataError
from genre_gen.folders.arrays import expect

SECONDS_PER_DAY = 86_400


class Popularity(CollaborativeModel):
    """Score an item by the logarithm of its number of interactions, the same for every history.

    With kinds of events, an interaction counts by the weight of its kind.

    Args:
        half_life_days: an interaction this much older than the newest one counts half; None gives all equal weight.
    """

    name: ClassVar[str] = "popularity"
    hyperparameters = ("half_life_days",)
    learned = ("log_counts",)
    relations = ("had_by",)

    def __init__(self, half_life_days: float | None = None) -> None:
        """Set the hyper-parameter; raises ConfigError if the half-life is not positive."""
        if half_life_days is not None and not half_life_days > 0:
            raise ConfigError(f"popularity: half_life_days is {half_life_days}; give a number > 0, or leave it out")
        self.half_life_days = half_life_days
        self.log_counts: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    def fit(self, interactions: Interactions) -> Self:
        """Count each item's interactions; raises DataError if a half-life is set and the data has no times."""
        weights: NDArray[np.floating] | None = interactions.weights
        if self.half_life_days is not None:
            if interactions.times is None:
                raise DataError("popularity: half_life_days needs times, which this data lacks; leave it out")
            ages = (interactions.times.max() - interactions.times) / SECONDS_PER_DAY
            decayed = 0.5 ** (ages / self.half_life_days)
            weights = decayed if weights is None else decayed * weights
        counts = np.bincount(interactions.rows, weights, minlength=interactions.n_items)
        self.log_counts = np.log1p(counts).astype(np.float32)
        return self

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; raises ValueError unless there is a count for each item."""
        expect(arrays, "log_counts", "f", (None,))
        return super().from_arrays(arrays, settings)

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Repeat the popularity for each history: float32 ``[len(histories), n_items]``."""
        check_rows(rows_of(histories), len(self.log_counts))
        return np.tile(self.log_counts, (len(histories), 1))

    def prefix_scorer(self, interactions: Interactions, *, repeat: bool = True) -> PrefixScorer:
        """Return the same scores for all prefixes."""
        return Constant(self.log_counts)
