"""Does this item fit this user?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from genre_gen.prompting.book import PromptBook
from genre_gen.tasks.answers import accuracy
from genre_gen.tasks.base import Depth, Example, TaskData, in_words


class Fits:
    """Tells an item that the user liked next from one without an interaction of the user."""

    name: ClassVar[str] = "fits"
    depth: ClassVar[Depth] = "exit"

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield one example per user, true or not with equal chance."""
        for history in data.shuffled(rng, at_least=2):
            liked = data.liked(history)
            liked = liked[liked > 0]
            if not len(liked):
                continue
            position = int(rng.choice(liked))
            answer = bool(rng.integers(2))
            row = int(history.rows[position]) if answer else data.unseen(history, rng)
            if row is None:
                continue
            known = data.before(history, position)
            yield in_words(
                book,
                self.name,
                answer=answer,
                open=open,
                domain=data.domain.name,
                history=data.entries(known),
                item=data.entry(row),
            )

    def grade(self, answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Return the share of right answers."""
        return {"accuracy": accuracy(answers, truths)} if answers else {}
