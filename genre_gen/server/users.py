"""Users: labels, histories, merges, and deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from genre_gen.errors import UsageError, quoted
from genre_gen.server import answers
from genre_gen.server.context import DomainContext, iso, user_id
from genre_gen.server.refusals import NotFoundError
from genre_gen.store.users import UserTable

if TYPE_CHECKING:
    from sqlalchemy import Connection

Result = TypeVar("Result")
FORGOTTEN = "models that were trained with this user's interactions keep what they learned until the next training"


class Users:
    """Reads and changes the users of a domain."""

    def __init__(self, context: DomainContext, table: UserTable) -> None:
        """Serve one domain, whose users are in a table."""
        self._context, self._table = context, table

    def deleted(self) -> list[str]:
        """Return the users who were deleted, whom the trained histories may still have."""
        return self._table.deleted()

    async def get(self, user: str, n: int) -> dict[str, Any]:
        """Return a user with the newest ``n`` interactions: the values of ``UserAnswer``; raises NotFoundError."""
        user, histories = user_id(user), self._context.histories
        stored = await asyncio.to_thread(self._table.get, user)
        if not histories.knows(user) and (stored is None or not stored.labels):  # a user of lists only is unknown
            raise NotFoundError(f"no user {quoted(user)} in this domain; send events of the user, or PUT the user")
        return self._values(user, {} if stored is None else stored.labels, n)

    def _values(self, user: str, labels: Mapping[str, str], n: int) -> dict[str, Any]:
        histories = self._context.histories
        history, catalog = histories.history(user), self._context.catalog
        newest = [place for place in range(len(history) - 1, -1, -1) if history.rows[place] < len(catalog)][:n]
        items = [
            {
                "item": catalog[int(history.rows[place])].id,
                "title": catalog[int(history.rows[place])].title,
                "rating": None if history.ratings is None else answers.number(float(history.ratings[place])),
                "at": None if history.times is None else iso(float(history.times[place])),
            }
            for place in newest
        ]
        return {
            "user": user,
            "labels": dict(labels),
            "history": items,
            "interactions": len(history),
            "history_seq": histories.user_seq(user),
        }

    async def put(self, user: str, labels: Mapping[str, str]) -> dict[str, Any]:
        """Label a user, who is created if necessary; return the user."""
        user = user_id(user)
        stored = await self._write(partial(self._table.put, user=user, labels=labels))
        return self._values(user, stored.labels, 0)

    async def merge(self, user: str, into: str) -> dict[str, Any]:
        """Give a user's events to another user: the values of ``MergeAnswer``.

        Raises:
            UsageError: both are the same.
            NotFoundError: the first is unknown.
        """
        user, into, context = user_id(user), user_id(into), self._context
        if user == into:
            raise UsageError("a user cannot be merged into itself; give two users")
        if not context.histories.knows(user) and await asyncio.to_thread(self._table.get, user) is None:
            raise NotFoundError(f"no user {quoted(user)} in this domain; give one with events")

        def applied(_: int) -> None:
            context.histories.merge(user, into)
            for listener in context.listeners:
                listener.changed(context.name, [user, into], anyway=True)

        writer = context.database.writer
        writing = writer.submit(partial(self._table.merge, user=user, into=into), applied)
        return {"user": user, "into": into, "events": await asyncio.wrap_future(writing)}

    async def delete(self, user: str) -> dict[str, Any]:
        """Delete a user's events, lists and history; return the values of ``ForgetAnswer``; raises NotFoundError."""
        user, context = user_id(user), self._context
        if not context.histories.knows(user) and await asyncio.to_thread(self._table.get, user) is None:
            raise NotFoundError(f"no user {quoted(user)} in this domain, or deleted already; nothing is left to do")

        def applied(_: object) -> None:
            context.histories.forget(user)
            for listener in context.listeners:
                listener.changed(context.name, [user], anyway=True)

        await asyncio.wrap_future(context.database.writer.submit(partial(self._table.delete, user=user), applied))
        return {"user": user, "notes": [FORGOTTEN]}

    async def _write(self, write: Callable[[Connection], Result]) -> Result:
        return await asyncio.wrap_future(self._context.database.writer.submit(write))
