"""An example of your own collaborative model: items with interactions near the end of the histories, for all users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen import History, Interactions
from genre_gen.collaborative import CollaborativeModel


class Recent(CollaborativeModel):
    """Score an item by its interactions, each the less the more came after it in its history.

    Args:
        decay: what one later interaction takes, above 0.
    """

    name: ClassVar[str] = "recent"
    hyperparameters: ClassVar[tuple[str, ...]] = ("decay",)
    learned: ClassVar[tuple[str, ...]] = ("scores",)  # what is saved
    grid = ({"decay": (0.1, 0.5)},)  # tried on validation cases

    def __init__(self, decay: float = 0.1) -> None:
        """Set the hyper-parameter."""
        self.decay = decay
        self.scores: NDArray[np.float32] = np.zeros(0, np.float32)

    def fit(self, interactions: Interactions) -> Self:
        """Sum the weights of each item's interactions."""
        lengths = np.diff(interactions.offsets)
        later = np.repeat(interactions.offsets[1:], lengths) - 1 - np.arange(len(interactions))
        weights = np.exp(-self.decay * later)
        self.scores = np.bincount(interactions.rows, weights, minlength=interactions.n_items).astype(np.float32)
        return self

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return the same scores for every history: float32 ``[len(histories), n_items]``."""
        return np.tile(self.scores, (len(histories), 1))
