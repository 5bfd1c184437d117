"""Tasks about one item of the catalog: its code, title, attributes and text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from genre_gen.prompting.book import PromptBook
from genre_gen.ranking import Ranking
from genre_gen.tasks.answers import Metric, token_f1
from genre_gen.tasks.base import Depth, Example, TaskData, WordTask


class Title(WordTask):
    """What is this item called? From code to title."""

    name = "title"

    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield one case per item."""
        for row in _rows(data, rng):
            yield {"answer": data.catalog[row].title, "item": data.entry(row)}


class Description(WordTask):
    """What is this item like? From code to attributes and text."""

    name = "description"

    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield one case per item."""
        for row in _rows(data, rng):
            yield {"answer": data.entry(row), "item": data.entry(row)}


class CatalogText(WordTask):
    """The catalog's own text, for continued pre-training. As a question, it has the instruction only."""

    name = "catalog_text"
    metrics: ClassVar[Mapping[str, Metric]] = {"token_f1": token_f1}

    def cases(self, data: TaskData, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield one case per item."""
        for row in _rows(data, rng):
            yield {"answer": data.entry(row)}


class Code:
    """Which item is this? From title and attributes to the item's code; answers with a ranking."""

    name: ClassVar[str] = "code"
    depth: ClassVar[Depth] = "exit"

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield one example per item."""
        for row in _rows(data, rng):
            item = data.entry(row)
            answer = None if open else item.code
            prompt = book.render(self.name, open=open, domain=data.domain.name, item=item, answer=answer)
            yield Example(self.name, prompt, "codes", answer=row)

    def grade(self, answers: Sequence[Ranking], truths: Sequence[int]) -> dict[str, float]:
        """Return the share of answers with the right item first."""
        if not answers:
            return {}
        hits = [len(answer) > 0 and answer.rows[0] == row for answer, row in zip(answers, truths, strict=True)]
        return {"hit@1": float(np.mean(hits))}


def _rows(data: TaskData, rng: np.random.Generator) -> list[int]:
    rows: list[int] = rng.permutation(len(data.catalog)).tolist()
    return rows
