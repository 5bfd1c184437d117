"""What differs between the databases that a store can be in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from genre_gen.errors import StoreError

EVENT_COLUMNS = (
    "domain", "event_id", "subject", "item", "kind", "happened", "received", "rating", "value", "list_id", "position",
    "session",
)  # fmt: skip
"""The columns of an event without its ``seq``, in the order of its values."""

BULK = np.dtype(
    [("seq", "i8"), ("subject", "i4"), ("item", "i4"), ("kind", "i4"), ("happened", "f8"), ("rating", "f4")]
)
"""An event as all of them are read at a start; the rating is NaN if it has none."""


class Backend(ABC):
    """One kind of database, at one place.

    Statements of the fastest paths bypass SQLAlchemy: they are written once, for SQLite, and translated by ``sql``.

    Attributes:
        writing: makes connections that write, each opened when it is asked for; there is one at a time.
        reading: lends connections that only read.
    """

    writing: Engine
    reading: Engine

    @abstractmethod
    def lock(self) -> None:
        """Make sure that no other process writes; raises StoreError that names the one which does."""

    @abstractmethod
    def unlock(self) -> None:
        """Let other processes write."""

    @abstractmethod
    def migrating(self) -> Engine:
        """Return an engine for migrations, which may replace tables that others refer to."""

    @abstractmethod
    def check(self) -> None:
        """Raise StoreError if the store is damaged, as far as can be seen in a second or two."""

    @abstractmethod
    def backup(self, path: Path) -> None:
        """Write a copy; raises StoreError."""

    @abstractmethod
    def sql(self, statement: str) -> str:
        """Translate a statement with ``?`` for values, and ``IN MANY(?)`` for a list in one value."""

    @abstractmethod
    def many(self, values: Collection[str]) -> Any:
        """Return the value of a list."""

    @abstractmethod
    def insert_events(self, cursor: Any, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert events, whose ids are different; return the ``seq`` of each, 0 for an id that is known."""

    @abstractmethod
    def events(self, connection: Connection, domain: int, after_seq: int) -> NDArray[np.void]:
        """Return the events of a domain after one, of type ``BULK``, in the order of ``seq``."""

    @abstractmethod
    def is_fatal(self, problem: BaseException) -> bool:
        """Tell whether a transaction, or the connection, is lost; otherwise one statement was wrong."""

    @abstractmethod
    def error(self, problem: BaseException) -> StoreError:
        """Return the error for users: what is wrong, and what helps."""

    def close(self) -> None:
        """Close all connections, and let other processes write."""
        self.reading.dispose()
        self.writing.dispose()
        self.unlock()


def driver(connection: Connection) -> Any:
    """Return the connection of the driver below SQLAlchemy's."""
    return connection.connection.driver_connection


def cause(problem: BaseException) -> BaseException:
    """Return the driver's error below SQLAlchemy's."""
    original = getattr(problem, "orig", None)
    return original if isinstance(original, BaseException) else problem


@lru_cache(maxsize=64)
def inserting(table: str, columns: tuple[str, ...]) -> str:
    """Return the statement that inserts a row."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
