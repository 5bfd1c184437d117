"""UserTable: the users of a domain."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, func, select

from genre_gen.store.database import Database
from genre_gen.store.schema import deleted_user, event, served_list, subject
from genre_gen.store.texts import check_text, to_json


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
    """The users of a domain: those with events, lists or labels.

    Example:
        >>> users = UserTable(database, "movies")
        >>> _ = database.writer.submit(lambda connection: users.put(connection, "17", {"plan": "family"})).result()
        >>> users.get("17").labels
        {'plan': 'family'}
    """

    def __init__(self, database: Database, domain: str) -> None:
        """Take the users of a domain, which is created if necessary."""
        self._database, self._domain = database, database.domain(domain)

    def ensure(self, connection: Connection, users: Iterable[str]) -> dict[str, int]:
        """Return the number of each user; unknown ones are created."""
        return self._database.subjects.of(
            connection, self._domain, dict.fromkeys(check_text(user, "user") for user in users)
        )

    def get(self, user: str) -> StoredUser | None:
        """Return a user, None if there is nothing of the user, or all of it was deleted."""
        with self._database.read() as connection:
            row = self._row(connection, user)
        return None if row is None else StoredUser(row.user_id, json.loads(row.labels or "{}"), row.created)

    def put(self, connection: Connection, user: str, labels: Mapping[str, str]) -> StoredUser:
        """Replace a user's labels; the user is created if necessary."""
        number = self.ensure(connection, [user])[user]
        changing = subject.update().where(subject.c.id == number).values(labels=to_json(dict(labels)))
        row = connection.execute(changing.returning(subject.c.created)).one()
        return StoredUser(user, dict(labels), row.created)

    def merge(self, connection: Connection, user: str, into: str) -> int:
        """Give a user's events and lists to another user, who keeps the own labels; return the number of events."""
        row = self._row(connection, user)
        if row is None or user == into:
            return 0
        to = self.ensure(connection, [into])[into]
        moved = [
            connection.execute(table.update().where(table.c.subject == row.id).values(subject=to)).rowcount
            for table in (event, served_list)
        ]
        connection.execute(subject.delete().where(subject.c.id == row.id))
        self._database.subjects.clear()
        return moved[0]

    def delete(self, connection: Connection, user: str) -> int:
        """Delete a user's events, lists and labels, and remember that the user was deleted; return how many events."""
        check_text(user, "user")
        row, mark = self._row(connection, user), {"domain": self._domain, "user_id": user}
        connection.execute(deleted_user.delete().filter_by(**mark))
        connection.execute(deleted_user.insert().values(at=time.time(), **mark))
        if row is None:
            return 0
        counting = select(func.count()).select_from(event).where(event.c.subject == row.id)
        events = int(connection.execute(counting).scalar_one())
        connection.execute(subject.delete().where(subject.c.id == row.id))  # the rest goes with it
        self._database.subjects.clear()
        return events

    def deleted(self) -> list[str]:
        """Return the users who were deleted; at a start, what a model was trained with of them must be forgotten."""
        finding = select(deleted_user.c.user_id).where(deleted_user.c.domain == self._domain)
        with self._database.read() as connection:
            return list(connection.execute(finding.order_by(deleted_user.c.at)).scalars())

    def _row(self, connection: Connection, user: str) -> Row[Any] | None:
        finding = select(subject).where(subject.c.domain == self._domain, subject.c.user_id == user)
        return connection.execute(finding).first()
