"""Why is this item recommended? A sentence made of facts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genre_gen.data.interactions import History
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.variables import Entry
from genre_gen.tasks.answers import exact_and_f1
from genre_gen.tasks.base import Depth, Example, TaskData, in_words

MAX_FACTS = 3


@dataclass(frozen=True, slots=True)
class Shared:
    """A liked item of the history, and the labels that it shares with the recommended one."""

    item: Entry
    labels: tuple[str, ...]


class Explanation:
    """Says what speaks for the next item that a user liked; makes no examples where items have no labels."""

    name: ClassVar[str] = "explanation"
    depth: ClassVar[Depth] = "full"

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield at most one example per user, about a liked item that shares labels with liked ones before it."""
        for history in data.shuffled(rng, at_least=2):
            liked = data.liked(history)
            if len(liked) < 2:  # noqa: PLR2004 - one to explain, one to explain it by
                continue
            position = int(rng.choice(liked[1:]))
            row, known = int(history.rows[position]), data.before(history, position)
            facts = shared(data, known, row)
            if facts:
                yield in_words(
                    book,
                    self.name,
                    answer=facts,
                    open=open,
                    domain=data.domain.name,
                    history=data.entries(known),
                    item=data.entry(row),
                    evidence=facts,
                )

    def grade(self, answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Return the share of exact answers, and the mean F1 of their words."""
        return exact_and_f1(answers, truths)


def shared(data: TaskData, history: History, row: int) -> tuple[Shared, ...]:
    """Return the liked items that share most labels with an item, the same labels each, the latest first."""
    labels = set(data.labels(row))
    seen = data.entries(history)
    facts = []
    for position in data.liked(history)[::-1]:
        other = int(history.rows[position])
        common = tuple(label for label in data.labels(other) if label in labels)
        if common and other != row:
            facts.append(Shared(seen[position], common))
    facts.sort(key=lambda fact: -len(fact.labels))
    return tuple(fact for fact in facts[:MAX_FACTS] if set(fact.labels) == set(facts[0].labels))
