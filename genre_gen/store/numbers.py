"""Numbers of texts that rows repeat: they hold the number, and a table has each text once."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection

from genre_gen.store.backend import Backend, driver, inserting

MOST = 200_000
"""Numbers that are cached; beyond them the cache begins again."""


class Numbers:
    """The numbers of the texts in one table, looked up and given in the writer's thread only."""

    def __init__(self, backend: Backend, table: str, column: str, *, dated: bool = False) -> None:
        """Take a table with the columns ``id``, ``domain``, that of the text, and ``created`` if it is dated."""
        self._backend, self._dated = backend, dated
        self._cached: dict[tuple[int, str], int] = {}
        names = ("domain", column, "created") if dated else ("domain", column)
        self._insert = backend.sql(inserting(table, names) + " ON CONFLICT DO NOTHING")
        self._select = backend.sql(
            f"SELECT {column}, id FROM {table} WHERE domain = ? AND {column} IN MANY(?)"  # noqa: S608
        )

    def of(self, connection: Connection, domain: int, texts: Collection[str]) -> dict[str, int]:
        """Return the number of each of different texts; new texts get one."""
        cached = self._cached
        found = {text: number for text in texts if (number := cached.get((domain, text))) is not None}
        missing = [text for text in texts if text not in found] if len(found) < len(texts) else []
        if missing:
            cursor = driver(connection).cursor()
            known = self._find(cursor, domain, missing)
            new = [text for text in missing if text not in known]
            if new:
                now = (time.time(),) if self._dated else ()
                cursor.executemany(self._insert, [(domain, text, *now) for text in new])
                known |= self._find(cursor, domain, new)
            if len(cached) + len(known) > MOST:
                cached.clear()
            cached.update({(domain, text): number for text, number in known.items()})
            found |= known
        return found

    def _find(self, cursor: Any, domain: int, texts: Collection[str]) -> dict[str, int]:
        cursor.execute(self._select, (domain, self._backend.many(texts)))
        return dict(cursor.fetchall())

    def clear(self) -> None:
        """Forget what is cached."""
        self._cached.clear()
