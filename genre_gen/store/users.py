"""UserTable: the users of a domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from genre_gen.store.database import Database


@dataclass(frozen=True)
class StoredUser:
    """A user as stored.

    Attributes:
        user: the id.
        labels: by name.
        created: seconds since 1970.
    """

    user: str
    labels: Mapping[str, str] = field(default_factory=dict)
    created: float = 0.0


class UserTable:
    """The users of a domain: those with events, lists or labels."""

    def __init__(self, database: Database, domain: str) -> None:
        """Take the users of a domain, which is created if necessary."""
        raise NotImplementedError

    def ensure(self, connection: Connection, users: Iterable[str]) -> dict[str, int]:
        """Return the key of each user; unknown ones are created."""
        raise NotImplementedError

    def get(self, user: str) -> StoredUser | None:
        """Return a user, None if there is nothing of the user, or all of it was deleted."""
        raise NotImplementedError

    def put(self, connection: Connection, user: str, labels: Mapping[str, str]) -> StoredUser:
        """Replace a user's labels; the user is created if necessary."""
        raise NotImplementedError

    def merge(self, connection: Connection, user: str, into: str) -> int:
        """Give a user's events and lists to another user; return the number of events."""
        raise NotImplementedError

    def delete(self, connection: Connection, user: str) -> int:
        """Delete a user's events, lists and labels, and remember that the user was deleted; return how many events."""
        raise NotImplementedError

    def deleted(self) -> list[str]:
        """Return the users who were deleted; at a start, what a model was trained with of them must be forgotten."""
        raise NotImplementedError
