"""Engine: the model thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from typing import Literal, TypeVar

from genre_gen.data.history import History
from genre_gen.live.histories import LiveHistories
from genre_gen.live.view import View
from genre_gen.recommender.requests import Recommendations, Request

Result = TypeVar("Result")


class Lane(IntEnum):
    """Which work comes first: FAST before PUSH before SLOW (explanations, and everything of many passes)."""

    FAST = 0
    PUSH = 1
    SLOW = 2


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
class Answer:
    """The answer to one ask.

    Attributes:
        picks: the list.
        view: what it was answered with.
        history: what it was answered for.
        history_seq: the ``seq`` of the user's last event in that history; 0 without events.
        batch: number of asks that were answered together.
        waited: seconds from the ask to the begin of its batch.
        seconds: seconds of the batch.
    """

    picks: Recommendations
    view: View
    history: History
    history_seq: int
    batch: int
    waited: float
    seconds: float


class EngineStats:
    """Counters and hooks for metrics."""


class Engine:
    """The model thread of a server: batches that never wait, deadlines, bounded queues, swaps."""

    def __init__(
        self,
        *,
        max_batch: int = 64,
        max_queue: int = 512,
        threads: int | None = None,
        overload: Literal["refuse", "degrade"] = "refuse",
    ) -> None:
        """Start the thread."""
        self.stats = EngineStats()

    def open(self, view: View, histories: LiveHistories) -> None:
        """Serve a domain."""
        raise NotImplementedError

    def ask(self, ask: Ask) -> Future[Answer]:
        """Queue an ask; ``cancel()`` of the future drops it."""
        raise NotImplementedError

    def run(
        self,
        domain: str,
        work: Callable[[View, LiveHistories], Result],
        *,
        lane: Lane = Lane.SLOW,
        deadline: float = inf,
    ) -> Future[Result]:
        """Run work on the model thread, such as a prediction."""
        raise NotImplementedError

    def swap(self, view: View, histories: LiveHistories | None = None) -> None:
        """Serve a domain with another view from the next batch on."""
        raise NotImplementedError

    def view(self, domain: str) -> View:
        """Return the view of a domain."""
        raise NotImplementedError

    def histories(self, domain: str) -> LiveHistories:
        """Return the live histories of a domain."""
        raise NotImplementedError

    @property
    def healthy(self) -> bool:
        """Tell whether the model thread is at work."""
        raise NotImplementedError

    def close(self, timeout: float = 5.0) -> None:
        """Finish the present batch, refuse what is queued, and end the thread."""
        raise NotImplementedError
