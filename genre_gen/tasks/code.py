"""Which item is this? From title and attributes to the item's code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from genre_gen.prompting.book import PromptBook
from genre_gen.ranking import Ranking
from genre_gen.tasks.base import Depth, Example, TaskData


class Code:
    """Names the code of an item that is given in words; answers with a ranking."""

    name: ClassVar[str] = "code"
    depth: ClassVar[Depth] = "exit"

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield one example per item."""
        for row in rng.permutation(len(data.catalog)).tolist():
            item = data.entry(row)
            answer = None if open else item.code
            prompt = book.render(self.name, open=open, domain=data.domain.name, item=item, answer=answer)
            yield Example(self.name, prompt, "codes", answer=row)

    def grade(self, answers: Sequence[Ranking], truths: Sequence[int]) -> dict[str, float]:
        """Return how often the right item stands first."""
        if not answers:
            return {}
        hits = [len(answer) > 0 and answer.rows[0] == row for answer, row in zip(answers, truths, strict=True)]
        return {"hit@1": float(np.mean(hits))}
