"""Lanes: what waits for the model thread, in which order it comes, and how long it will take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf
from typing import Any

from genre_gen.data.history import History
from genre_gen.recommender.requests import Request


class Lane(IntEnum):
    """Which work comes first: FAST before PUSH before SLOW (explanations, and everything of many passes)."""

    FAST = 0
    PUSH = 1
    SLOW = 2


SHARES = {Lane.FAST: 1.0, Lane.PUSH: 0.2, Lane.SLOW: 0.15}
"""The share of the model thread's time that a lane gets at least while it has work; the first takes all it needs."""

_UNMEASURED = 0.1  # seconds of a lane's first batch
_SMOOTHING = 0.2
_SIZES = 8  # kinds of batches whose seconds are kept apart: of 1, 2-3, 4-7, ... asks


@dataclass(frozen=True)
class Ask:
    """One question to the engine.

    Attributes:
        domain: the name of the view's domain.
        who: a user id, whose live history is taken when the batch begins; a history; None for an unknown user.
        request: n, filters, query, explain, rules, at; its ``who`` is ignored.
        lane: which work comes first.
        deadline: by ``time.monotonic()``; a late ask is dropped before the model reads it.
        until_seq: the history as of this event, for next pages; None for now.
    """

    domain: str
    who: str | History | None
    request: Request
    lane: Lane = Lane.FAST
    deadline: float = inf
    until_seq: int | None = None


@dataclass(frozen=True)
class Work:
    """A function that runs on the model thread, given a domain's view and live histories."""

    domain: str
    function: Callable[..., Any]
    lane: Lane = Lane.SLOW
    deadline: float = inf


@dataclass(frozen=True, eq=False)
class Waiting:
    """Work in a queue, with the future that its caller holds and the time that it came, by the engine's clock."""

    work: Ask | Work
    future: Future[Any]
    since: float


class Pace:
    """How many seconds an ask takes in batches of some sizes, as measured lately; unknown until then."""

    def __init__(self) -> None:
        """Begin without measurements."""
        self._per_ask: list[float | None] = [None] * _SIZES

    def measured(self, size: int, seconds: float) -> None:
        """Take a batch into account."""
        place, new = _place(size), seconds / size
        known = self._per_ask[place]
        self._per_ask[place] = new if known is None else known + _SMOOTHING * (new - known)

    def seconds(self, asks: int, most: int) -> float:
        """Return the seconds that some asks will take in batches of at most ``most``; 0 if nothing is known."""
        wanted = _place(min(asks, most)) if asks else 0
        known = [(abs(place - wanted), value) for place, value in enumerate(self._per_ask) if value is not None]
        return asks * min(known)[1] if known else 0.0


def _place(size: int) -> int:
    return min(max(size, 1).bit_length(), _SIZES) - 1


@dataclass
class Lanes:
    """The queues of an engine; its lock is the engine's.

    Attributes:
        most: how many may wait in each lane.
        sizes: the largest batch of each lane.
        queues: what waits, oldest first.
        paces: measured seconds.
    """

    most: int
    sizes: dict[Lane, int]
    queues: dict[Lane, deque[Waiting]] = field(default_factory=lambda: {lane: deque() for lane in Lane})
    paces: dict[Lane, Pace] = field(default_factory=lambda: {lane: Pace() for lane in Lane})
    _credit: dict[Lane, float] = field(default_factory=lambda: dict.fromkeys(Lane, 0.0))

    def __len__(self) -> int:
        """Return how many wait in all lanes."""
        return sum(map(len, self.queues.values()))

    def expected(self, lane: Lane) -> float:
        """Return the seconds until one more ask of a lane would be answered, by what was measured.

        Other lanes count as far as they come first.
        """
        ahead = sum(self.paces[each].seconds(len(self.queues[each]), self.sizes[each]) for each in Lane if each < lane)
        return ahead + self.paces[lane].seconds(len(self.queues[lane]) + 1, self.sizes[lane])

    def choose(self) -> Lane | None:
        """Return the lane that is served next; None if nothing waits.

        A lane goes ahead of others as soon as it has saved up the seconds of one of its batches from its share.
        """
        waiting = [lane for lane in Lane if self.queues[lane]]
        if not waiting:
            return None
        for lane in reversed(waiting[1:]):
            size = min(len(self.queues[lane]), self.sizes[lane])
            if self._credit[lane] >= (self.paces[lane].seconds(size, size) or _UNMEASURED):
                return lane
        return waiting[0]

    def served(self, lane: Lane, size: int, seconds: float) -> None:
        """Take a batch into account: its pace, and the shares of the lanes that waited."""
        self.paces[lane].measured(size, seconds)
        for each in Lane:
            saved = self._credit[each] + SHARES[each] * seconds if self.queues[each] and each is not lane else 0.0
            self._credit[each] = saved

    def take(self, lane: Lane, alone: Callable[[str], bool]) -> list[Waiting]:
        """Remove and return the next batch of a lane: what came first, and asks of the same domain behind it.

        ``alone`` tells whether the asks of a domain are answered one by one.
        """
        queue = self.queues[lane]
        first = queue.popleft()
        most = self.sizes[lane]
        if isinstance(first.work, Work) or most == 1 or alone(first.work.domain):
            return [first]
        batch: list[Waiting] = [first]
        others: list[Waiting] = []
        while queue and len(batch) < most:
            waiting = queue.popleft()
            same = isinstance(waiting.work, Ask) and waiting.work.domain == first.work.domain
            (batch if same else others).append(waiting)
        queue.extendleft(reversed(others))
        return batch

    def clear(self) -> list[Waiting]:
        """Remove and return everything."""
        removed = [waiting for queue in self.queues.values() for waiting in queue]
        for queue in self.queues.values():
            queue.clear()
        return removed
