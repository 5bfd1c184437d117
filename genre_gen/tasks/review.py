"""What does the user say of this item? From the review, or from the history alone, to the headline of the review."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from genre_gen.prompting.book import PromptBook
from genre_gen.tasks.answers import exact_and_f1
from genre_gen.tasks.base import Depth, Example, TaskData, in_words


class Review:
    """Sums up what a user wrote, as the review tasks of P5 do (Geng et al. 2022, https://arxiv.org/abs/2203.13366).

    Where the data has headlines alone, the model predicts them from history and rating. Makes no examples where no
    headlines are read (``data.columns.summary``).
    """

    name: ClassVar[str] = "review"
    depth: ClassVar[Depth] = "full"

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield at most one example per user, about one of the items that the user gave a headline."""
        interactions = data.interactions
        for user_row in rng.permutation(len(interactions.users) if interactions.reviews is not None else 0).tolist():
            history, begin = interactions.history_at(user_row), int(interactions.offsets[user_row])
            written = [position for position in range(len(history)) if interactions.review(begin + position)[0]]
            if not written:
                continue
            position = int(rng.choice(written))
            summary, review = interactions.review(begin + position)
            yield in_words(
                book,
                self.name,
                answer=summary,
                open=open,
                domain=data.domain.name,
                history=data.entries(data.before(history, position)),
                item=data.entries(history.slice(position, position + 1))[0],
                review=review,
            )

    def grade(self, answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Return the share of exact answers, and the mean F1 of their words."""
        return exact_and_f1(answers, truths)
