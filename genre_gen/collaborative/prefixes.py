"""Scores of all prefixes of histories, chunk by chunk, in time linear in the interactions.

A teacher scores what comes before each interaction. Asking ``score`` for each of these prefixes would read a history
of ``n`` interactions ``n`` times. A :class:`PrefixScorer` reads it once.
"""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions

LOOKBACK = 1000
"""The number of most recent interactions of a prefix that a model without a scorer of its own is given."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive interactions, of a part of one history or of several whole ones; a prefix ends at each of them.

    The last interaction of a history is left out, since nothing comes after it. All arrays are ``[C]``.

    Attributes:
        positions: int64, places in the interactions; the next one is what came next.
        rows: int64, catalog rows.
        ratings: float32, NaN if not rated; None if the data has no ratings.
        owners: int64, user rows.
        places: int64, places in the owner's history, 0 first.
        lags: int64, the number of interactions since the owner last had the same item; 0 if never.
        distinct: int64, the number of distinct items of the prefix.
        goes_on: whether the next chunk has a later part of the same history.
    """

    positions: NDArray[np.int64]
    rows: NDArray[np.int64]
    ratings: NDArray[np.float32] | None
    owners: NDArray[np.int64]
    places: NDArray[np.int64]
    lags: NDArray[np.int64]
    distinct: NDArray[np.int64]
    goes_on: bool

    def __len__(self) -> int:
        """Return the number of prefixes."""
        return len(self.positions)

    def parts(self) -> Iterator[slice]:
        """Yield the part of each owner."""
        edges = [0, *(np.flatnonzero(np.diff(self.owners)) + 1).tolist(), len(self)]
        yield from itertools.starmap(slice, itertools.pairwise(edges))


class PrefixScorer(ABC):
    """Scores the prefixes of histories; it is given all chunks in order."""

    def fresh(self) -> Self:
        """Return a scorer by the same model for other chunks, which another thread may use at the same time."""
        return copy.copy(self)

    @abstractmethod
    def score(self, chunk: Chunk) -> NDArray[np.float32]:
        """Return the scores of all items, up to a constant for each prefix: ``[n_items, C]``, a new array.

        An item's scores for all prefixes are next to each other, since sparse weights are then added fastest.
        """


class Constant(PrefixScorer):
    """The same scores ``[n_items]`` for all histories."""

    def __init__(self, scores: NDArray[np.float32]) -> None:
        """Store the scores around their mean, which single precision suits better."""
        self.scores = (scores - scores.mean(dtype=np.float64)).astype(np.float32)

    def score(self, chunk: Chunk) -> NDArray[np.float32]:
        """Repeat the scores."""
        return np.repeat(self.scores[:, None], len(chunk), axis=1)


class AsHistories(PrefixScorer):
    """Ask a model for each prefix, of at most LOOKBACK interactions: for models that have no faster way."""

    def __init__(self, score: Callable[[Sequence[History]], NDArray[np.float32]], interactions: Interactions) -> None:
        """Store the model's function and the interactions whose prefixes are asked for."""
        self.ask, self.interactions = score, interactions

    def score(self, chunk: Chunk) -> NDArray[np.float32]:
        """Cut the prefixes out and score them."""
        ends = zip(chunk.owners.tolist(), (chunk.places + 1).tolist(), strict=True)
        scores = self.ask([self.interactions.history_at(owner).slice(max(0, n - LOOKBACK), n) for owner, n in ends])
        return np.array(scores.T, np.float32, order="C")


def prefix_chunks(interactions: Interactions, users: NDArray[np.int64], size: int) -> Iterator[Chunk]:
    """Yield the chunks of the histories of some user rows, in this order; each has at most ``size`` prefixes."""
    lengths = np.diff(interactions.offsets)[users] - 1
    users, lengths = users[lengths > 0], lengths[lengths > 0]
    owners = np.repeat(users, lengths)
    begins = np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.arange(len(owners)) - begins
    positions = interactions.offsets[owners] + places
    rows = interactions.rows[positions]
    lags = _lags(owners * interactions.n_items + rows)
    known = np.cumsum(lags == 0)
    distinct = known - (known[begins] - 1) if len(known) else known
    for part in map(slice, *_edges(lengths.tolist(), size)):
        of_part = positions[part]
        ratings = None if interactions.ratings is None else interactions.ratings[of_part]
        goes_on = part.stop < len(owners) and bool(places[part.stop] > 0)
        yield Chunk(of_part, rows[part], ratings, owners[part], places[part], lags[part], distinct[part], goes_on)


def _edges(lengths: Sequence[int], size: int) -> tuple[list[int], list[int]]:
    """Return where chunks begin and end: longer histories are divided, shorter ones stay whole."""
    ends, room, end = [], 0, 0
    for length in lengths:
        if length > room:  # begin a chunk; the rest of the last one stays unused
            if end:
                ends.append(end)
            ends += range(end + size, end + length, size)
            room = max(0, size - length)
        else:
            room -= length
        end += length
    return ([0, *ends], [*ends, end]) if end else ([], [])


def _lags(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how far before each key the same key came last; 0 if never."""
    order = np.argsort(keys, kind="stable")
    again = keys[order[1:]] == keys[order[:-1]]
    lags = np.zeros(len(keys), dtype=np.int64)
    lags[order[1:][again]] = (order[1:] - order[:-1])[again]
    return lags
