"""ItemTable: the items of a domain that were added or changed since training."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, select

from genre_gen.data.catalog import Item
from genre_gen.store.database import Database
from genre_gen.store.schema import item as table
from genre_gen.store.texts import check_text, to_json


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
    """Items of a domain that were added or changed since training; they are withdrawn, and never deleted.

    Example:
        >>> items = ItemTable(database, "movies")
        >>> item = Item("m1", "Up (2009)", {"year": 2009})
        >>> database.writer.submit(lambda connection: items.put(connection, item)).result().created
        True
        >>> items.get("m1").item.title
        'Up (2009)'
    """

    def __init__(self, database: Database, domain: str) -> None:
        """Take the items of a domain, which is created if necessary."""
        self._database, self._domain = database, database.domain(domain)

    def put(self, connection: Connection, item: Item, available: bool = True) -> StoredItem:
        """Add or replace an item; its version grows if something changed."""
        check_text(item.id, "item")
        before = self._row(connection, item.id)
        now = time.time()
        values: dict[str, Any] = {
            "title": item.title,
            "fields": to_json(dict(item.attributes)),
            "text": item.text,
            "available": available,
        }
        if before is None:
            times = {"created": now, "changed": now, "withdrawn": None if available else now}
            adding = table.insert().values(domain=self._domain, item_id=item.id, version=1, **times, **values)
            connection.execute(adding)
            return StoredItem(item, available, 1, created=True)
        if all(before._mapping[column] == value for column, value in values.items()):
            return _stored(before)
        if before.available != available:
            values["withdrawn"] = None if available else now
        version = before.version + 1
        changing = table.update().where(table.c.id == before.id)
        connection.execute(changing.values(version=version, changed=now, **values))
        return StoredItem(item, available, version)

    def patch(
        self,
        connection: Connection,
        item_id: str,
        *,
        title: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        text: str | None = None,
        available: bool | None = None,
    ) -> StoredItem | None:
        """Change parts of a stored item; None leaves a part, and an attribute that is not named, as it is.

        Returns:
            The item, None if it is not stored.
        """
        row = self._row(connection, item_id)
        if row is None:
            return None
        before = _stored(row)
        item = replace(
            before.item,
            title=before.item.title if title is None else title,
            attributes={**before.item.attributes, **(attributes or {})},
            text=before.item.text if text is None else text,
        )
        return self.put(connection, item, before.available if available is None else available)

    def get(self, item_id: str) -> StoredItem | None:
        """Return an item, None if it is not stored."""
        with self._database.read() as connection:
            row = self._row(connection, item_id)
        return None if row is None else _stored(row)

    def all(self) -> list[StoredItem]:
        """Return all items in the order in which they were created."""
        finding = select(table).where(table.c.domain == self._domain).order_by(table.c.id)
        with self._database.read() as connection:
            return [_stored(row) for row in connection.execute(finding)]

    def _row(self, connection: Connection, item_id: str) -> Row[Any] | None:
        finding = select(table).where(table.c.domain == self._domain, table.c.item_id == item_id)
        return connection.execute(finding).first()


def _stored(row: Row[Any]) -> StoredItem:
    fields = json.loads(row.fields)
    attributes = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return StoredItem(Item(row.item_id, row.title, attributes, row.text), row.available, row.version)
