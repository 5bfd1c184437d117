"""Item and Catalog: the things that can be recommended."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre_gen.data.filter_expression import evaluate
from genre_gen.data.frames import Library, in_library, values_column
from genre_gen.data.titles import TitleIndex
from genre_gen.errors import DataError, UnknownItemError, UsageError

Value: TypeAlias = str | int | float | tuple[str, ...] | None
"""An attribute: text, a number, a tuple of labels (genres, categories), or None if unknown."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can be recommended.

    Attributes:
        id: the data's own identifier, unique in the catalog.
        title: the item's title, unique in the catalog (the catalog resolves clashes).
        attributes: field name -> value; every item of a catalog has the same fields.
        text: a longer description, or "".

    Example:
        >>> item = Item("1", "Toy Story (1995)", {"genre": ("Animation", "Comedy"), "year": 1995})
        >>> item.describe()
        'Toy Story (1995) | genre: Animation, Comedy | year: 1995'
    """

    id: str
    title: str
    attributes: Mapping[str, Value] = field(default_factory=dict, hash=False)
    text: str = ""

    def describe(self) -> str:
        """Return title and known attributes as one line, the text that code embeddings start from."""
        known = {name: value for name, value in self.attributes.items() if value not in (None, ())}
        facts = (f"{name}: {', '.join(v) if isinstance(v, tuple) else v}" for name, v in known.items())
        return " | ".join([self.title, *facts])


class Catalog(Sequence[Item]):
    """A frozen list of items. A *row* is an item's position here; all arrays are indexed by row.

    Example:
        >>> catalog = Catalog([Item("a", "Up", {"year": 2009}), Item("b", "Heat", {"year": 1995})])
        >>> catalog.find("heat"), catalog.where("year > 2000").tolist()
        (1, [True, False])
    """

    def __init__(self, items: Iterable[Item], name: str = "catalog") -> None:
        """Make titles unique and index the items. Their order defines their rows; ``name`` is used in messages.

        Raises:
            DataError: no items, an empty or repeated id, items with different fields, or an attribute of another type.
        """
        self.name = name
        self._items = _settle_titles(tuple(_plain(item, name) for item in items), name)
        self._row_of_id = {item.id: row for row, item in enumerate(self._items)}
        self._titles = TitleIndex([item.title for item in self._items])

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    @overload
    def __getitem__(self, row: int) -> Item: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, row: int | slice) -> Item | tuple[Item, ...]:
        """Return the item in a row, or a tuple of items for a slice."""
        return self._items[row]

    def __contains__(self, item_id: object) -> bool:
        """Tell whether an item id is in the catalog."""
        return item_id in self._row_of_id

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the attribute names."""
        return tuple(self._items[0].attributes)

    def row(self, item_id: str) -> int:
        """Return the row of an item id; raises UnknownItemError."""
        try:
            return self._row_of_id[item_id]
        except KeyError:
            raise UnknownItemError(f"no item with id {item_id!r} in {self.name} ({len(self)} items)") from None

    def find(self, text: str) -> int:
        """Return the row of an item named by id, or by a title as :class:`genre_gen.data.titles.TitleIndex` reads it.

        Raises:
            UnknownItemError: no item matches, or several do; the message names the closest titles.
            UsageError: the argument is not a string.
        """
        if not isinstance(text, str):
            raise UsageError(f"{text!r} is not a string; name an item by title or id")
        if not self._titles.exact(text) and text.strip() in self._row_of_id:
            return self._row_of_id[text.strip()]
        rows = self.named(text)
        if len(rows) == 1:
            return rows[0]
        shown = rows or self._titles.close(text)
        titles = ", ".join(repr(self._items[row].title) for row in shown[:5])
        if rows:
            raise UnknownItemError(f"{text!r} is ambiguous in {self.name}; write one of {titles}")
        hint = f"did you mean {titles}?" if titles else "no title is close to it; give a title or id of the catalog"
        raise UnknownItemError(f"no item {text!r} in {self.name}; {hint}")

    def named(self, text: str) -> tuple[int, ...]:
        """Return the rows that match a title as ``find`` matches it: none, one, or several if it is ambiguous."""
        return self._titles.exact(text) or self._titles.named(text)

    def where(self, expression: str) -> NDArray[np.bool_]:
        """Return the items that satisfy an expression over attributes, bool ``[n_items]``.

        Example: ``genre != 'Horror' and year >= 1980``. See :mod:`genre_gen.data.filter_expression` for the grammar.

        Raises:
            FilterError: the expression is invalid.
            UsageError: the expression is not a string.
        """
        if not isinstance(expression, str):
            raise UsageError(f"where = {expression!r}; give an expression as text, such as 'year >= 1980'")
        return evaluate(expression, self)

    def to_frame(self, library: Library = "polars") -> Any:
        """Return a data frame with an item a row, in row order: ``item_id``, ``title``, the fields, and ``text``.

        Labels are lists, and ``text`` is left out where no item has one. A field of one of these names has ``field_``
        before it.

        Example:
            >>> data.catalog.to_frame().columns
            ['item_id', 'title', 'genre', 'year']

        Raises:
            UsageError, MissingPackageError: as :func:`genre_gen.data.frames.in_library`.
        """
        own = {name: [getattr(item, name) for item in self._items] for name in ("id", "title", "text")}
        columns = [pl.Series("item_id", own["id"], pl.String), pl.Series("title", own["title"], pl.String)]
        for name in self.fields:
            column = f"field_{name}" if name in {"item_id", "title", "text"} else name
            columns.append(values_column(column, [item.attributes[name] for item in self._items]))
        if any(own["text"]):
            columns.append(pl.Series("text", own["text"], pl.String))
        return in_library(pl.DataFrame(columns), library)

    def fingerprint(self) -> str:
        """Return a SHA-256 of ids, titles and attributes in row order; it tells whether a catalog has changed."""
        digest = hashlib.sha256()
        for item in self._items:
            digest.update(json.dumps([item.id, item.title, dict(item.attributes), item.text]).encode())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the items as JSON lines, one per item in row order. An existing file is replaced atomically."""
        path = Path(path)
        unfinished = path.with_name(path.name + ".part")
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            for item in self._items:
                record = {"id": item.id, "title": item.title, "attributes": dict(item.attributes), "text": item.text}
                file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        unfinished.replace(path)

    @classmethod
    def from_file(cls, path: str | Path, name: str = "catalog") -> Catalog:
        """Read a file that ``save`` wrote; raises DataError that names the first invalid line."""
        items = []
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    record = json.loads(line)
                    values = {key: tuple(v) if isinstance(v, list) else v for key, v in record["attributes"].items()}
                    items.append(Item(record["id"], record["title"], values, record["text"]))
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise DataError(f"{path}, line {number}: not an item as Catalog.save writes it") from None
        return cls(items, name)


def _plain(item: Item, name: str) -> Item:
    """Return an item whose attributes are of type Value; the same object if they already are.

    Items built in Python may have NaN for an unknown value, lists, and NumPy numbers.
    """
    values = {key: _value(value, key, item, name) for key, value in item.attributes.items()}
    changed = any(values[key] is not value for key, value in item.attributes.items())
    return replace(item, attributes=values) if changed else item


def _value(value: Any, key: str, item: Item, name: str) -> Value:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, (list, tuple)) and all(isinstance(label, str) for label in value):
        return tuple(value)
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise DataError(
        f"{name}: item {item.id!r} has {key} = {value!r}; give text, a finite number, a list of texts, or None"
    )


def _settle_titles(items: tuple[Item, ...], name: str) -> tuple[Item, ...]:
    """Check ids and fields; make titles unique by appending the id to each later holder of a title."""
    if not items:
        raise DataError(f"{name}: no items; check the item file and its column mapping")
    fields = tuple(items[0].attributes)
    ids: set[str] = set()
    titles: set[str] = set()
    settled = []
    for item in items:
        if not item.id or item.id in ids:
            raise DataError(f"{name}: item id {item.id!r} is {'repeated' if item.id else 'empty'}; ids must be unique")
        if tuple(item.attributes) != fields:
            raise DataError(f"{name}: item {item.id!r} has fields {tuple(item.attributes)}, expected {fields}")
        title = item.title.strip() or f"item {item.id}"
        while title.casefold() in titles:
            title = f"{title} [{item.id}]"
        ids.add(item.id)
        titles.add(title.casefold())
        settled.append(item if title == item.title else replace(item, title=title))
    return tuple(settled)
