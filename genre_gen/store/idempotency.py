"""IdempotencyTable: answers to requests that a client may send twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from genre_gen.store.database import Database


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
    """Requests of a domain, by the keys that clients gave them."""

    def __init__(self, database: Database, domain: str) -> None:
        """Take the requests of a domain, which is created if necessary."""
        raise NotImplementedError

    def begin(self, connection: Connection, key: str, sha256: str, expires: float) -> Attempt:
        """Begin a request with a key, unless there is one.

        Args:
            connection: the writer's.
            key: the client's.
            sha256: of the request.
            expires: seconds since 1970.
        """
        raise NotImplementedError

    def finish(self, connection: Connection, key: str, status: int, answer: str) -> None:
        """Keep the answer."""
        raise NotImplementedError

    def abandon(self, connection: Connection, key: str) -> None:
        """Let a request be tried again, after an error that was not the client's."""
        raise NotImplementedError

    def find(self, key: str, sha256: str) -> Attempt:
        """Return what is known of a key, without beginning a request."""
        raise NotImplementedError

    def delete_before(self, connection: Connection, at: float) -> int:
        """Delete what expired before a moment (seconds since 1970); return how many."""
        raise NotImplementedError
