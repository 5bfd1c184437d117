"""A store in one SQLite file."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event

from genre_gen.errors import StoreError
from genre_gen.store.backend import BULK, EVENT_COLUMNS, Backend, cause, driver, inserting

log = logging.getLogger(__name__)

BUSY = 5.0
"""Seconds to wait for another program that has the file locked."""
READERS = 4
"""Connections that are kept for reading."""
CHUNK = 20_000
"""Rows that are fetched at once."""
WAL_LIMIT = 64 * 1024 * 1024
"""Bytes to which the write-ahead log is cut after it was longer."""
AFFECTED = ((3, 7, 0), (3, 51, 2))
"""Versions in which a write-ahead log can be damaged when two connections write or checkpoint it at once."""

COMMON = {"trusted_schema": "OFF", "mmap_size": 0, "cell_size_check": "ON", "temp_store": "MEMORY"}
WRITING = {
    **COMMON,
    "journal_mode": "WAL",
    "synchronous": "FULL",  # a commit is on disk when it returns
    "foreign_keys": "ON",
    "secure_delete": "ON",
    "journal_size_limit": WAL_LIMIT,
    "cache_size": -32_000,
}
READING = {**COMMON, "query_only": "ON"}

_INSERT = inserting("event", ("seq", *EVENT_COLUMNS)) + " ON CONFLICT (domain, event_id) DO NOTHING"
_FIND = "SELECT seq FROM event WHERE domain = ? AND event_id = ?"
_TOLD: set[tuple[int, int, int]] = set()


class SqliteBackend(Backend):
    """A SQLite file, in WAL mode, which one process writes by one connection."""

    def __init__(self, url: URL) -> None:
        """Take a file; raises StoreError if the address names none."""
        if not url.database or url.database == ":memory:":
            raise StoreError("the address of the store names no file; write sqlite:///FILE")
        self.path = Path(url.database).expanduser()
        self._lock: int | None = None
        self.writing = self._engine(self._writer, "BEGIN IMMEDIATE", NullPool)
        self.reading = self._engine(self._reader, "BEGIN", QueuePool, pool_size=READERS, max_overflow=READERS)

    def lock(self) -> None:
        """Lock ``FILE.lock``, which goes with the process, however it ends."""
        file = self.path.with_name(self.path.name + ".lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise StoreError(
                f"{self.path}: its folder cannot be written: {problem.strerror}; choose another place for the store"
            ) from None
        if not _locked(self._lock):
            holder = os.read(self._lock, 40).decode("ascii", "replace").strip()
            self.unlock()
            raise StoreError(
                f"{self.path}: process {holder or 'unknown'} has this store open; end it, or choose another store"
            )
        os.truncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())

    def unlock(self) -> None:
        """Close the lock file; it stays, since to delete it would let two processes in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def migrating(self) -> Engine:
        """Return an engine that does not enforce references."""

        def connect() -> sqlite3.Connection:
            connection = self._writer()
            connection.execute("PRAGMA foreign_keys = OFF")
            return connection

        return self._engine(connect, "BEGIN IMMEDIATE", NullPool)

    def check(self) -> None:
        """Read the whole file once, quickly."""
        warn_of_version(sqlite3.sqlite_version_info[:3])
        try:
            with closing(self._reader()) as connection:
                (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as problem:
            raise self.error(problem) from None
        if found != "ok":
            raise self.error(sqlite3.DatabaseError(f"malformed: {found}"))

    def backup(self, path: Path) -> None:
        """Copy the state of now by SQLite's backup interface, while others read and write."""
        part = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            with closing(self._reader()) as source, closing(sqlite3.connect(part)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # the copy is one file
                (found,) = target.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise StoreError(f"{path}: the copy is damaged ({found}); try again, on another disk")
            _sync(part)
            os.replace(part, path)
            _sync(path.parent)
        except (sqlite3.Error, OSError) as problem:
            raise StoreError(f"{path}: no backup was written: {problem}; choose another place") from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def sql(self, statement: str) -> str:
        """Lists are JSON, so that a statement is compiled once for all lengths."""
        return _translated(statement)

    def many(self, values: Collection[str]) -> str:
        """Return a list as JSON."""
        return json.dumps(list(values), ensure_ascii=False)

    def insert_events(self, cursor: Any, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert with numbers of our own, which continue SQLite's: a statement that returns them takes longer."""
        found = cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
        first = (found[0] if found else 0) + 1
        cursor.executemany(_INSERT, [(seq, *row) for seq, row in enumerate(rows, first)])
        seqs = list(range(first, first + len(rows)))
        if cursor.rowcount == len(rows):
            return seqs
        stored = [cursor.execute(_FIND, row[:2]).fetchone()[0] for row in rows]
        return [seq if seq == known else 0 for seq, known in zip(seqs, stored, strict=True)]

    def events(self, connection: Connection, domain: int, after_seq: int) -> NDArray[np.void]:
        """Fetch rows by chunks, so that few of them are Python objects at a time."""
        # The plus sign has the rows read in their order, and not through the index of event ids.
        cursor = driver(connection).execute(
            "SELECT seq, subject, item, kind, happened, rating FROM event WHERE seq > ? AND +domain = ? ORDER BY seq",
            (after_seq, domain),
        )
        chunks = [np.empty(0, BULK)]
        while rows := cursor.fetchmany(CHUNK):
            chunks.append(np.array(rows, BULK))
        return np.concatenate(chunks)

    def is_fatal(self, problem: BaseException) -> bool:
        """Tell errors of disk and file from those of a statement and of its values."""
        original = cause(problem)
        if not isinstance(original, sqlite3.DatabaseError) or isinstance(original, sqlite3.IntegrityError):
            return False
        primary = (getattr(original, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
        harmless = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE}
        return primary not in harmless

    def error(self, problem: BaseException) -> StoreError:
        """Name the file, and what helps."""
        text = str(cause(problem))
        lowered = text.lower()
        for words, remedy in _REMEDIES.items():
            if any(word in lowered for word in words):
                return StoreError(f"{self.path}: {text}; {remedy}")
        return StoreError(f"{self.path}: {text}")

    def _engine(self, connect: Callable[[], sqlite3.Connection], begin: str, pool: Any, **options: Any) -> Engine:
        engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=pool, **options)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        return engine

    def _writer(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        os.chmod(self.path, 0o600)  # it has users' histories
        return _set_up(connection, WRITING)

    def _reader(self) -> sqlite3.Connection:
        address = f"file:{quote(str(self.path.absolute()))}?mode=ro"
        connection = sqlite3.connect(address, timeout=BUSY, isolation_level=None, check_same_thread=False, uri=True)
        return _set_up(connection, READING)


_REMEDIES = {
    ("full",): "free some space: writing continues by itself",
    ("readonly", "read-only", "unable to open", "permission"): "let this user write the file and its folder",
    ("i/o",): "check the disk and the space that is left on it: writing continues by itself if it can",
    ("locked",): "another program has the file open for writing; close it",
    ("malformed", "not a database", "corrupt"): "it is damaged; put the last backup in its place, and start again",
}


def warn_of_version(version: tuple[int, ...]) -> None:
    """Log once which versions of SQLite can damage a file that is written from two sides."""
    low, high = AFFECTED
    key = (version[0], version[1], version[2])
    if low <= key <= high and key not in _TOLD:
        _TOLD.add(key)
        log.warning(
            "SQLite %d.%d.%d can damage a store that two connections write at once (fixed in 3.51.3). "
            "The server writes with one, and keeps other servers out; do not write the file with other programs "
            "while it runs",
            *key,
        )


def _set_up(connection: sqlite3.Connection, settings: dict[str, Any]) -> sqlite3.Connection:
    try:
        for name, value in settings.items():
            answer = connection.execute(f"PRAGMA {name} = {value}").fetchone()
            if name == "journal_mode" and answer != ("wal",):
                raise sqlite3.OperationalError(f"unable to open it in WAL mode, but in {answer[0]}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@cache
def _translated(statement: str) -> str:
    return statement.replace("IN MANY(?)", "IN (SELECT value FROM json_each(?))")


def _locked(descriptor: int) -> bool:
    """Lock an open file without waiting; tell whether that was possible."""
    try:
        import fcntl
    except ImportError:  # Windows: the first byte is locked
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    """Have a file or a folder on disk before anything else is done."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
