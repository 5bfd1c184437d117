"""Writer: the one thread that changes the store, with one commit for all that waits."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from genre_gen.errors import BusyError, StoreError
from genre_gen.store.backend import Backend, driver

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_WAITING = 20_000
"""Rows that may wait: half a second of the fastest writing."""
MAX_ROWS = 1_000
"""Rows of a transaction; more only if one write has more."""
PAUSE = 1.0
"""Seconds between attempts to write again after a failure."""


@dataclass
class WriterStats:
    """What a writer did since it began.

    Attributes:
        waiting: rows that wait.
        commits: transactions that were committed.
        failed: transactions that were not.
        rows: rows in those that were.
        seconds: spent in transactions.
    """

    waiting: int = 0
    commits: int = 0
    failed: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass
class _Write(Generic[T]):
    """A write that waits or runs."""

    write: Callable[[Connection], T]
    applied: Callable[[T], None] | None
    rows: int
    future: Future[T] = field(default_factory=Future)
    result: Any = None
    problem: Exception | None = None

    def resolve(self) -> None:
        """Apply a result that is durable, and tell the one who waits for it."""
        if self.problem is None and self.applied is not None:
            try:
                self.applied(self.result)
            except Exception as problem:
                log.exception("a write is stored, and could not be applied")
                self.problem = problem
        if self.problem is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.problem)


class Writer:
    """One thread and one connection that change the store.

    What waits is written in one transaction, and one fsync makes all of it durable. Each write has a savepoint, so a
    write that fails harms no other.

    Attributes:
        healthy: whether the last transaction was committed. After a failure the writer tries again by itself.
        stats: what it did.
    """

    def __init__(self, backend: Backend, undone: Callable[[], None], max_waiting: int = MAX_WAITING) -> None:
        """Start the thread.

        Args:
            backend: gives connections.
            undone: is called after a rollback, when numbers may be cached that do not exist.
            max_waiting: rows that may wait.
        """
        self._backend, self._undone, self._max_waiting = backend, undone, max_waiting
        self._queue: deque[_Write[Any]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._connection: Connection | None = None
        self.healthy = True
        self.stats = WriterStats()
        self._thread = threading.Thread(target=self._run, name="store writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        write: Callable[[Connection], T],
        applied: Callable[[T], None] | None = None,
        *,
        rows: int = 1,
        wait: bool = False,
    ) -> Future[T]:
        """Have something written; the future resolves when it is durable and applied.

        Args:
            write: changes the store, in the writer's thread; an error of it undoes what it did, and nothing else.
            applied: takes the result after the commit, in the writer's thread and in the order of commits.
            rows: that are written, about; the queue is bounded by their sum.
            wait: for room in a full queue. Never in the writer's thread.

        Raises:
            BusyError: the queue is full.
            StoreError: the store is closed. A disk that fails is an error of the future.
        """
        entry = _Write(write, applied, rows)
        with self._changed:
            while wait and not self._closing and not self._has_room(rows):
                self._changed.wait()
            if self._closing:
                raise StoreError("the store is closed; start the server again")
            if not self._has_room(rows):
                raise BusyError(
                    f"{self.stats.waiting:,} rows wait to be written; try again in a moment", self._seconds_to_wait()
                )
            self._queue.append(entry)
            self.stats.waiting += rows
            self._changed.notify_all()
        return entry.future

    def close(self) -> None:
        """Write what waits, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _has_room(self, rows: int) -> bool:
        return not self._queue or self.stats.waiting + rows <= self._max_waiting

    def _seconds_to_wait(self) -> float:
        """Return how long the rows that wait will take, by what was measured."""
        each = self.stats.seconds / self.stats.rows if self.stats.rows else 0.0
        return max(0.1, self.stats.waiting * each)

    def _run(self) -> None:
        try:
            while (batch := self._take()) is not None:
                self._write(batch)
        finally:
            self._closing, self.healthy = True, False
            self._disconnect()
            for entry in self._queue:  # only after an error of this class
                entry.future.set_exception(StoreError("the store's writer has ended; start the server again"))

    def _take(self) -> list[_Write[Any]] | None:
        """Return what is to be written next; nothing after a pause while the disk fails; None at the end."""
        with self._changed:
            while not self._queue:
                if self._closing:
                    return None
                if not self._changed.wait(None if self.healthy else PAUSE) and not self._queue:
                    return []
            batch: list[_Write[Any]] = []
            rows = 0
            while self._queue and (not batch or rows + self._queue[0].rows <= MAX_ROWS):
                entry = self._queue.popleft()
                self.stats.waiting -= entry.rows
                if entry.future.set_running_or_notify_cancel():
                    batch.append(entry)
                    rows += entry.rows
            self._changed.notify_all()  # there is room
        return batch

    def _write(self, batch: list[_Write[Any]]) -> None:
        """Write a batch in one transaction; without a batch, try whether anything can be written."""
        begun = time.perf_counter()
        try:
            connection = self._connect()
            with connection.begin():
                if not batch:
                    probe(connection)
                cursor = driver(connection).cursor()
                for entry in batch:
                    self._attempt(entry, connection, cursor)
        except Exception as problem:
            self._fail(batch, problem)
            return
        self.healthy = True
        self.stats.commits += 1
        self.stats.rows += sum(entry.rows for entry in batch)
        self.stats.seconds += time.perf_counter() - begun
        for entry in batch:
            entry.resolve()

    def _attempt(self, entry: _Write[Any], connection: Connection, cursor: Any) -> None:
        """Run one write; what an invalid one did is undone, and a disk that fails ends the transaction."""
        cursor.execute("SAVEPOINT one_write")
        try:
            entry.result = entry.write(connection)
        except Exception as problem:
            if self._backend.is_fatal(problem):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT one_write")
            self._undone()
            entry.problem = problem
        cursor.execute("RELEASE SAVEPOINT one_write")

    def _fail(self, batch: list[_Write[Any]], problem: Exception) -> None:
        """Tell all of a transaction that nothing of it is stored, and begin again with a new connection."""
        error = problem if isinstance(problem, StoreError) else self._backend.error(problem)
        if self.healthy:
            log.error("the store cannot be written: %s", error)
        self.healthy = False
        self.stats.failed += 1
        self._disconnect()
        self._undone()
        for entry in batch:
            entry.future.set_exception(error)

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._backend.writing.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except Exception as problem:
            log.debug("a connection that failed was not closed: %s", problem)


def probe(connection: Connection) -> None:
    """Change a row, so that a commit has something to write."""
    connection.exec_driver_sql("DELETE FROM meta WHERE key = 'written'")
    connection.exec_driver_sql(f"INSERT INTO meta (key, value) VALUES ('written', '{time.time()}')")  # noqa: S608
