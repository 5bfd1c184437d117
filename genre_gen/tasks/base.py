"""Task: builds its examples and grades its answers in one class, so that the two stay consistent."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.text_knn import similar_texts
from genre_gen.data.catalog import Catalog
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.domain import Domain
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt
from genre_gen.prompting.variables import Entry, entry
from genre_gen.tasks.answers import Metric, accuracy, token_f1

Targets: TypeAlias = Literal["assistant", "codes", "data"]
Depth: TypeAlias = Literal["exit", "full"]

ENTRIES = 100_000
"""The number of cached entries (an item with a rating)."""

SIMILAR_TEXTS = 20
"""The number of items with the most similar texts that are kept for each item."""


@dataclass(frozen=True)
class Example:
    """One prompt to learn from or, if open, to answer.

    Attributes:
        task: name of the task.
        prompt: rendered; closed unless it is a question.
        targets: the part of the assistant's message that the loss covers: all of it, its item codes, or its data spans.
        first_target: index of the first target among the codes (or data spans); those before are context only.
        answer: the truth for :meth:`Task.grade`: a catalog row, a rating, or the assistant's words.
        origins: int64 ``[codes]``, the training interaction of each item code in the assistant's message; None if it
            is not needed.
    """

    task: str
    prompt: Prompt
    targets: Targets
    first_target: int = 0
    answer: Any = None
    origins: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class TaskData:
    """The data that examples are built from.

    Attributes:
        catalog: the items.
        interactions: training interactions.
        domain: settings.
    """

    catalog: Catalog
    interactions: Interactions
    domain: Domain

    def entries(self, history: History) -> tuple[Entry, ...]:
        """Return a history as templates see it; entries are cached, since a request has hundreds of them."""
        rows = history.rows.tolist()
        ratings: list[float | None] = [None] * len(rows)
        if history.ratings is not None:  # NaN cannot be a key
            ratings = [None if math.isnan(rating) else rating for rating in history.ratings.tolist()]
        cache, entries = self._entries, []
        for key in zip(rows, ratings, strict=True):
            cached = cache.get(key)
            if cached is None:
                if len(cache) >= ENTRIES:
                    cache.clear()
                cached = cache[key] = entry(self.catalog, *key, self.domain.liked_from, self.words)
            entries.append(cached)
        return tuple(entries)

    @cached_property
    def _entries(self) -> dict[tuple[int, float | None], Entry]:
        return {}

    def entry(self, row: int) -> Entry:
        """Return an item as templates see it, without a rating."""
        return entry(self.catalog, row, words=self.words)

    @cached_property
    def words(self) -> DomainLanguage:
        """Return how the domain speaks in the language of the prompts."""
        return DomainLanguage.of(self.domain, self.domain.language)

    @cached_property
    def list_fields(self) -> tuple[str, ...]:
        """Return the names of the fields with labels, such as genres."""
        return tuple(name for name, field in self.domain.fields.items() if field.type == "list")

    @cached_property
    def text_similarity(self) -> sparse.csr_matrix:
        """Return the similarity of the items' texts: sparse ``[n_items, n_items]``.

        Each row has the SIMILAR_TEXTS items with the most similar texts, without cold items.
        """
        return self.similar_texts(np.arange(len(self.catalog)))

    def similar_texts(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        """Return the same for some items only, ``[len(rows), n_items]``, at a lower cost."""
        met = np.unique(self.interactions.rows).astype(np.int64)
        return similar_texts([item.describe() for item in self.catalog], SIMILAR_TEXTS, rows, met)

    def before(self, history: History, position: int) -> History:
        """Return the part of a history before a position that a prompt shows: its last ``model.max_history`` items."""
        return history.slice(0, position).last(self.domain.model.max_history)

    def shuffled(self, rng: np.random.Generator, at_least: int = 1) -> Iterator[History]:
        """Yield the histories with at least ``at_least`` items, in random order."""
        for user_row in rng.permutation(len(self.interactions.users)):
            history = self.interactions.history_at(int(user_row))
            if len(history) >= at_least:
                yield history

    def unseen(self, history: History, rng: np.random.Generator, tries: int = 20) -> int | None:
        """Return a random catalog row that is not in a history; None if ``tries`` attempts find none."""
        seen = set(history.rows.tolist())
        return next((row for row in rng.integers(len(self.catalog), size=tries).tolist() if row not in seen), None)

    def labels(self, row: int) -> tuple[str, ...]:
        """Return the labels of an item in the domain's first list field, as prompts name them; () if there are none."""
        if not self.list_fields:
            return ()
        name = self.list_fields[0]
        value = self.words.shown(name, self.catalog[row].attributes.get(name))
        return value if isinstance(value, tuple) else ()

    def liked(self, history: History) -> NDArray[np.int64]:
        """Return the positions of the items that a user liked; all positions if nothing is rated."""
        if history.ratings is None or self.domain.liked_from is None:
            return np.arange(len(history))
        return np.flatnonzero(np.isnan(history.ratings) | (history.ratings >= self.domain.liked_from))


class Task(Protocol):
    """An instruction that the model learns.

    A task of another package has two more attributes: ``variables``, the variables of its templates (name -> meaning),
    and ``templates``, their folder.

    Attributes:
        name: also the name of its templates.
        depth: the depth of the model at which its answers are read, unless ``domain.toml`` sets another.
    """

    name: ClassVar[str]
    depth: ClassVar[Depth]

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield one epoch of examples in random order; ``open`` ones are questions without the answer."""
        ...

    def grade(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Compare the model's answers with the examples' ``answer``; {} for no answers."""
        ...


class WordTask(ABC):
    """A task whose answers are words. A new task lists its metrics and implements ``cases``."""

    name: ClassVar[str]
    depth: ClassVar[Depth] = "full"
    metrics: ClassVar[Mapping[str, Metric]] = {"exact": accuracy, "token_f1": token_f1}

    @abstractmethod
    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield the variables of the templates for each example, ``answer`` included, in random order."""

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield one epoch of examples in random order; ``open`` ones are questions without the answer."""
        for variables in self.cases(data, rng):
            yield in_words(book, self.name, open=open, domain=data.domain.name, **variables)

    def grade(self, answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Return the task's metrics; {} for no answers."""
        return {name: metric(answers, truths) for name, metric in self.metrics.items()} if answers else {}


def in_words(book: PromptBook, task: str, *, answer: Any, open: bool, **variables: Any) -> Example:
    """Return an example whose target is the whole assistant's message, and whose truth is its words."""
    told = book.render(task, answer=answer, **variables)
    prompt = book.render(task, open=True, **variables) if open else told
    return Example(task, prompt, "assistant", answer=told.messages[-1].text)


def windows(length: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``(start, stop, fresh)`` of windows that cover a history.

    Each position is a target in exactly one window: the first ``fresh`` positions of a window are context only, half a
    window if the history is long enough.
    """
    start, done = 0, 0
    while done < length:
        stop = min(length, start + size)
        yield start, stop, done - start
        done = stop
        start = min(stop - size // 2, max(0, length - size)) if stop < length else stop
