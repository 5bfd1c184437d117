"""The task next item: the history's codes are in the assistant's message, and each of them is a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.history import History
from genre_gen.metrics import ndcg_at, recall_at
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt
from genre_gen.ranking import Ranking
from genre_gen.tasks.base import Depth, Example, TaskData, windows
from genre_gen.tasks.synthetic import synthetic


class NextItem:
    """Which item comes next? Learns every next item of a history, in windows; answers with a ranking."""

    name: ClassVar[str] = "next_item"
    depth: ClassVar[Depth] = "exit"

    def prompt(self, data: TaskData, book: PromptBook, history: History, *, open: bool = True) -> Prompt:
        """Return the prompt that the model continues with the next item."""
        return book.render(self.name, open=open, domain=data.domain.name, history=data.entries(history))

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield the windows of each user with two or more items; as questions, each history without its last item.

        With ``training.synthetic``, synthetic histories are added.
        """
        if open:
            for history in data.shuffled(rng, at_least=2):
                known = data.before(history, len(history) - 1)
                yield Example(self.name, self.prompt(data, book, known), "codes", answer=int(history.rows[-1]))
            return
        parts = self.parts(data)
        for part in rng.permutation(len(parts)):
            yield self.example(data, book, parts[part])
        yield from self.synthetic_examples(data, book, round(data.domain.training.synthetic * len(parts)), rng)

    @staticmethod
    def parts(data: TaskData) -> NDArray[np.int64]:
        """Return the windows that together have every interaction once as a target: int64 ``[windows, 4]``.

        A window is a user row, begin and end in the user's history, and the number of its first items that are context.
        """
        parts = [
            (user_row, *window)
            for user_row, length in enumerate(np.diff(data.interactions.offsets).tolist())
            if length > 1
            for window in windows(length, data.domain.training.window)
        ]
        return np.array(parts, np.int64).reshape(-1, 4)

    def example(self, data: TaskData, book: PromptBook, part: NDArray[np.int64]) -> Example:
        """Return the example of a window."""
        user_row, start, stop, context = part.tolist()
        history = data.interactions.history_at(user_row).slice(start, stop)
        origins = data.interactions.offsets[user_row] + np.arange(start, stop)
        return Example(self.name, self.prompt(data, book, history, open=False), "codes", context, origins=origins)

    def synthetic_examples(
        self, data: TaskData, book: PromptBook, count: int, rng: np.random.Generator
    ) -> Iterator[Example]:
        """Yield examples of at most ``count`` synthetic histories."""
        for history, context, origins in synthetic(data, count, rng) if count else ():
            yield Example(self.name, self.prompt(data, book, history, open=False), "codes", context, origins=origins)

    def grade(self, answers: Sequence[Ranking], truths: Sequence[int]) -> dict[str, float]:
        """Return recall and NDCG at 10; an item that was not ranked is a miss."""
        if not answers:
            return {}
        ranks = np.array([_rank(answer, row) for answer, row in zip(answers, truths, strict=True)])
        return {"recall@10": float(recall_at(ranks, 10).mean()), "ndcg@10": float(ndcg_at(ranks, 10).mean())}


def _rank(answer: Ranking, row: int) -> float:
    places = np.flatnonzero(answer.rows == row)
    return float(places[0] + 1) if len(places) else float("inf")
