"""Item and Catalog: the things that can be recommended."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.arguments import check_keys, check_path, check_type
from genre_gen.data.filter_expression import evaluate
from genre_gen.data.frames import Library, in_library, values_column
from genre_gen.data.ids import other_form
from genre_gen.data.normal_form import composed, folded
from genre_gen.data.titles import TitleIndex
from genre_gen.errors import DataError, UnknownItemError, UsageError, quoted
from genre_gen.folders.output import writing

log = logging.getLogger(__name__)
MAX_TITLE, MAX_LABEL = 500, 200
"""Characters of a title and of a label; longer ones are cut. A prompt shows many titles, and a page as well."""
_LONGEST_INTEGER = 2**63

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
        plain = _cut_all(items, name)
        if not plain:
            raise DataError(f"{name}: no items; check the item file and its column mapping")
        fields, ids = tuple(plain[0].attributes), set[str]()
        for item in plain:
            _check_item(item, fields, name)
            if item.id in ids:
                raise DataError(f"{name}: item id {quoted(item.id)} is repeated; ids must be unique")
            ids.add(item.id)
        self._items = _settle_titles(plain)
        self._given = _given_titles(enumerate(plain), self._items)
        self._row_of_id = {item.id: row for row, item in enumerate(self._items)}
        self._titles = TitleIndex([item.title for item in self._items])

    def with_items(self, items: Iterable[Item]) -> Catalog:
        """Return the catalog with more items, equal to one that is built of all of them in the order of their rows.

        An item with the id of one that is here takes its row, the others follow behind the last row. The present
        catalog stays as it is, and nearly everything that it has indexed is used again.

        Example:
            >>> more = Catalog([Item("a", "Up")]).with_items([Item("b", "Up"), Item("a", "Down")])
            >>> [item.title for item in more]
            ['Down', 'Up']

        Raises:
            DataError: as the constructor, except for ids that are here or repeated: the last one counts.
        """
        row_of_id, new = dict(self._row_of_id), dict[int, Item]()
        for item in _cut_all(items, self.name):
            _check_item(item, self.fields, self.name)
            new[row_of_id.setdefault(item.id, len(row_of_id))] = item
        rows = sorted(new)
        if not any(row < len(self) and new[row].title != self._given_title(row) for row in rows):
            placed = {row: replace(new[row], title=self._items[row].title) for row in rows if row < len(self)}
            added = _settle_titles([new[row] for row in rows[len(placed) :]], self._titles)
            settled = (*(placed.get(row, item) for row, item in enumerate(self._items)), *added)
        else:  # an item that had to give way to the title of another may get its own back, and the reverse
            before = (self.given(row) if row in self._given else item for row, item in enumerate(self._items))
            whole = [*(new.get(row, item) for row, item in enumerate(before)),
                     *(new[row] for row in rows if row >= len(self))]  # fmt: skip
            settled = _settle_titles(whole)
            rows = [row for row, item in enumerate(settled) if row in new or item.title != self._items[row].title]
        other = copy.copy(self)
        other.__dict__.pop("_of_one_title", None)
        other._items, other._row_of_id = settled, row_of_id
        kept = {row: title for row, title in self._given.items() if row not in new}
        other._given = _given_titles(((row, new.get(row) or self.given(row)) for row in (*rows, *kept)), settled)
        retitled = [row for row in rows if row >= len(self) or settled[row].title != self._items[row].title]
        other._titles = self._titles.changed([item.title for item in settled], retitled)
        return other

    def given(self, row: int) -> Item:
        """Return the item in a row with the title that it came with, which another item may have too.

        Example:
            >>> [Catalog([Item("a", "Up"), Item("b", "Up")]).given(row).title for row in range(2)]
            ['Up', 'Up']
        """
        item = self._items[row]
        return replace(item, title=self._given[row]) if row in self._given else item

    def _given_title(self, row: int) -> str:
        return self._given.get(row, self._items[row].title)

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
        return isinstance(item_id, str) and composed(item_id) in self._row_of_id

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the attribute names."""
        return tuple(self._items[0].attributes)

    def row(self, item_id: str) -> int:
        """Return the row of an item id, ``5863.0`` being ``5863``; raises UnknownItemError."""
        written = composed(check_type(item_id, str, "the item id", "it as text"))
        known = written if written in self._row_of_id else other_form(written, self._row_of_id)
        if known is None:
            raise UnknownItemError(f"no item with id {quoted(item_id)} in {self.name} ({len(self)} items)")
        return self._row_of_id[known]

    def find(self, text: str) -> int:
        """Return the row of an item named by id, or by a title as :class:`genre_gen.data.titles.TitleIndex` reads it.

        A title as it is written comes before an id, and an id before a title that leaves something out. A name that
        fits other items too is logged, with their ids.

        Raises:
            UnknownItemError: no item matches, or several do; the message names the closest titles.
            UsageError: the argument is not a string.
        """
        if not isinstance(text, str):
            raise UsageError(f"{quoted(text)} is not a string; name an item by title or id")
        certain, rows = self.meant(text), self.named(text)
        others = [row for row in dict.fromkeys((*certain[1:], *rows)) if row not in certain[:1]] if certain else []
        if others:
            log.warning("%s is %s; it names %s too: write the id for %s", quoted(text), self._told(certain[0]),
                        ", ".join(map(self._told, others[:5])),
                        "that item" if len(others) == 1 else "another of these items")  # fmt: skip
        if certain or len(rows) == 1:
            return (*certain, *rows)[0]
        shown = rows or self._titles.close(text)
        titles = ", ".join(quoted(self._items[row].title, MAX_TITLE) for row in shown[:5])
        if rows:
            raise UnknownItemError(f"{quoted(text)} is ambiguous in {self.name}; write one of {titles}")
        hint = f"did you mean {titles}?" if titles else "no title is close to it; give a title or id of the catalog"
        raise UnknownItemError(f"no item {quoted(text)} in {self.name}; {hint}")

    def meant(self, text: str) -> tuple[int, ...]:
        """Return the rows that have a text as title or id, the one that ``find`` takes first; () if there is none.

        They are several where items of the data have one title, or where the title of one is the id of another.
        """
        written, named = composed(text.strip()), self.named(text)
        known = written if named else other_form(written, self._row_of_id) or written
        by_id = self._row_of_id.get(written, self._row_of_id.get(known))
        by_title = named if self._titles.exact(_cut_text(text, MAX_TITLE)) else ()
        return tuple(dict.fromkeys((*by_title[:1], *(() if by_id is None else (by_id,)), *by_title[1:])))

    @cached_property
    def _of_one_title(self) -> dict[str, tuple[int, ...]]:
        """Return the rows whose title got an id behind it, as another item had it, by that title."""
        same: dict[str, tuple[int, ...]] = {}
        for row, item in enumerate(self._items):
            title, addition = item.title, f" [{item.id}]"
            while title.endswith(addition):
                title = title.removesuffix(addition)
                if self._titles.exact(title):
                    same[folded(title)] = (*same.get(folded(title), ()), row)
        return same

    def _told(self, row: int) -> str:
        """Return an item as a message names it."""
        return f"{quoted(self._items[row].title, MAX_TITLE)} (id {self._items[row].id})"

    def named(self, text: str) -> tuple[int, ...]:
        """Return the rows that match a title as ``find`` matches it: none, one, or several if it is ambiguous."""
        exact = self._titles.exact(_cut_text(text, MAX_TITLE))
        if exact:
            return (*exact, *self._of_one_title.get(folded(self._items[exact[0]].title), ()))
        return self._titles.named(_cut_text(text, MAX_TITLE))

    def where(self, expression: str) -> NDArray[np.bool_]:
        """Return the items that satisfy an expression over attributes, bool ``[n_items]``.

        Example: ``genre != 'Horror' and year >= 1980``. See :mod:`genre_gen.data.filter_expression` for the grammar.

        Raises:
            FilterError: the expression is invalid.
            UsageError: the expression is not a string.
        """
        if not isinstance(expression, str):
            raise UsageError(f"where = {quoted(expression)}; give an expression as text, such as 'year >= 1980'")
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
        import polars as pl

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
        with writing(path):
            with unfinished.open("w", encoding="utf-8", newline="\n") as file:
                for item in self._items:
                    about = {"id": item.id, "title": item.title, "attributes": dict(item.attributes), "text": item.text}
                    file.write(json.dumps(about, ensure_ascii=False, allow_nan=False) + "\n")
            unfinished.replace(path)

    @classmethod
    def from_file(cls, path: str | Path, name: str = "catalog") -> Catalog:
        """Read a file that ``save`` wrote; raises DataError that names the first invalid line."""
        try:
            text = check_path(path, "path").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            reason = " ".join(str(getattr(problem, "strerror", None) or problem).split())
            raise DataError(f"{path}: cannot be read ({reason}); give a file that Catalog.save wrote") from None
        return cls.from_text(text, name, str(path))

    @classmethod
    def from_text(cls, text: str, name: str = "catalog", where: str = "catalog") -> Catalog:
        """Read the content of a file that ``save`` wrote; ``where`` it is, for messages; raises DataError."""
        items = []
        for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
            try:
                record = json.loads(line)
                values = {key: tuple(v) if isinstance(v, list) else v for key, v in record["attributes"].items()}
                items.append(Item(record["id"], record["title"], values, record["text"]))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise DataError(f"{where}, line {number}: not an item as Catalog.save writes it") from None
        return cls(items, name)


def _plain(item: Item, name: str) -> Item:
    """Return an item whose attributes are of type Value and whose texts are valid; the same object if it is one.

    Items built in Python may have NaN for an unknown value, lists, NumPy numbers, and surrogates without a pair.
    """
    check_type(item, Item, "an item", "Item(id, title, attributes, text)")
    if not isinstance(item.attributes, dict) or not all(isinstance(key, str) for key in item.attributes):
        check_keys(item.attributes, f"attributes of item {quoted(item.id)}", "values by the names of fields")
    if not all(isinstance(part, str) for part in (item.id, item.title, item.text)):
        raise DataError(f"{name}: item {quoted(item.id)} has an id, a title or a text that is not text; make it text")
    if len(item.id) > MAX_TITLE or not _is_whole(item.id):
        raise DataError(f"{name}: item id {quoted(item.id)} is too long, or not valid text; give another")
    values = {key: _value(value, key, item, name) for key, value in item.attributes.items()}
    changed = any(values[key] is not value for key, value in item.attributes.items())
    item = replace(item, attributes=values) if changed else item
    item_id, title, text = composed(item.id), whole_text(item.title), whole_text(item.text)
    same = item_id is item.id and title is item.title and text is item.text
    return item if same else replace(item, id=item_id, title=title, text=text)


def whole_text(text: str) -> str:
    """Return text in the form NFC, with unpaired surrogates replaced: no file can hold them."""
    if not _is_whole(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return composed(text)


def _is_whole(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cut(item: Item) -> Item:
    """Return an item without what is too long to be shown."""
    values = {
        key: tuple(_cut_text(label, MAX_LABEL) for label in value) if isinstance(value, tuple) else value
        for key, value in item.attributes.items()
    }
    if len(item.title) <= MAX_TITLE and values == item.attributes:
        return item
    return replace(item, title=_cut_text(item.title, MAX_TITLE), attributes=values)


def _cut_text(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _value(value: Any, key: str, item: Item, name: str) -> Value:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, (list, tuple)) and all(isinstance(label, str) for label in value):
        labels = tuple(map(whole_text, value))
        return value if isinstance(value, tuple) and all(map(operator.is_, labels, value)) else labels
    if isinstance(value, str):
        return whole_text(value)
    if value is None or (isinstance(value, int) and abs(value) < _LONGEST_INTEGER):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise DataError(
        f"{name}: item {item.id!r} has {key} = {quoted(value)}; give text, a finite number, a list of texts, or None"
    )


def _cut_all(items: Iterable[Item], name: str) -> tuple[Item, ...]:
    """Return items with valid texts of a length that can be shown; a warning tells how many titles were cut."""
    plain = tuple(_plain(item, name) for item in check_type(items, Iterable, "items", "a list of Item(...)"))
    if long := [item for item in plain if len(item.title) > MAX_TITLE]:
        log.warning("%s: %d titles of more than %d characters are cut, the first is that of item %s",
                    name, len(long), MAX_TITLE, quoted(long[0].id))  # fmt: skip
    return tuple(map(_cut, plain))


def _check_item(item: Item, fields: tuple[str, ...], name: str) -> None:
    if not item.id:
        raise DataError(f"{name}: item id {quoted(item.id)} is empty; ids must be unique")
    if tuple(item.attributes) != fields:
        raise DataError(f"{name}: item {item.id!r} has fields {tuple(item.attributes)}, expected {fields}")


def _settle_titles(items: Sequence[Item], taken: TitleIndex | None = None) -> tuple[Item, ...]:
    """Make titles unique, also next to those that are taken, by appending the id to each later holder of a title."""
    titles: set[str] = set()
    settled = []
    for item in items:
        title = item.title.strip() or f"item {item.id}"
        while folded(title) in titles or (taken is not None and taken.exact(title)):
            title = f"{title} [{item.id}]"
        titles.add(folded(title))
        settled.append(item if title == item.title else replace(item, title=title))
    return tuple(settled)


def _given_titles(given: Iterable[tuple[int, Item]], settled: Sequence[Item]) -> dict[int, str]:
    """Return the titles of rows that came with another one than they got."""
    return {row: item.title for row, item in given if item.title != settled[row].title}
