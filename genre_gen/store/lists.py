"""ListLog: the lists that were served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from genre_gen.store.database import Database


@dataclass(frozen=True)
class ServedList:
    """A list as it was served.

    Attributes:
        list_id: unique in the domain.
        at: seconds since 1970.
        user: id of a user, None for a history.
        request: JSON values.
        generation, view, history_seq: what it was made from.
        items: their ids, in order.
        scores: one an item; stored with 32 bits.
        shown: ids of the items of the pages before it.
        notes: of the answer.
        micros: microseconds that it took.
        policy: how it was drawn.
    """

    list_id: str
    at: float
    user: str | None
    request: Mapping[str, Any]
    generation: str
    view: int
    history_seq: int
    items: tuple[str, ...]
    scores: tuple[float, ...]
    shown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    micros: int = 0
    policy: str = "greedy"
    extra: Mapping[str, Any] = field(default_factory=dict)


class ListLog:
    """The lists that a domain served."""

    def __init__(self, database: Database, domain: str) -> None:
        """Take the lists of a domain, which is created if necessary."""
        raise NotImplementedError

    def add(self, connection: Connection, *lists: ServedList) -> None:
        """Store lists; one that is there already is left as it is."""
        raise NotImplementedError

    def get(self, list_id: str) -> ServedList | None:
        """Return a list, None if it is not stored."""
        raise NotImplementedError

    def delete_before(self, connection: Connection, at: float) -> int:
        """Delete lists that were served before a moment (seconds since 1970); return how many."""
        raise NotImplementedError
