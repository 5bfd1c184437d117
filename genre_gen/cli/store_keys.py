"""API keys in a store that no server has open."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from genre_gen.errors import StoreError, UsageError
from genre_gen.server.service import key_values
from genre_gen.server.settings import ServerSettings
from genre_gen.store.database import Database
from genre_gen.store.keys import KeyTable

_DAY = 86_400.0


class StoreKeys:
    """The keys of a store, which is open until ``close``."""

    def __init__(self, url: str | None) -> None:
        """Open the store, by default the usual one; raises StoreError, also if a server has it."""
        place = url or ServerSettings().store
        self.place = f"the store {place}, which no server has open"
        try:
            self._database = Database.open(place)
        except StoreError as problem:
            raise StoreError(f"{problem}; if a server has it open, give its address as --url") from None
        self._table = KeyTable(self._database)

    def new(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a key, and return it with its secret."""
        options = {name: value for name, value in values.items() if name != "days"}
        if values["days"] is not None:
            options["expires"] = time.time() + values["days"] * _DAY
        create: Any = partial(self._table.create, **options)
        secret, row = self._database.writer.submit(create).result()
        return {**key_values(row), "key": secret}

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Return all keys."""
        return [key_values(row) for row in self._table.list()]

    def revoke(self, prefix: str) -> Mapping[str, Any]:
        """Revoke a key, and return it."""
        if self._table.find(prefix) is None:
            raise UsageError(f"no key gk_{prefix}; `genre-gen keys list` lists them")
        revoke: Any = partial(self._table.revoke, prefix=prefix)
        return key_values(self._database.writer.submit(revoke).result())

    def close(self) -> None:
        """Close the store."""
        self._database.close()
