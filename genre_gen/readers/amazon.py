"""Review data as a pair of JSON files.

``*.inter.json`` maps users to item ids in time order; ``*.item.json``, where there is one, item ids to attributes.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import polars as pl

from genre_gen.domain import DataSettings
from genre_gen.errors import DataError
from genre_gen.readers.files import Folder, Table, decode, ending, named, only


class Amazon:
    """Reads the pair into the columns user_id, item_id and the attributes' own names."""

    name: ClassVar[str] = "amazon"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)
    separator: ClassVar[str] = ","

    def recognises(self, folder: Folder) -> bool:
        """Tell whether there is a ``.inter.json`` file."""
        return bool(ending(folder, ".inter.json"))

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the items' attributes; those that all items give as lists stay lists, others become text."""
        name = settings.items or only(folder, ".item.json", "data.items")
        if name is None:
            return None
        file = named(folder, name)
        items = _read_object(file, settings.encoding)
        for item_id, attributes in items.items():
            if not isinstance(attributes, dict):
                raise DataError(f"{file}, item {item_id!r}: expected an object of attributes, not {attributes!r:.60}")
        names = dict.fromkeys(name for attributes in items.values() for name in attributes)
        columns = {name: _column([attributes.get(name) for attributes in items.values()]) for name in names}
        ids = list(items)
        return Table(pl.DataFrame({**columns, "item_id": ids}), str(file), lambda record: f"item {ids[record]!r}")

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return one record per user and item, in the order given."""
        name = settings.interactions or only(folder, ".inter.json", "data.interactions")
        file = named(folder, name or "*.inter.json")
        users: list[str] = []
        items: list[str] = []
        for user, item_ids in _read_object(file, settings.encoding).items():
            if not isinstance(item_ids, list) or not all(isinstance(item, (str, int)) for item in item_ids):
                raise DataError(f"{file}, user {user!r}: expected a list of item ids, not {item_ids!r:.60}")
            users += [user] * len(item_ids)
            items += map(str, item_ids)
        frame = pl.DataFrame([pl.Series("user_id", users, pl.String), pl.Series("item_id", items, pl.String)])
        return Table(frame, str(file), lambda record: f"user {users[record]!r}")


def _read_object(file: Folder, encoding: str) -> dict[str, Any]:
    """Return a file's JSON object, refusing what is none and keys that appear twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise DataError(f"{file}: {twice!r} appears twice in one object; merge the two")
        return content

    try:
        content = json.loads(decode(file, encoding), object_pairs_hook=unique)
    except (json.JSONDecodeError, RecursionError) as problem:
        raise DataError(f"{file}: not valid JSON: {problem}") from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: expected one JSON object, not {type(content).__name__}")
    return content


def _column(values: list[Any]) -> pl.Series:
    """Return attribute values as a list column if all are lists, else as text."""
    if all(isinstance(value, list) for value in values):
        return pl.Series([[str(part) for part in value] for value in values], dtype=pl.List(pl.String))
    return pl.Series(["" if value is None else str(value) for value in values], dtype=pl.String)
