"""ItemTable: the items of a domain that were added or changed since training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from genre_gen.data.catalog import Item
from genre_gen.store.database import Database


@dataclass(frozen=True)
class StoredItem:
    """An item as it is stored.

    Attributes:
        item: the item.
        available: whether lists may have it.
        version: from 1; each change adds 1.
        created: whether the write that returned this created it.
    """

    item: Item
    available: bool = True
    version: int = 1
    created: bool = False


class ItemTable:
    """Items of a domain that were added or changed since training; none is ever deleted."""

    def __init__(self, database: Database, domain: str) -> None:
        """Take the items of a domain, which is created if necessary."""
        raise NotImplementedError

    def put(self, connection: Connection, item: Item, available: bool = True) -> StoredItem:
        """Add or replace an item; its version grows if something changed."""
        raise NotImplementedError

    def patch(self, connection: Connection, item_id: str, **changes: Any) -> StoredItem | None:
        """Change parts of a stored item: ``title``, ``attributes`` (those given), ``text``, ``available``.

        Returns:
            The item, None if it is not stored.
        """
        raise NotImplementedError

    def get(self, item_id: str) -> StoredItem | None:
        """Return an item, None if it is not stored."""
        raise NotImplementedError

    def all(self) -> list[StoredItem]:
        """Return all items in the order in which they were created."""
        raise NotImplementedError
