"""Are these two items similar?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from genre_gen.data.interactions import History
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks.answers import accuracy
from genre_gen.tasks.base import Depth, Example, TaskData, in_words

NEAR = 5  # liked items between two that count as near each other
TRIES = 20


class Similar:
    """Tells whether two items are similar.

    Two items are similar that a user liked shortly after each other and that share a label (such as a genre), if they
    have any. An item without an interaction of the user that shares no label is not.
    """

    name: ClassVar[str] = "similar"
    depth: ClassVar[Depth] = "exit"

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield at most one example per user, similar or not with equal chance."""
        for history in data.shuffled(rng, at_least=2):
            liked = data.liked(history)
            if not len(liked):
                continue
            answer = bool(rng.integers(2))
            first = int(rng.integers(len(liked)))
            item = int(history.rows[liked[first]])
            near = [int(row) for row in history.rows[liked[first + 1 : first + 1 + NEAR]]]
            other = next(
                (row for row in rng.permutation(near).tolist() if row != item and _share(data, item, row)), None
            )
            if not answer:
                other = self._other(data, history, item, rng)
            if other is None:
                continue
            yield in_words(
                book,
                self.name,
                answer=answer,
                open=open,
                domain=data.domain.name,
                item=data.entry(item),
                other=data.entry(int(other)),
            )

    @staticmethod
    def _other(data: TaskData, history: History, item: int, rng: np.random.Generator) -> int | None:
        for _ in range(TRIES):
            row = data.unseen(history, rng)
            if row is not None and not (data.labels(item) and _share(data, item, row)):
                return row
        return None

    def grade(self, answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Return the share of right answers."""
        return {"accuracy": accuracy(answers, truths)} if answers else {}


def _share(data: TaskData, item: int, other: int) -> bool:
    """Tell whether two items share a label; also true where one of them has none."""
    first, second = set(data.labels(item)), set(data.labels(other))
    return not first or not second or bool(first & second)
