"""Which kind of item does the user want next?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from genre_gen.prompting.book import PromptBook
from genre_gen.tasks.answers import label_f1
from genre_gen.tasks.base import Depth, Example, TaskData, in_words


class Intent:
    """Names the labels (the domain's first list field, such as genres) of the next item."""

    name: ClassVar[str] = "intent"
    depth: ClassVar[Depth] = "exit"

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield at most one example per user; none where items have no labels."""
        for history in data.shuffled(rng, at_least=2):
            position = int(rng.integers(1, len(history)))
            labels = data.labels(int(history.rows[position]))
            if labels:
                known = data.before(history, position)
                yield in_words(
                    book,
                    self.name,
                    answer=labels,
                    open=open,
                    domain=data.domain.name,
                    history=data.entries(known),
                )

    def grade(self, answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Return the mean F1 of the labels."""
        return {"label_f1": label_f1(answers, truths)} if answers else {}
