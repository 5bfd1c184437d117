"""EventLog: the events of a domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from genre_gen.live.events import EventColumns, LiveEvent
from genre_gen.store.database import Database


@dataclass(frozen=True)
class Added:
    """What became of events.

    Attributes:
        stored: the new ones, with their ``seq``, in its order.
        duplicates: how many were there before, or twice among them.
        updated: how many of the duplicates had a larger ``value``, which replaced the stored one.
    """

    stored: list[LiveEvent]
    duplicates: int = 0
    updated: int = 0


class EventLog:
    """The events of a domain, in the order in which they were committed."""

    def __init__(self, database: Database, domain: str) -> None:
        """Take the events of a domain, which is created if necessary."""
        raise NotImplementedError

    def add(self, connection: Connection, events: Sequence[LiveEvent]) -> Added:
        """Store events; one whose id the domain has is not stored again.

        If a duplicate is of the same kind and item, and its ``value`` is larger, the stored value becomes that.

        Raises:
            UsageError: a text that cannot be stored; none of the events is.
        """
        raise NotImplementedError

    def columns(self, after_seq: int = 0) -> EventColumns:
        """Return all events after one, in the order of ``seq``."""
        raise NotImplementedError

    def of_user(self, user: str, n: int = 100, before_seq: int | None = None) -> list[LiveEvent]:
        """Return the newest ``n`` events of a user, the newest first; only those before ``before_seq``, if given."""
        raise NotImplementedError

    def count(self) -> int:
        """Return the number of events."""
        raise NotImplementedError

    def last_seq(self) -> int:
        """Return the ``seq`` of the last event, 0 without events."""
        raise NotImplementedError
