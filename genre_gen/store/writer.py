"""Writer: the one thread that changes the store, with one commit for all that waits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


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


class Writer:
    """One thread and one connection that change the store.

    What waits is written in one transaction, and one fsync makes all of it durable. Each write has a savepoint, so a
    write that fails harms no other.
    """

    healthy: bool = True
    stats: WriterStats

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
        raise NotImplementedError
