"""What is known of this item? From code to attributes and text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from genre_gen.prompting.book import PromptBook
from genre_gen.tasks.answers import exact_and_f1
from genre_gen.tasks.base import Depth, Example, TaskData, in_words


class Description:
    """Describes the item of a code."""

    name: ClassVar[str] = "description"
    depth: ClassVar[Depth] = "full"

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield one example per item."""
        for row in rng.permutation(len(data.catalog)).tolist():
            answer = data.entry(row)
            yield in_words(book, self.name, answer=answer, open=open, domain=data.domain.name, item=data.entry(row))

    def grade(self, answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Return the share of exact answers, and the mean F1 of their words."""
        return exact_and_f1(answers, truths)
