"""Once: requests that a client may send again are answered once, by the key that the client gives them."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from genre_gen.errors import UsageError
from genre_gen.server.refusals import ConflictError
from genre_gen.store.database import Database
from genre_gen.store.idempotency import Attempt, IdempotencyTable

KEPT = 86_400.0
"""Seconds for which an answer is kept."""


class Once:
    """The requests of a domain that were sent with an ``Idempotency-Key``."""

    def __init__(self, database: Database, domain: str) -> None:
        """Keep them in a store."""
        self._writer, self._table = database.writer, IdempotencyTable(database, domain)

    async def begin(self, key: str, sha256: str) -> Attempt | None:
        """Begin a request; return the earlier answer if it was sent before.

        Raises:
            ConflictError: the first one is not answered yet.
            UsageError: the key was used for another request.
        """
        write = partial(self._table.begin, key=key, sha256=sha256, expires=time.time() + KEPT)
        attempt = await asyncio.wrap_future(self._writer.submit(write))
        if attempt.state == "running":
            raise ConflictError("a request with this Idempotency-Key is not answered yet; wait, then send it again")
        if attempt.state == "other":
            raise UsageError("this Idempotency-Key was sent with another request; give each request one of its own")
        return attempt if attempt.state == "done" else None

    async def finish(self, key: str, status: int, answer: bytes) -> None:
        """Keep the answer."""
        write = partial(self._table.finish, key=key, status=status, answer=answer.decode())
        await asyncio.wrap_future(self._writer.submit(write))

    async def abandon(self, key: str) -> None:
        """Let a request be sent again after an error."""
        await asyncio.wrap_future(self._writer.submit(partial(self._table.abandon, key=key)))

    def delete_expired(self) -> None:
        """Have answers deleted that are kept no longer."""
        self._writer.submit(partial(self._table.delete_before, at=time.time()))
