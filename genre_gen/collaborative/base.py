"""The interface of collaborative models, which blend and evaluation use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.prefixes import AsHistories, PrefixScorer
from genre_gen.data.catalog import Catalog
from genre_gen.data.history import History, check_rows
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case
from genre_gen.errors import ConfigError, UsageError
from genre_gen.folders.arrays import expect

Stage: TypeAlias = Mapping[str, Sequence[float]]
CSR = ("data", "indices", "indptr")
UINT16 = 2**16
RECENCY = (0.0, 0.5, 1.0, 1.5, 2.0)
"""The values of ``recency`` (the weight of a history's items by age) that tuning tries."""


@dataclass(frozen=True)
class ModelContext:
    """The properties of the data that a model may use before it is fitted; ``rating_scale`` is None without ratings."""

    catalog: Catalog
    rating_scale: tuple[float, float] | None = None
    seed: int = 0


class CollaborativeModel(ABC):
    """A recommender that learns from interactions.

    Users are given as histories, never as ids, so users of the training data and new ones are treated the same. A new
    model implements ``fit`` and ``score``, and lists what is saved in ``hyperparameters`` and ``learned``.

    Attributes:
        name: its name in ``domain.toml``.
        hyperparameters: arguments of the constructor, stored under the same names.
        learned: attributes that ``fit`` sets: arrays, or sparse matrices ``[n_items, n_items]``.
        shapes: what the lengths of saved arrays are, by name, such as ``"user_factors": "users factors"``; equal words
            stand for equal lengths.
        content_based: whether it uses the items' texts, so that it can distinguish cold items.
        reads_interactions: whether ``fit`` depends on the interactions; a model of texts alone is fitted once where
            others are fitted to several parts of the data.
        tells_neighbours: whether its scores for a history of one item are a similarity to that item.
        relations: the relations of explanations that best reflect what the model uses.
        grid: hyper-parameters to try on validation cases, see :func:`genre_gen.collaborative.tuning.tune`.
        scoring_only: hyper-parameters that only ``score`` uses, so that trying them needs no new fit.
    """

    name: ClassVar[str]
    hyperparameters: ClassVar[tuple[str, ...]] = ()
    learned: ClassVar[tuple[str, ...]] = ()
    shapes: ClassVar[Mapping[str, str]] = {}
    content_based: ClassVar[bool] = False
    reads_interactions: ClassVar[bool] = True
    tells_neighbours: ClassVar[bool] = False
    relations: ClassVar[tuple[str, ...]] = ()
    grid: ClassVar[tuple[Stage, ...]] = ()
    scoring_only: ClassVar[frozenset[str]] = frozenset({"recency"})

    @classmethod
    def for_data(cls, context: ModelContext, **options: Any) -> Self:
        """Return an untrained model for the data; ``options`` are hyper-parameters."""
        return cls(**options)

    @classmethod
    def cannot_learn(cls, interactions: Interactions) -> str | None:
        """Return why the model cannot learn from the interactions; None if it can."""
        return None

    @abstractmethod
    def fit(self, interactions: Interactions) -> Self:
        """Learn from the training interactions and return the model itself."""

    def fit_seconds(self, interactions: Interactions) -> float | None:
        """Return about how many seconds ``fit`` takes; None if that grows with the interactions and can be sampled."""
        return None

    def fit_sharing(self, interactions: Interactions, shared: dict[str, Any]) -> Self:
        """Fit as ``fit`` does, and keep in ``shared`` what does not depend on all hyper-parameters.

        Models of one class that are fitted to the same interactions, one after another, are given the same ``shared``.
        A model whose fit has such parts should override it.
        """
        return self.fit(interactions)

    @abstractmethod
    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Score every catalog row for each history: float32 ``[len(histories), n_items]``, finite, higher is better."""

    def prefix_scorer(self, interactions: Interactions, *, repeat: bool = True) -> PrefixScorer:
        """Return what scores all prefixes of the histories of some interactions.

        Without ``repeat``, the scores of a history's own items are not used, and may be anything finite. A model whose
        ``score`` takes longer for longer histories should override it with something that reads a history once.
        """
        return AsHistories(self.score, interactions)

    def with_items(self, n_items: int) -> CollaborativeModel:
        """Return the fitted model for a catalog with more items, behind those that it was fitted on.

        It scores histories as if they had none of these, which get its lowest score, or 0 if that is lower. A model
        that tells more of items than who had them should override it.

        Example:
            >>> Popularity().fit(split.train).with_items(50).score([History(np.array([3]))]).shape
            (1, 50)

        Raises:
            ConfigError: the model is content-based, and cannot read the texts of further items.
        """
        return Padded(self, n_items)

    def settings(self) -> dict[str, Any]:
        """Return the hyper-parameters, ready for JSON."""
        return {name: getattr(self, name) for name in self.hyperparameters}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the learned arrays, ready for safetensors; a sparse matrix as its three CSR arrays."""
        arrays = {}
        for name in self.learned:
            value = getattr(self, name)
            if sparse.issparse(value):
                arrays.update(csr_arrays(name, value))
            else:
                arrays[name] = value
        return arrays

    def without_users(self) -> Self:
        """Return the model without what it keeps of single users: itself, where that is nothing.

        It scores histories as before. A model that learns something by user must override this, or what it learned of
        them goes wherever a recommender is shared without histories.
        """
        return self

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Restore a fitted model; raises ValueError for arrays that cannot be one's, and TypeError for settings."""
        model = cls(**settings)
        lengths: dict[str, int] = {}
        for name, shape in cls.shapes.items():
            words = shape.split()
            known = tuple(lengths.get(word) for word in words)
            lengths.update(zip(words, expect(arrays, name, "ifb", known).shape, strict=True))
        for name in cls.learned:
            if name in arrays:
                setattr(model, name, expect(arrays, name, "ifb", (None,) * arrays[name].ndim))
            else:
                setattr(model, name, csr_from(arrays, name))
        return model


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


def check_fitted(model: CollaborativeModel, n_items: int) -> None:
    """Check that a model scores every item of a catalog, as one that was loaded may not; raises ValueError."""
    nobody, somebody = History(np.zeros(0, np.int64)), History(np.zeros(1, np.int64))
    with np.errstate(all="ignore"):
        scores = model.score([nobody, somebody])
    if scores.shape != (2, n_items):
        raise ValueError(f"{model.name} scores {scores.shape[-1]} items, and the catalog has {n_items}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{model.name} has scores that are not finite")


def csr_arrays(name: str, matrix: sparse.csr_matrix) -> dict[str, NDArray[Any]]:
    """Return a sparse matrix as its three CSR arrays for ``csr_from``; columns take two bytes where they can."""
    matrix = matrix if matrix.has_sorted_indices else matrix.sorted_indices()
    columns = matrix.indices.astype(np.uint16) if matrix.shape[1] <= UINT16 else matrix.indices
    return dict(zip((f"{name}.{part}" for part in CSR), (matrix.data, columns, matrix.indptr), strict=True))


def csr_from(arrays: Mapping[str, NDArray[Any]], name: str, columns: int | None = None) -> sparse.csr_matrix:
    """Return a sparse matrix from its CSR arrays, square without ``columns``; raises ValueError where they are none."""
    data = expect(arrays, f"{name}.data", "if", (None,))
    indices, indptr = (expect(arrays, f"{name}.{part}", "i", (None,), (0, 2**40)) for part in CSR[1:])
    if indices.dtype == np.uint16:
        indices = indices.astype(np.int32)
    rows = len(indptr) - 1
    matrix = sparse.csr_matrix((data, indices, indptr), shape=(rows, rows if columns is None else columns))
    matrix.check_format(full_check=True)
    if not matrix.has_canonical_format:
        raise ValueError(f"{name}.indices do not ascend within rows")
    return matrix


class EpochModel(CollaborativeModel):
    """A model that is trained epoch by epoch; validation cases decide the number of epochs.

    It can be a member of a blend, but not a teacher in distillation: a teacher is fitted once per fold of the users,
    and such a model takes minutes. Its constructor takes ``seed`` and ``max_epochs``.

    Attributes:
        best_epoch: the epoch whose weights are kept, from 1; ``max_epochs`` without validation cases; 0 if there was
            no time for one.
        max_epochs: the argument; once validation cases have chosen, the chosen number.
        log: an entry for each epoch that was validated.
    """

    best_epoch: int
    max_epochs: int | None
    log: list[dict[str, float]]

    @classmethod
    def for_data(cls, context: ModelContext, **options: Any) -> Self:
        """Return an untrained model with the seed of the context."""
        return cls(**{"seed": context.seed, **options})

    @classmethod
    def cannot_learn(cls, interactions: Interactions) -> str | None:
        """Return that no user has two interactions, if so: then there is no next item to learn from."""
        one_each = np.diff(interactions.offsets).max(initial=0) < 2  # noqa: PLR2004
        return "no user has two interactions to learn from" if one_each else None

    @abstractmethod
    def fit(
        self,
        interactions: Interactions,
        validation: Sequence[Case] | None = None,
        *,
        repeat: bool = False,
        enough: Callable[[], bool] = lambda: False,
    ) -> Self:
        """Learn from the training interactions; with validation cases, until their ranking stops improving.

        With ``repeat``, the items of a case's history are ranked too. ``enough`` is asked often: once it is true, the
        present epoch is given up, and the best one before it is kept.
        """


def history_matrix(histories: Sequence[History], n_items: int, recency: float = 0.0) -> sparse.csr_matrix:
    """Return histories as a sparse matrix ``[len(histories), n_items]``, float32.

    The weight of an interaction is ``(1 + age) ** -recency``, with age 0 for the most recent one. For a repeated item,
    the most recent interaction counts.

    Raises:
        UsageError: a history contains a row outside the catalog.
    """
    lengths = np.fromiter((len(history) for history in histories), dtype=np.int64, count=len(histories))
    columns = rows_of(histories)
    check_rows(columns, n_items)
    owners = np.repeat(np.arange(len(histories)), lengths)
    pairs = owners * n_items + columns
    order = np.argsort(pairs, kind="stable")  # the most recent interaction with an item comes last
    kept = order[np.diff(pairs[order], append=-1) != 0]
    ages = np.cumsum(lengths)[owners[kept]] - 1 - kept
    weights = ((1.0 + ages) ** -recency).astype(np.float32)
    ends = np.cumsum(np.bincount(owners[kept], minlength=len(histories)))
    return sparse.csr_matrix((weights, columns[kept], np.append(0, ends)), shape=(len(histories), n_items))


def rows_of(histories: Sequence[History]) -> NDArray[np.int64]:
    """Return the catalog rows of all histories, concatenated."""
    return np.concatenate([*(history.rows for history in histories), np.zeros(0, dtype=np.int64)])
