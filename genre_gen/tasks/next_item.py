"""Which item comes next. The history's codes stand in the assistant's turn, and each of them is a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.interactions import History
from genre_gen.domain import Training
from genre_gen.metrics import ndcg_at, recall_at
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt
from genre_gen.ranking import Ranking
from genre_gen.tasks.base import Depth, Example, TaskData, windows
from genre_gen.tasks.synthetic import synthetic


class NextItem:
    """Learns every next item of a history, in windows; answers with a ranking."""

    name: ClassVar[str] = "next_item"
    depth: ClassVar[Depth] = "exit"

    def prompt(self, data: TaskData, book: PromptBook, history: History, *, open: bool = True) -> Prompt:
        """Return the prompt after which the model names the next item."""
        return book.render(self.name, open=open, domain=data.domain.name, history=data.entries(history))

    def examples(
        self, data: TaskData, book: PromptBook, rng: np.random.Generator, *, open: bool = False
    ) -> Iterator[Example]:
        """Yield the windows of each user of two items or more; as questions, each history without its last item.

        Where the domain's training settings say so, items of a window are left out, its beginning is cut off, or
        neighbours change places, and made-up histories join the real ones; questions stay as they are.
        """
        if open:
            for history in data.shuffled(rng, at_least=2):
                known = history.slice(0, len(history) - 1).last(data.domain.model.max_history)
                yield Example(self.name, self.prompt(data, book, known), "codes", answer=int(history.rows[-1]))
            return
        parts = [
            (user_row, *window)
            for user_row, length in enumerate(np.diff(data.interactions.offsets))
            if length > 1
            for window in windows(int(length), data.domain.training.window)
        ]
        for part in rng.permutation(len(parts)):
            user_row, start, stop, context = parts[part]
            places, context = augmented(int(stop - start), int(context), data.domain.training, rng)
            history = data.interactions.history_at(user_row).take(start + places)
            origins = data.interactions.offsets[user_row] + start + places
            yield Example(self.name, self.prompt(data, book, history, open=False), "codes", context, origins=origins)
        made_up = round(data.domain.training.synthetic * len(parts))
        for history, context, origins in synthetic(data, made_up, rng) if made_up else ():
            yield Example(self.name, self.prompt(data, book, history, open=False), "codes", context, origins=origins)

    def grade(self, answers: Sequence[Ranking], truths: Sequence[int]) -> dict[str, float]:
        """Return recall and NDCG at 10; an item that was not ranked is a miss."""
        if not answers:
            return {}
        ranks = np.array([_rank(answer, row) for answer, row in zip(answers, truths, strict=True)])
        return {"recall@10": float(recall_at(ranks, 10).mean()), "ndcg@10": float(ndcg_at(ranks, 10).mean())}


def augmented(length: int, context: int, training: Training, rng: np.random.Generator) -> tuple[NDArray[np.int64], int]:
    """Return which places of a window are learned from, in order, and how many of these only give context.

    The window may begin later (``training.crop``), then loses items (``drop``), then neighbours change places
    (``reorder``). Two items are always left, one of them a target.

    Args:
        length: items of the window, at least two.
        context: how many of its first items were targets before; less than ``length``.
        training: without augmentation, ``rng`` is left alone and all places come back.
        rng: decides.

    Returns:
        Places, int64 ``[2 to length]``, each at most once; the first ones give context only.
    """
    places = np.arange(length)
    if training.crop and length > 2 and rng.random() < training.crop:  # noqa: PLR2004 - two are left
        places = places[int(rng.integers(1, length - 1)) :]
    if training.drop:
        kept = rng.random(len(places)) >= training.drop
        if kept.sum() < 2 or not kept[places >= context].any():  # noqa: PLR2004 - as above
            kept[[int(rng.integers(len(places) - 1)), -1]] = True  # the last item is always a target
        places = places[kept]
    context = int((places < context).sum())
    if training.reorder:
        first = np.arange(int(rng.integers(2)), len(places) - 1, 2)
        first = first[rng.random(len(first)) < training.reorder]
        places[first], places[first + 1] = places[first + 1], places[first].copy()
    return places, context


def _rank(answer: Ranking, row: int) -> float:
    found = np.flatnonzero(answer.rows == row)
    return float(found[0] + 1) if len(found) else float("inf")
