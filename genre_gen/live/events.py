"""Events while serving: one of them, many of them as columns, and what is refused before it is stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre_gen.domain import Domain
from genre_gen.errors import UsageError, quoted
from genre_gen.live.kinds import Kinds

AHEAD = 86_400.0
"""Seconds by which an event's time may be later than the clock: clients' clocks and zones are wrong."""

LAST_SECOND = 253_402_300_799
"""The end of the year 9999, after which nothing happens; nor does it before the year -5881 (its negative)."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One event of the log.

    Attributes:
        event_id: unique in the domain; the same event sent twice is stored once.
        user: the user's id.
        item: the item's id, which the catalog may lack.
        kind: see :class:`genre_gen.live.kinds.Kinds`.
        happened: seconds since 1970, UTC, with fractions.
        received: the same, by the clock of the server.
        rating: on the domain's scale; None if not rated.
        value: seconds of reading, an amount; None if there is none.
        list_id: the list that showed the item.
        position: the item's place in it, from 1.
        session: the client's session.
        seq: the place in the log, from 1; 0 before it is stored.

    Example:
        >>> LiveEvent("c1-7", "17", "181", "interaction", 1_700_000_000.5, 1_700_000_001.0).seq
        0
    """

    event_id: str
    user: str
    item: str
    kind: str
    happened: float
    received: float
    rating: float | None = None
    value: float | None = None
    list_id: str | None = None
    position: int | None = None
    session: str | None = None
    seq: int = 0


@dataclass(frozen=True, eq=False)
class EventColumns:
    """Many stored events as columns; a code is an index into the names.

    Attributes:
        seq: int64 ``[n]``, in any order.
        user_codes, users: int32 ``[n]``, and the ids, each once.
        item_codes, items: int32 ``[n]``, and the ids, each once.
        kind_codes, kinds: uint8 ``[n]``, and the kinds, each once.
        happened: float64 ``[n]``, seconds since 1970.
        ratings: float32 ``[n]``, NaN where not rated.

    Example:
        >>> columns = EventColumns.of([LiveEvent("e1", "17", "181", "interaction", 5.5, 6.0, seq=1)])
        >>> len(columns), columns.users, columns.ratings
        (1, ('17',), array([nan], dtype=float32))
    """

    seq: NDArray[np.int64]
    user_codes: NDArray[np.int32]
    users: Sequence[str]
    item_codes: NDArray[np.int32]
    items: Sequence[str]
    kind_codes: NDArray[np.uint8]
    kinds: Sequence[str]
    happened: NDArray[np.float64]
    ratings: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.seq)

    @classmethod
    def of(cls, events: Sequence[LiveEvent]) -> EventColumns:
        """Return events as columns."""
        return cls.from_lists(
            [event.seq for event in events],
            [event.user for event in events],
            [event.item for event in events],
            [event.kind for event in events],
            [event.happened for event in events],
            [event.rating for event in events],
        )

    @classmethod
    def from_lists(
        cls,
        seq: Sequence[int],
        users: Sequence[str],
        items: Sequence[str],
        kinds: Sequence[str],
        happened: Sequence[float],
        ratings: Sequence[float | None],
    ) -> EventColumns:
        """Return columns of values, one a row; a rating may be None or NaN."""
        (user_codes, user_names), (item_codes, item_names) = coded(users), coded(items)
        kind_codes, kind_names = coded(kinds)
        return cls(
            np.asarray(seq, np.int64),
            user_codes, user_names,
            item_codes, item_names,
            kind_codes.astype(np.uint8), kind_names,
            np.asarray(happened, np.float64),
            np.array(ratings, np.float32),  # None becomes NaN
        )  # fmt: skip


def coded(names: Iterable[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return the number of each name in the order of first appearance, int32 ``[n]``, and the names, each once."""
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(name, len(numbers)) for name in names]
    return np.array(codes, np.int32), tuple(numbers)


def check_time(event: LiveEvent, now: float) -> None:
    """Raise UsageError for a time that cannot be one, or is more than a day after ``now`` (seconds since 1970)."""
    when = event.happened
    if isinstance(when, bool) or not isinstance(when, (int, float)) or not abs(when) <= LAST_SECOND:
        raise UsageError(f"event {quoted(event.event_id)}: {quoted(when)} is not a time; give seconds since 1970")
    if when > now + AHEAD:
        raise UsageError(
            f"event {quoted(event.event_id)} happened {(when - now) / 3600:,.0f} hours after the server's time; "
            "give seconds since 1970, and check the clock and its zone"
        )


def check_event(event: LiveEvent, kinds: Kinds, domain: Domain, now: float) -> None:
    """Raise UsageError for an event that must not be stored; ``now`` is in seconds since 1970.

    Its kind must exist, its time must be at most a day after ``now``, and its rating on the domain's scale.
    """
    kinds.settings(event.kind)
    check_time(event, now)
    if event.rating is None and not kinds.needs_rating(event.kind):
        return
    rating = event.rating
    if rating is None:
        raise UsageError(
            f"event {quoted(event.event_id)} is of kind {event.kind} and has no rating; add one, or give another kind"
        )
    if isinstance(rating, bool) or not isinstance(rating, (int, float)) or not math.isfinite(rating):
        raise UsageError(
            f"event {quoted(event.event_id)}: the rating {quoted(rating)} is not a finite number; "
            "give one, or leave it out"
        )
    low, high = domain.rating_scale or (-math.inf, math.inf)
    if not low <= rating <= high and rating not in domain.data.not_rated:
        raise UsageError(
            f"event {quoted(event.event_id)}: the rating {rating:g} is off the scale; it runs from {low:g} to {high:g}"
        )
