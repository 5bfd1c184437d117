"""A store in a PostgreSQL database."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event

from genre_gen.errors import StoreError
from genre_gen.extras import require
from genre_gen.store.backend import BULK, EVENT_COLUMNS, Backend, cause, driver

LOCK = 0x67656E7265  # "genre", the number of an advisory lock of the whole database
PATIENCE = 5.0
"""Seconds to wait for the lock: the server of a process that was killed notices after a moment."""
READERS = 4
"""Connections that are kept for reading."""

_TYPES = {
    **dict.fromkeys(("domain", "subject", "item", "kind", "position"), "int4"),
    **dict.fromkeys(("happened", "received", "rating", "value"), "float8"),
    **dict.fromkeys(("event_id", "list_id", "session"), "text"),
}
_ARRAYS = ", ".join(f"%s::{_TYPES[column]}[]" for column in EVENT_COLUMNS)
_NAMES = ", ".join(EVENT_COLUMNS)
_INSERT = (
    f"INSERT INTO event ({_NAMES}) SELECT {_NAMES} FROM unnest({_ARRAYS}) WITH ORDINALITY "  # noqa: S608
    f"AS new ({_NAMES}, place) ORDER BY place ON CONFLICT (domain, event_id) DO NOTHING RETURNING event_id, seq"
)
_COPIED = np.dtype(
    [("fields", ">i2")]
    + [part for name in BULK.names or () for part in ((f"{name} bytes", ">i4"), (name, BULK[name].newbyteorder(">")))]
)
"""A row of ``COPY ... (FORMAT BINARY)``: each value follows its length."""
_COPY = (
    "COPY (SELECT seq, subject, item, kind, happened, coalesce(rating, 'NaN')::float4 FROM event "
    "WHERE domain = %s AND seq > %s ORDER BY seq) TO STDOUT (FORMAT BINARY)"
)
_HEADER, _TRAILER = 19, 2


class PostgresBackend(Backend):
    """A PostgreSQL database, which one process writes."""

    def __init__(self, url: URL) -> None:
        """Take a database; the address may leave out the driver."""
        require("psycopg", "serve", "stores in PostgreSQL")
        self.url = url.set(drivername="postgresql+psycopg")
        name = f"genre-gen {os.getpid()}@{socket.gethostname()}"[:63]
        self.writing = create_engine(self.url, poolclass=NullPool, connect_args={"application_name": name})
        event.listen(self.writing, "connect", self._set_up)
        self.reading = create_engine(
            self.url,
            pool_size=READERS,
            max_overflow=READERS,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",
            connect_args={"application_name": f"{name} reader"[:63]},
            execution_options={"postgresql_readonly": True},
        )
        self._patience = PATIENCE

    def lock(self) -> None:
        """Nothing is locked yet: the lock belongs to the connection that writes, and goes with it."""

    def unlock(self) -> None:
        """Nothing is locked any more."""

    def migrating(self) -> Engine:
        """Return the engine that writes."""
        return self.writing

    def check(self) -> None:
        """Raise StoreError unless the database can be read; PostgreSQL checks itself."""
        try:
            with self.reading.connect() as connection:
                connection.exec_driver_sql("SELECT 1 FROM meta")
        except Exception as problem:
            raise self.error(problem) from problem

    def backup(self, path: Path) -> None:
        """Refuse: PostgreSQL has tools for that."""
        raise StoreError("a store in PostgreSQL is backed up by its own tools; run pg_dump, or archive its log")

    def sql(self, statement: str) -> str:
        """Lists are arrays."""
        return _translated(statement)

    def many(self, values: Collection[str]) -> list[str]:
        """Return a list as it is."""
        return list(values)

    def insert_events(self, cursor: Any, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert all rows by one statement, as arrays."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        cursor.execute(_INSERT, columns)
        numbers = dict(cursor.fetchall())
        place = EVENT_COLUMNS.index("event_id")
        return [numbers.get(row[place], 0) for row in rows]

    def events(self, connection: Connection, domain: int, after_seq: int) -> NDArray[np.void]:
        """Read the binary form of COPY, without a Python object for a value."""
        with driver(connection).cursor() as cursor, cursor.copy(_COPY, (domain, after_seq)) as copy:
            rows = b"".join(copy)[_HEADER:-_TRAILER]
        copied = np.frombuffer(rows, _COPIED)
        events = np.empty(len(copied), BULK)
        for name in BULK.names or ():
            events[name] = copied[name]
        return events

    def is_fatal(self, problem: BaseException) -> bool:
        """Tell lost connections, full disks and read-only servers from errors of a statement."""
        import psycopg

        return isinstance(cause(problem), psycopg.OperationalError | psycopg.InternalError | psycopg.InterfaceError)

    def error(self, problem: BaseException) -> StoreError:
        """Name the place without the password, and what helps."""
        place = self.url.render_as_string(hide_password=True)
        text = " ".join(str(cause(problem)).split())
        return StoreError(f"{place}: {text}; check that PostgreSQL runs and has space, and that the address is right")

    def _set_up(self, connection: Any, record: object) -> None:
        """Take the lock, and have commits wait for the disk."""
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = on")
            # A plan that was made for tables without rows would be kept: it reads all events to find one.
            cursor.execute("SET plan_cache_mode = force_custom_plan")
            cursor.execute("SET jit = off")
            end = time.monotonic() + self._patience
            while not cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()[0]:
                if time.monotonic() > end:
                    raise StoreError(
                        f"{self.url.render_as_string(hide_password=True)}: {_holder(cursor)} has this store open; "
                        "end it, or choose another store"
                    )
                time.sleep(0.1)
        connection.commit()


def _holder(cursor: Any) -> str:
    found = cursor.execute(
        "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        (LOCK >> 32, LOCK & 0xFFFFFFFF),
    ).fetchone()
    return f"process {found[0].removeprefix('genre-gen ')}" if found else "another process"


@cache
def _translated(statement: str) -> str:
    return statement.replace("IN MANY(?)", "= ANY(?)").replace("?", "%s")
