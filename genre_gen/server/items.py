"""Items: added, changed and withdrawn while lists are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from genre_gen.data.catalog import Item
from genre_gen.errors import UsageError, quoted
from genre_gen.live.catalog import with_available, with_items
from genre_gen.live.items import checked_item
from genre_gen.live.view import View
from genre_gen.server import answers
from genre_gen.server.context import DomainContext, is_available, user_id
from genre_gen.server.refusals import NotFoundError
from genre_gen.server.schemas import ItemPatch, NamedItem
from genre_gen.store.items import ItemTable, StoredItem

if TYPE_CHECKING:
    from sqlalchemy import Connection

Result = TypeVar("Result")


class Items:
    """Changes the items of a domain; changes are made one after another, in a thread of their own."""

    def __init__(self, context: DomainContext, table: ItemTable) -> None:
        """Serve one domain, whose changed items are in a table."""
        self._context, self._table = context, table
        self._versions: dict[str, int] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"items of {context.name}")

    def restored(self, view: View) -> View:
        """Return a view of a trained state with the items that are stored."""
        stored = self._table.all()
        self._versions = {each.item.id: each.version for each in stored}
        view = with_items(view, [each.item for each in stored])
        return with_available(view, {each.item.id: each.available for each in stored})

    async def put(self, bodies: Sequence[NamedItem]) -> dict[str, Any]:
        """Add or replace items, all or none: the values of ``ItemsAnswer``.

        Raises:
            UsageError: an id that is there twice.
            DataError, ConfigError: an item that the readers would refuse, or a recommender that takes no more items.
        """

        def change() -> dict[str, Any]:
            catalog = self._context.catalog
            items = [self._item(each.item, each.title, each.fields, each.text) for each in bodies]
            if len({item.id for item in items}) < len(items):
                raise UsageError("an item is there twice; name each once")
            created = sum(item.id not in catalog for item in items)
            flags = {item.id: body.available for item, body in zip(items, bodies, strict=True)}
            self._apply(items, flags)
            return {
                "items": [self.get(item.id) for item in items],
                "created": created,
                "view": self._context.view.number,
            }

        return await self.in_turn(change)

    async def patch(self, item_id: str, patch: ItemPatch) -> dict[str, Any]:
        """Change parts of an item: the values of ``ItemAnswer``; raises NotFoundError, UsageError or DataError."""

        def change() -> dict[str, Any]:
            row = self._row(item_id)
            item = self._context.catalog.given(row)  # the title that it came with, which clashes are settled by
            available = is_available(self._context.view, row) if patch.available is None else patch.available
            if (patch.title, patch.fields, patch.text) != (None, None, None):
                item = self._item(
                    item.id,
                    item.title if patch.title is None else patch.title,
                    {**answers.item_values(item), **(patch.fields or {})},
                    item.text if patch.text is None else patch.text,
                )
            self._apply([item], {item.id: available})
            return self.get(item.id)

        return await self.in_turn(change)

    async def withdraw(self, item_id: str) -> dict[str, Any]:
        """Take an item out of all lists from the next batch on; it can be put back."""
        return await self.patch(item_id, ItemPatch(available=False))

    def get(self, item_id: str) -> dict[str, Any]:
        """Return an item: the values of ``ItemAnswer``; raises NotFoundError."""
        row, view = self._row(item_id), self._context.view
        item = view.state.catalog[row]
        return {
            "item": item.id,
            "title": item.title,
            "fields": answers.item_values(item),
            "text": item.text,
            "available": is_available(view, row),
            "version": self._versions.get(item.id, 0),
        }

    async def in_turn(self, change: Callable[[], Result]) -> Result:
        """Run a change of the view when those before it are done."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, change)

    def close(self) -> None:
        """End the thread; a change that runs is finished."""
        self._worker.shutdown(cancel_futures=True)

    def _row(self, item_id: str) -> int:
        catalog = self._context.catalog
        if item_id not in catalog:
            raise NotFoundError(f"no item {quoted(item_id)} in this domain; add it by PUT, or give another id")
        return catalog.row(item_id)

    def _item(self, item_id: str, title: str, fields: Mapping[str, Any], text: str) -> Item:
        """Return an item as the readers would read it; raises DataError."""
        item = Item(user_id(item_id), title, dict(fields), text)
        return checked_item(item, self._context.catalog, self._context.state.domain)

    def _apply(self, items: Sequence[Item], available: Mapping[str, bool]) -> None:
        """Make a view with the changes, store them, and serve it, in the thread of changes."""
        context = self._context
        before = context.view
        after = with_available(with_items(before, items), available)

        def write(connection: Connection) -> list[StoredItem]:
            return [self._table.put(connection, item, available[item.id]) for item in items]

        stored = context.database.writer.submit(write, rows=len(items)).result()
        self._versions.update({each.item.id: each.version for each in stored})
        if after is not before:
            context.engine.swap(after)
        hidden = [item for item in available if not available[item] and _was_available(before, item)]
        for listener in context.listeners if hidden else ():
            listener.withdrawn(context.name, hidden)


def _was_available(view: View, item_id: str) -> bool:
    return item_id in view.state.catalog and is_available(view, view.state.catalog.row(item_id))
