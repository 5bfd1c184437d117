"""Database: a store that is open in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from genre_gen.errors import StoreError, quoted
from genre_gen.store import schema
from genre_gen.store.backend import Backend
from genre_gen.store.migrate import migrate
from genre_gen.store.numbers import Numbers
from genre_gen.store.writer import Writer, probe


class Database:
    """An open store, in SQLite or PostgreSQL; one process has it at a time.

    Attributes:
        backend: what differs between the two.
        writer: changes it.
        names: numbers of ids of items and of kinds of events.
        subjects: numbers of users.

    Example:
        >>> with Database.open("sqlite:///live/store.db") as database:
        ...     EventLog(database, "movies").count()
        0
    """

    def __init__(self, backend: Backend) -> None:
        """Take a database that is locked and has the newest schema; :meth:`open` makes one."""
        self.backend = backend
        self.names = Numbers(backend, "name", "text")
        self.subjects = Numbers(backend, "subject", "user_id", dated=True)
        self.writer = Writer(backend, self.forget_numbers)

    @classmethod
    def open(cls, url: str) -> Database:
        """Open a store, which is made if it does not exist, and brought to the newest schema.

        Args:
            url: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:PASSWORD@HOST/NAME``.

        Raises:
            StoreError: it cannot be opened, is damaged, was made by a newer version, or another process has it.
        """
        backend = backend_of(url)
        backend.lock()
        try:
            migrate(backend)
            backend.check()
            database = cls(backend)
        except BaseException:
            backend.close()
            raise
        try:
            database.writer.submit(probe).result()
            # Requests that ran when the server ended have no answer, and may be sent again.
            running = schema.idempotency.delete().where(schema.idempotency.c.status.is_(None))
            database.writer.submit(lambda connection: connection.execute(running)).result()
        except BaseException:
            database.close()
            raise
        return database

    def __enter__(self) -> Database:
        """Return the store itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Lend a connection that sees one state of what is committed, and can change nothing."""
        try:
            with self.backend.reading.begin() as connection:
                yield connection
        except SQLAlchemyError as problem:
            raise self.backend.error(problem) from problem

    def backup(self, path: Path) -> None:
        """Write a copy of the store while it is used; raises StoreError."""
        self.backend.backup(path)

    def domain(self, name: str) -> int:
        """Return the number of a domain, which is created if necessary; not in the writer's thread."""
        table = schema.domain
        finding = table.select().where(table.c.name == name)
        with self.read() as connection:
            found = connection.execute(finding).first()
        if found is not None:
            return int(found.id)

        def create(connection: Connection) -> int:
            row = connection.execute(finding).first()
            if row is not None:
                return int(row.id)
            adding = table.insert().values(name=name, created=time.time()).returning(table.c.id)
            return int(connection.execute(adding).scalar_one())

        return self.writer.submit(create, wait=True).result()

    def forget_numbers(self) -> None:
        """Forget cached numbers, some of which a rollback may have undone."""
        self.names.clear()
        self.subjects.clear()

    def close(self) -> None:
        """Write what waits, and close; later writes raise StoreError."""
        self.backend.reading.dispose()  # before the writer, which cleans up after the last reader
        self.writer.close()
        self.backend.close()


def backend_of(url: str) -> Backend:
    """Return the backend of an address; raises StoreError."""
    try:
        parsed: URL = make_url(url)
    except ArgumentError:
        raise StoreError(f"{quoted(url)} is not the address of a store; write sqlite:///FILE") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        from genre_gen.store.sqlite import SqliteBackend

        return SqliteBackend(parsed)
    if kind == "postgresql":
        from genre_gen.store.postgresql import PostgresBackend

        return PostgresBackend(parsed)
    raise StoreError(
        f"no store in {quoted(kind)}; write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
    )
