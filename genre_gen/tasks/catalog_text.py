"""The catalog's own text, for continued pre-training: an item's code, and all that the catalog says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from genre_gen.prompting.book import PromptBook
from genre_gen.tasks.answers import token_f1
from genre_gen.tasks.base import Depth, Example, TaskData, in_words


class CatalogText:
    """Learns to tell the catalog, item by item; as a question, it is given nothing but the instruction."""

    name: ClassVar[str] = "catalog_text"
    depth: ClassVar[Depth] = "full"

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield one example per item."""
        for row in rng.permutation(len(data.catalog)).tolist():
            yield in_words(book, self.name, answer=data.entry(row), open=open, domain=data.domain.name)

    def grade(self, answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Return the mean F1 of the words."""
        return {"token_f1": token_f1(answers, truths)} if answers else {}
