"""The task rating: codes and ratings alternate in the assistant's message, and each rating is a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.metrics import mae, rmse
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt
from genre_gen.tasks.base import Depth, Example, TaskData, windows


class Rating:
    """How does the user rate this item? Learns every rating, in windows; no examples without ratings."""

    name: ClassVar[str] = "rating"
    depth: ClassVar[Depth] = "exit"

    def prompt(self, data: TaskData, book: PromptBook, history: History, row: int | None = None) -> Prompt:
        """Return the prompt that the model continues with a rating of an item; without an item, one to learn from."""
        return book.render(
            self.name,
            open=row is not None,
            domain=data.domain.name,
            scale=data.domain.rating_scale,
            history=data.entries(rated(history)),
            item=None if row is None else data.entry(row),
        )

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield each user's windows of rated items; as questions, each user's last rated item."""
        log = data.interactions
        if open:
            for user_row in rng.permutation(len(log.users)):
                history = rated(log.history_at(int(user_row)))
                if len(history):
                    known = data.before(history, len(history) - 1)
                    prompt = self.prompt(data, book, known, int(history.rows[-1]))
                    yield Example(self.name, prompt, "data", answer=float(history.ratings[-1]))  # type: ignore[index]
            return
        parts = [
            (user_row, *window)
            for user_row, length in enumerate(_rated_counts(log).tolist())
            for window in windows(length, data.domain.training.window)
        ]
        for part in rng.permutation(len(parts)):
            user_row, start, stop, context = parts[part]
            history = rated(log.history_at(user_row)).slice(start, stop)
            yield Example(self.name, self.prompt(data, book, history), "data", context)

    def grade(self, answers: Sequence[float], truths: Sequence[float]) -> dict[str, float]:
        """Return root mean squared error and mean absolute error, in points of the rating scale."""
        return {"rmse": rmse(answers, truths), "mae": mae(answers, truths)} if answers else {}


def rated(history: History) -> History:
    """Return the rated part of a history."""
    if history.ratings is None:
        return history.slice(0, 0)
    known = ~np.isnan(history.ratings)
    return history if known.all() else history.take(known)


def _rated_counts(log: Interactions) -> NDArray[np.int64]:
    """Return the number of rated interactions of each user: int64 ``[users]``."""
    known = np.zeros(len(log), bool) if log.ratings is None else ~np.isnan(log.ratings)
    return np.bincount(log.owners[known], minlength=len(log.users))
