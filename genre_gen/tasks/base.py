"""Task: builds its examples and grades its answers in one file, so that the two cannot drift apart."""

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
from genre_gen.data.interactions import History, Interactions
from genre_gen.domain import Domain
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt
from genre_gen.prompting.variables import Entry, entry
from genre_gen.tasks.answers import Metric, accuracy, token_f1

Targets: TypeAlias = Literal["assistant", "codes", "data"]
Depth: TypeAlias = Literal["exit", "full"]

ENTRIES = 100_000
"""How many items, each with a rating, are kept as templates see them."""

SIMILAR_TEXTS = 20
"""How many of the items with the most similar texts are kept of each item."""


@dataclass(frozen=True)
class Example:
    """One prompt to learn from or, where it is open, to answer.

    Attributes:
        task: name of the task.
        prompt: rendered; closed unless it is a question.
        targets: what of the assistant's message the loss sees: all of it, its item codes, or its data spans.
        first_target: how many codes (or data spans) of the assistant's message only give context.
        answer: what :meth:`Task.grade` compares with: a catalog row, a rating, or the assistant's words.
        origins: int64 ``[codes]``, which training interaction each item code of the assistant's message stands for;
            None where it does not matter.
    """

    task: str
    prompt: Prompt
    targets: Targets
    first_target: int = 0
    answer: Any = None
    origins: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class TaskData:
    """What examples are built from.

    Attributes:
        catalog: the items.
        interactions: training interactions.
        domain: settings.
    """

    catalog: Catalog
    interactions: Interactions
    domain: Domain

    def entries(self, history: History) -> tuple[Entry, ...]:
        """Return a history as templates see it; entries are made once, since a request has hundreds of them."""
        rows = history.rows.tolist()
        ratings: list[float | None] = [None] * len(rows)
        if history.ratings is not None:  # NaN would be no key
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
        """Return the names of the fields that hold labels, such as genres."""
        return tuple(name for name, field in self.domain.fields.items() if field.type == "list")

    @cached_property
    def text_similarity(self) -> sparse.csr_matrix:
        """Return the similarity of items' texts: ``[n_items, n_items]``, sparse.

        A row holds the SIMILAR_TEXTS items whose texts are most similar to its item's, cold items left out.
        """
        return self.similar_texts(np.arange(len(self.catalog)))

    def similar_texts(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        """Return the same of some items alone, ``[len(rows), n_items]``, for much less work."""
        met = np.unique(self.interactions.rows).astype(np.int64)
        return similar_texts([item.describe() for item in self.catalog], SIMILAR_TEXTS, rows, met)

    def before(self, history: History, position: int) -> History:
        """Return what a prompt shows of a history before a position: the latest ``model.max_history`` items."""
        return history.slice(0, position).last(self.domain.model.max_history)

    def shuffled(self, rng: np.random.Generator, at_least: int = 1) -> Iterator[History]:
        """Yield the histories of that many items or more, in random order."""
        for user_row in rng.permutation(len(self.interactions.users)):
            history = self.interactions.history_at(int(user_row))
            if len(history) >= at_least:
                yield history

    def unseen(self, history: History, rng: np.random.Generator, tries: int = 20) -> int | None:
        """Return a random catalog row that is not in a history; None where no try finds one."""
        seen = set(history.rows.tolist())
        return next((row for row in rng.integers(len(self.catalog), size=tries).tolist() if row not in seen), None)

    def labels(self, row: int) -> tuple[str, ...]:
        """Return the labels of an item in the domain's first list field, as prompts call them; () for none."""
        if not self.list_fields:
            return ()
        name = self.list_fields[0]
        value = self.words.shown(name, self.catalog[row].attributes.get(name))
        return value if isinstance(value, tuple) else ()

    def liked(self, history: History) -> NDArray[np.int64]:
        """Return positions of the items a user liked; all of them where nothing is rated."""
        if history.ratings is None or self.domain.liked_from is None:
            return np.arange(len(history))
        return np.flatnonzero(np.isnan(history.ratings) | (history.ratings >= self.domain.liked_from))


class Task(Protocol):
    """An instruction that the model learns.

    A task of another package brings two attributes more: ``variables``, what its templates are given (name -> meaning),
    and ``templates``, the folder in which they lie.

    Attributes:
        name: also the name of its templates.
        depth: at which depth of the model its answers are read, unless ``domain.toml`` says otherwise.
    """

    name: ClassVar[str]
    depth: ClassVar[Depth]

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield one epoch of examples in random order; ``open`` ones are questions, their answer left out."""
        ...

    def grade(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Compare the model's answers with the examples' ``answer``; {} for no answers."""
        ...


class WordTask(ABC):
    """A task whose answers are words; a new one names its metrics and writes ``cases``."""

    name: ClassVar[str]
    depth: ClassVar[Depth] = "full"
    metrics: ClassVar[Mapping[str, Metric]] = {"exact": accuracy, "token_f1": token_f1}

    @abstractmethod
    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield what the templates are given for each example, ``answer`` included, in random order."""

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield one epoch of examples in random order; ``open`` ones are questions, their answer left out."""
        for variables in self.cases(data, rng):
            yield in_words(book, self.name, open=open, domain=data.domain.name, **variables)

    def grade(self, answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Return the task's metrics; {} for no answers."""
        return {name: metric(answers, truths) for name, metric in self.metrics.items()} if answers else {}


def in_words(book: PromptBook, task: str, *, answer: Any, open: bool, **variables: Any) -> Example:
    """Return an example whose whole assistant's message is the target, and its words the truth."""
    told = book.render(task, answer=answer, **variables)
    prompt = book.render(task, open=True, **variables) if open else told
    return Example(task, prompt, "assistant", answer=told.messages[-1].text)


def windows(length: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``(start, stop, fresh)`` of windows that cover a history.

    Each position is new in exactly one window: the first ``fresh`` positions of a window were targets before and only
    give context, half a window where there is that much.
    """
    start, done = 0, 0
    while done < length:
        stop = min(length, start + size)
        yield start, stop, done - start
        done = stop
        start = min(stop - size // 2, max(0, length - size)) if stop < length else stop
