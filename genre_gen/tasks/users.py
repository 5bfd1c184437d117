"""Tasks about one user's history that are answered in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from genre_gen.data.history import History
from genre_gen.prompting.variables import Entry
from genre_gen.tasks.answers import Metric, accuracy, label_f1
from genre_gen.tasks.base import TaskData, WordTask

MAX_FACTS = 3
NEAR = 5  # two liked items are near each other up to this distance
TRIES = 20


class Fits(WordTask):
    """Does this item fit this user? The item is one that the user liked next, or one without an interaction."""

    name = "fits"
    depth = "exit"
    metrics: ClassVar[Mapping[str, Metric]] = {"accuracy": accuracy}

    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield one case per user; yes and no are equally likely."""
        for history in data.shuffled(rng, at_least=2):
            liked = data.liked(history)
            liked = liked[liked > 0]
            if not len(liked):
                continue
            position = int(rng.choice(liked))
            answer = bool(rng.integers(2))
            row = int(history.rows[position]) if answer else data.unseen(history, rng)
            if row is not None:
                before = data.before(history, position)
                yield {"answer": answer, "history": data.entries(before), "item": data.entry(row)}


class Similar(WordTask):
    """Are these two items similar?

    Two items count as similar if a user liked one shortly after the other and they share a label (such as a genre), if
    they have any. An item that the user has no interaction with and that shares no label counts as dissimilar.
    """

    name = "similar"
    depth = "exit"
    metrics: ClassVar[Mapping[str, Metric]] = {"accuracy": accuracy}

    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield at most one case per user; yes and no are equally likely."""
        for history in data.shuffled(rng, at_least=2):
            liked = data.liked(history)
            if not len(liked):
                continue
            answer = bool(rng.integers(2))
            first = int(rng.integers(len(liked)))
            item = int(history.rows[liked[first]])
            near = rng.permutation(history.rows[liked[first + 1 : first + 1 + NEAR]]).tolist()
            other = next((row for row in near if row != item and _share(data, item, row)), None)
            if not answer:
                other = self._dissimilar(data, history, item, rng)
            if other is not None:
                yield {"answer": answer, "item": data.entry(item), "other": data.entry(other)}

    @staticmethod
    def _dissimilar(data: TaskData, history: History, item: int, rng: np.random.Generator) -> int | None:
        for _ in range(TRIES):
            row = data.unseen(history, rng)
            if row is not None and not (data.labels(item) and _share(data, item, row)):
                return row
        return None


def _share(data: TaskData, item: int, other: int) -> bool:
    """Tell whether two items share a label; also true if one of them has none."""
    first, second = set(data.labels(item)), set(data.labels(other))
    return not first or not second or bool(first & second)


class Intent(WordTask):
    """Which labels (of the domain's first list field, such as genres) has the item that the user wants next?"""

    name = "intent"
    depth = "exit"
    metrics: ClassVar[Mapping[str, Metric]] = {"label_f1": label_f1}

    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield at most one case per user; none if items have no labels."""
        for history in data.shuffled(rng, at_least=2):
            position = int(rng.integers(1, len(history)))
            labels = data.labels(int(history.rows[position]))
            if labels:
                yield {"answer": labels, "history": data.entries(data.before(history, position))}


@dataclass(frozen=True, slots=True)
class Shared:
    """A liked item of the history, and the labels that it shares with the recommended one."""

    item: Entry
    labels: tuple[str, ...]


class Explanation(WordTask):
    """Why is this item recommended? A sentence made of facts only; no examples if items have no labels."""

    name = "explanation"

    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield at most one case per user, about a liked item that shares labels with liked ones before it."""
        for history in data.shuffled(rng, at_least=2):
            liked = data.liked(history)
            if len(liked) < 2:  # noqa: PLR2004 - one to explain, one to cite
                continue
            position = int(rng.choice(liked[1:]))
            row, before = int(history.rows[position]), data.before(history, position)
            if facts := shared(data, before, row):
                item, entries = data.entry(row), data.entries(before)
                yield {"answer": facts, "history": entries, "item": item, "evidence": facts}


def shared(data: TaskData, history: History, row: int) -> tuple[Shared, ...]:
    """Return the liked items that share most labels with an item, all the same labels, the latest first."""
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


class Review(WordTask):
    """What does the user say about this item? The headline of a review, from its text, or from history and rating only.

    Like the review tasks of P5 (Geng et al. 2022, https://arxiv.org/abs/2203.13366). There are no examples unless
    headlines are read (``data.columns.summary``).
    """

    name = "review"

    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield at most one case per user, about an item with a headline by the user."""
        interactions = data.interactions
        for user_row in rng.permutation(len(interactions.users) if interactions.reviews is not None else 0).tolist():
            history, begin = interactions.history_at(user_row), int(interactions.offsets[user_row])
            written = [position for position in range(len(history)) if interactions.review(begin + position)[0]]
            if not written:
                continue
            position = int(rng.choice(written))
            summary, review = interactions.review(begin + position)
            yield {
                "answer": summary,
                "history": data.entries(data.before(history, position)),
                "item": data.entries(history.slice(position, position + 1))[0],
                "review": review,
            }
