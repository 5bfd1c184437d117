"""IdempotencyTable: answers to requests that a client may send twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from genre_gen.store.database import Database
from genre_gen.store.schema import idempotency as table
from genre_gen.store.texts import check_text


@dataclass(frozen=True)
class Attempt:
    """What is known of an idempotency key.

    Attributes:
        state: ``new``: answer it; ``running``: another request with it is not finished; ``done``: give the same answer;
            ``other``: it was used for another request.
        status, answer: of a finished request.
    """

    state: Literal["new", "running", "done", "other"]
    status: int = 0
    answer: str = ""


class IdempotencyTable:
    """Requests of a domain, by the keys that clients gave them.

    A request that runs when the server ends may be sent again: opening a store forgets it.

    Example:
        >>> requests, submit = IdempotencyTable(database, "movies"), database.writer.submit
        >>> submit(lambda connection: requests.begin(connection, "k-1", "5f…", expires=2e9)).result().state
        'new'
        >>> submit(lambda connection: requests.finish(connection, "k-1", 201, "{}")).result()
        >>> requests.find("k-1", "5f…").answer
        '{}'
    """

    def __init__(self, database: Database, domain: str) -> None:
        """Take the requests of a domain, which is created if necessary."""
        self._database, self._domain = database, database.domain(domain)

    def begin(self, connection: Connection, key: str, sha256: str, expires: float) -> Attempt:
        """Begin a request with a key, unless there is one.

        Args:
            connection: the writer's.
            key: the client's.
            sha256: of the request.
            expires: seconds since 1970.
        """
        check_text(key, "request", "idempotency key")
        found = _attempt(self._row(connection, key), sha256)
        if found.state == "new":
            values = {"domain": self._domain, "key": key, "sha256": sha256, "expires": expires}
            connection.execute(table.insert().values(values))
        return found

    def finish(self, connection: Connection, key: str, status: int, answer: str) -> None:
        """Keep the answer."""
        connection.execute(table.update().where(*self._this(key)).values(status=status, answer=answer))

    def abandon(self, connection: Connection, key: str) -> None:
        """Let a request be tried again, after an error that was not the client's."""
        connection.execute(table.delete().where(*self._this(key)))

    def find(self, key: str, sha256: str) -> Attempt:
        """Return what is known of a key, without beginning a request."""
        with self._database.read() as connection:
            return _attempt(self._row(connection, key), sha256)

    def delete_before(self, connection: Connection, at: float) -> int:
        """Delete what expired before a moment (seconds since 1970); return how many."""
        expired = table.delete().where(table.c.domain == self._domain, table.c.expires < at)
        return connection.execute(expired).rowcount

    def _this(self, key: str) -> tuple[Any, ...]:
        return (table.c.domain == self._domain, table.c.key == key)

    def _row(self, connection: Connection, key: str) -> Row[Any] | None:
        return connection.execute(select(table).where(*self._this(key))).first()


def _attempt(row: Row[Any] | None, sha256: str) -> Attempt:
    if row is None:
        return Attempt("new")
    if row.sha256 != sha256:
        return Attempt("other")
    return Attempt("running") if row.status is None else Attempt("done", row.status, row.answer)
