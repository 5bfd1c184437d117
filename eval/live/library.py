"""The library as the judge of served lists: histories put together from a log, and lists compared with its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.history import History

if TYPE_CHECKING:
    from genre_gen.recommender.recommender import Recommender

TOLERANCE = 1e-4
"""Items whose scores differ by less may change places."""

BEYOND = 10  # items after the last place that may have come into the list
BATCH = 64


class Logged(NamedTuple):
    """An event of a history.

    Attributes:
        row: of the catalog.
        happened: seconds since 1970.
        rating: NaN for none.
    """

    row: int
    happened: float
    rating: float


@dataclass
class Comparison:
    """Counts of compared lists.

    Attributes:
        lists: compared.
        same: with the same items in the same order.
        tied: with items in other places whose scores are as good as equal.
        different: with anything else.
        furthest: greatest difference of a score.
        examples: the first differences.
    """

    lists: int = 0
    same: int = 0
    tied: int = 0
    different: int = 0
    furthest: float = 0.0
    examples: list[str] | None = None

    def add(self, name: str, items: Sequence[str], scores: Sequence[float], own: Sequence[tuple[str, float]]) -> None:
        """Compare a list with the library's own, which is longer by some items."""
        self.lists += 1
        own_scores = dict(own)
        if len(items) <= len(own):
            differences = [abs(own_scores.get(item, np.inf) - score) for item, score in zip(items, scores, strict=True)]
            self.furthest = max([self.furthest, *(each for each in differences if np.isfinite(each))])
        if list(items) == [item for item, _ in own[: len(items)]]:
            self.same += 1
        elif agree(items, own):
            self.tied += 1
        else:
            self.different += 1
            told = f"{name}: {', '.join(items)}; the library: {', '.join(item for item, _ in own[: len(items)])}"
            self.examples = [*(self.examples or []), told][:5]


def agree(items: Sequence[str], own: Sequence[tuple[str, float]], tolerance: float = TOLERANCE) -> bool:
    """Tell whether each place of a list has an item that scores as the library's item of that place does.

    Example:
        >>> agree(["b", "a"], [("a", 2.0), ("b", 1.99999)]), agree(["b", "a"], [("a", 2.0), ("b", 1.9)])
        (True, False)
    """
    scores = dict(own)
    if len(items) > len(own) or len(set(items)) < len(items):
        return False
    return all(
        item in scores and abs(scores[item] - expected) <= tolerance
        for item, (_, expected) in zip(items, own, strict=False)
    )


def merged(trained: History | None, events: Iterable[Logged], rated: bool) -> History:
    """Return the history of a log without kinds of events: in order of time, an item that repeats at its last time.

    Args:
        trained: the user's interactions in the training data; None for a stranger.
        events: in order of the log; of equal times, the trained ones come first.
        rated: whether the domain has ratings.
    """
    logged = list(events)
    rows = [] if trained is None else trained.rows.tolist()
    count = len(rows)
    times = [] if trained is None or trained.times is None else trained.times.astype(float).tolist()
    ratings = [float("nan")] * count if trained is None or trained.ratings is None else trained.ratings.tolist()
    rows += [event.row for event in logged]
    times = [*times, *([0.0] * (count - len(times))), *(event.happened for event in logged)]
    ratings += [event.rating for event in logged]
    order = np.argsort(np.asarray(times), kind="stable")
    last = {rows[place]: place for place in order.tolist()}
    kept = np.array([place for place in order.tolist() if last[rows[place]] == place], np.int64)
    return History(
        np.asarray(rows, np.int64)[kept],
        np.asarray(ratings, np.float32)[kept] if rated else None,
        np.floor(np.asarray(times))[kept].astype(np.int64),
    )


class Library:
    """A trained recommender, asked without a server."""

    def __init__(self, recommender: Recommender) -> None:
        """Take it."""
        self.recommender = recommender
        self.state = recommender.state
        self.users = list(self.state.histories.users)
        self.ids = [item.id for item in self.state.catalog]
        self.rows = {item: row for row, item in enumerate(self.ids)}
        self._known = set(self.users)

    @classmethod
    def load(cls, run: Path) -> Library:
        """Load it from its folder."""
        from genre_gen.recommender.recommender import Recommender

        return cls(Recommender.from_pretrained(run))

    def trained(self, user: str) -> History | None:
        """Return the user's interactions in the training data."""
        return self.state.histories.history(user) if user in self._known else None

    def history(self, user: str, events: Iterable[Logged]) -> History:
        """Return the history of a user after these events."""
        return merged(self.trained(user), events, self.state.histories.rated)

    def compared(self, lists: Iterable[tuple[str, History, Sequence[str], Sequence[float]]]) -> Comparison:
        """Compare lists, each with the history that it was made for, one at a time."""
        found = Comparison()
        for name, history, items, scores in lists:
            own = _own(self.recommender.recommend(history, len(items) + BEYOND))
            found.add(name, items, scores, own)
        return found

    def compared_in_batches(self, lists: Iterable[tuple[str, History, Sequence[str], Sequence[float]]]) -> Comparison:
        """Compare lists as ``compared`` does, of histories that are read in batches."""
        from genre_gen.recommender.answering import answer_many
        from genre_gen.recommender.requests import Request

        found, kept = Comparison(), list(lists)
        requests = (Request(history, len(items) + BEYOND) for _, history, items, _ in kept)
        for (name, _, items, scores), picks in zip(kept, answer_many(self.state, requests), strict=True):
            found.add(name, items, scores, _own(picks))
        return found


def _own(picks: Iterable[object]) -> list[tuple[str, float]]:
    return [(pick.item.id, pick.score) for pick in picks]  # type: ignore[attr-defined]


def users_a_second(run: Path, last: int | None = None, rounds: int = 2, threads: int = 2, n: int = 10) -> float:
    """Return how many users a second ``answer_many`` answers in batches of 64, the best of some rounds.

    Args:
        run: folder of the recommender.
        last: only this many of the newest interactions of each user; None for all.
        rounds: over all users, after one batch to warm up.
        threads: of torch.
        n: items of a list.
    """
    import torch

    from genre_gen.recommender.answering import answer_many
    from genre_gen.recommender.requests import Request

    torch.set_num_threads(threads)
    state = Library.load(run).state
    histories = state.histories.histories()
    requests = [
        Request(History(h.rows, h.ratings, h.times) if last is None else History(*_newest(h, last)), n)
        for h in histories
    ]
    list(answer_many(state, requests[:BATCH]))
    best = 0.0
    for _ in range(rounds):
        begin = time.perf_counter()
        count = sum(1 for _ in answer_many(state, requests))
        best = max(best, count / (time.perf_counter() - begin))
    return best


def _newest(history: History, n: int) -> tuple[NDArray[np.int64], NDArray[np.float32] | None, NDArray[np.int64] | None]:
    part = history.last(n)
    return part.rows, part.ratings, part.times
