"""Who asks in a load test: users of the data, or strangers to it with the newest part of a history of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eval.live.api import Api, Event, event
from eval.live.client import Call, poisson
from genre_gen.errors import GenreGenError

if TYPE_CHECKING:
    from eval.live.library import Library

BATCH = 500
LEAD = 0.1
"""Seconds by which the new event of a user is sent before the request for a list."""


@dataclass
class Audience:
    """Users of a test, and what they have.

    Attributes:
        users: their ids.
        seen: catalog rows in the history of each.
        items: ids of the catalog.
        before: events to store before the test.
    """

    users: list[str]
    seen: dict[str, set[int]]
    items: list[str]
    before: list[Event] = field(default_factory=list, repr=False)

    def store(self, api: Api) -> int:
        """Store the events that lie before the test; return their number.

        Raises:
            GenreGenError: one was not accepted.
        """
        with api.caller(60) as caller:
            for start in range(0, len(self.before), BATCH):
                reply = caller.events(self.before[start : start + BATCH])
                if not reply.ok or (reply.status == 200 and reply.json.get("rejected")):  # noqa: PLR2004
                    raise GenreGenError(f"events were not accepted: {reply.status} {reply.body[:500]!r}")
        return len(self.before)

    def new_event(self, rng: np.random.Generator, user: str, event_id: str) -> Event:
        """Return a rating of an item that is new to the user; of an earlier one, if few are left."""
        seen = self.seen[user]
        row = int(rng.integers(len(self.items)))
        while row in seen and len(seen) < 0.8 * len(self.items):  # the rest is for lists
            row = int(rng.integers(len(self.items)))
        seen.add(row)
        return event(event_id, user, self.items[row], rating=float(rng.integers(3, 6)))


def trained_users(library: Library, most: int | None = None) -> Audience:
    """Return the users of the data, with their whole histories."""
    users = library.users[:most]
    seen = {user: set(library.state.histories.history(user).rows.tolist()) for user in users}
    return Audience(users, seen, library.ids)


def strangers(library: Library, last: int, count: int, label: str = "s") -> Audience:
    """Return ``count`` users that the data lacks, each with the newest ``last`` interactions of a user of the data."""
    users: list[str] = []
    seen: dict[str, set[int]] = {}
    before: list[Event] = []
    for number in range(count):
        source = library.users[number % len(library.users)]
        user = f"{label}{number // len(library.users)}-{source}"
        history = library.state.histories.history(source).last(last)
        users.append(user)
        seen[user] = set(history.rows.tolist())
        times = range(len(history)) if history.times is None else history.times.tolist()
        ratings = [None] * len(history) if history.ratings is None else history.ratings.tolist()
        for place, (row, at, rating) in enumerate(zip(history.rows.tolist(), times, ratings, strict=True)):
            known = rating if rating is not None and np.isfinite(rating) else None
            before.append(event(f"{user}-{place}", user, library.ids[row], rating=known, at=float(at)))
    return Audience(users, seen, library.ids, before)


def list_calls(
    api: Api,
    audience: Audience,
    rate: float,
    seconds: float,
    *,
    seed: int = 0,
    share: float = 0.5,
    n: int = 10,
    **options: object,
) -> tuple[list[Call], list[str]]:
    """Return requests for lists at Poisson moments, a ``share`` of them after a new event of the same user.

    Events are calls of their own, of the kind ``event``, sent ``LEAD`` seconds earlier.

    Returns:
        The calls in order of their moments, and the user of each.
    """
    rng = np.random.default_rng(seed)
    pairs: list[tuple[Call, str]] = []
    for number, moment in enumerate((poisson(rng, rate, seconds) + LEAD).tolist()):
        user = audience.users[int(rng.integers(len(audience.users)))]
        if rng.random() < share:
            made = audience.new_event(rng, user, f"{seed}-{number}")
            pairs.append((Call(moment - LEAD, "event", api.events([made])), user))
        pairs.append((Call(moment, "list", api.recommend(user, n, **options)), user))
    pairs.sort(key=lambda pair: pair[0].at)
    return [call for call, _ in pairs], [user for _, user in pairs]


def event_calls(
    api: Api, audience: Audience, rate: float, seconds: float, *, seed: int = 0, size: int = 1
) -> list[Call]:
    """Return reports of ``size`` new events each, at ``rate`` reports a second; users go round."""
    rng = np.random.default_rng(seed)
    users = _round(audience.users)
    moments = poisson(rng, rate, seconds).tolist()
    return [
        Call(moment, "event", api.events(_some(audience, rng, users, f"{seed}-{number}", size)))
        for number, moment in enumerate(moments)
    ]


def _some(audience: Audience, rng: np.random.Generator, users: Iterator[str], label: str, size: int) -> Sequence[Event]:
    return [audience.new_event(rng, next(users), f"{label}-{place}") for place in range(size)]


def _round(users: Sequence[str]) -> Iterator[str]:
    while True:
        yield from users
