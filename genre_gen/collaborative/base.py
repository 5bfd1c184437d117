"""What every collaborative model offers, so that the blend and the evaluation need not know which it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from typing_extensions import Self

from genre_gen.data.interactions import History, Interactions, check_rows
from genre_gen.data.splits import Case


class CollaborativeModel(ABC):
    """A recommender that learns from interactions alone.

    Users are given as histories, never as ids: a user known from training and one met today are treated alike.
    """

    name: ClassVar[str]
    content_based: ClassVar[bool] = False
    """Whether it knows items by their texts, so that it can tell new ones apart."""

    @abstractmethod
    def fit(self, interactions: Interactions) -> Self:
        """Learn from the training interactions and return the model itself."""

    @abstractmethod
    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Score every catalog row for each history: float32 ``[len(histories), n_items]``, finite, higher is better."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, ready for safetensors."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the hyper-parameters and sizes, ready for JSON."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model."""


class EpochModel(CollaborativeModel):
    """A model that is trained epoch by epoch: how many are best is what validation cases tell.

    It takes part in a blend as any other does, but teaches nobody: a teacher is fitted once per fold of the users, and
    such a model takes minutes. Its constructor takes ``seed`` and ``max_epochs``.

    Attributes:
        best_epoch: the epoch whose weights are kept, from 1; ``max_epochs`` of a model that is to learn from all.
    """

    best_epoch: int

    @abstractmethod
    def fit(
        self, interactions: Interactions, validation: Sequence[Case] | None = None, *, repeat: bool = False
    ) -> Self:
        """Learn from the training interactions; with validation cases, until they are ranked no better.

        Args:
            interactions: what is learned from.
            validation: cases that say when to stop.
            repeat: whether these rank the items of the history too.
        """


def history_matrix(
    histories: Sequence[History],
    n_items: int,
    weigh: Callable[[NDArray[np.int64]], NDArray[np.floating]] | None = None,
) -> sparse.csr_matrix:
    """Lay histories out as a sparse matrix ``[len(histories), n_items]``, float32.

    Args:
        histories: may be empty ones; their rows are all zero.
        n_items: size of the catalog.
        weigh: turns ages (int64, 0 = most recent interaction) into weights; an item that occurs twice gets the
            larger one. None gives 1 to each item.

    Raises:
        UsageError: a history holds a row that the model has never been told of.
    """
    lengths = np.fromiter((len(history) for history in histories), dtype=np.int64, count=len(histories))
    columns = np.concatenate([history.rows for history in histories] + [np.zeros(0, dtype=np.int64)])
    check_rows(columns, n_items)
    owners = np.repeat(np.arange(len(histories)), lengths)
    ages = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(len(columns))
    # Of an item's occurrences only the most recent one is kept: sort by owner and age, then take each first.
    order = np.lexsort((ages, owners))
    pairs = owners[order] * n_items + columns[order]
    _, first = np.unique(pairs, return_index=True)
    kept = order[first]
    values = np.ones(len(kept)) if weigh is None else weigh(ages[kept])
    return sparse.csr_matrix(
        (values.astype(np.float32), (owners[kept], columns[kept])), shape=(len(histories), n_items)
    )
