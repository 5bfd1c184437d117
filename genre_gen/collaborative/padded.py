"""Padded: a fitted model in a catalog that has got more items since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative.base import CollaborativeModel, rows_of
from genre_gen.data.history import History, check_rows
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError, UsageError


class Padded(CollaborativeModel):
    """Scores histories by a model that was fitted on the first items of the catalog only.

    Attributes:
        model: the fitted model.
        n_items: number of items of the catalog.
    """

    name: ClassVar[str] = "padded"

    def __init__(self, model: CollaborativeModel, n_items: int) -> None:
        """Wrap a fitted model; raises ConfigError if it is content-based."""
        if model.content_based:
            raise ConfigError(
                f"{model.name} scores items by their texts, and cannot read those of items that came after training; "
                f"write its method with_items, or leave {model.name} out of the members"
            )
        self.model, self.n_items = model, n_items
        self._fitted_on = model.score([History(np.zeros(0, np.int64))]).shape[1]
        for attribute in ("name", "tells_neighbours", "relations", "reads_interactions"):
            setattr(self, attribute, getattr(model, attribute))

    def fit(self, interactions: Interactions) -> Self:
        """Raise UsageError: the model is fitted already."""
        raise UsageError(f"{self.name} with added items is not fitted again; fit {self.name} itself")

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Return the model's scores, float32 ``[len(histories), n_items]``; see ``CollaborativeModel.with_items``."""
        check_rows(rows_of(histories), self.n_items)
        inside = [history.rows < self._fitted_on for history in histories]
        known = [
            history if known_item.all() else history.take(known_item)
            for history, known_item in zip(histories, inside, strict=True)
        ]
        scores = np.empty((len(histories), self.n_items), np.float32)
        scores[:, : self._fitted_on] = self.model.score(known)
        lowest = scores[:, : self._fitted_on].min(axis=1, keepdims=True, initial=0.0)
        scores[:, self._fitted_on :] = lowest
        return scores

    def settings(self) -> dict[str, Any]:
        """Return the model's hyper-parameters."""
        return self.model.settings()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the model's learned arrays."""
        return self.model.arrays()
