"""Amazon's reviews, as published by McAuley's group (2014, 2018, 2023), or as a pair of JSON files made from them.

==========  ====================================  ==========================================================
layout      interactions                          items (optional)
==========  ====================================  ==========================================================
pair        ``X.inter.json``: user -> item ids    ``X.item.json``: item id -> attributes
2014        ``reviews_X.json``, ``reviews_X_5``   ``meta_X.json``, whose lines are Python literals
2018        ``X.json``, ``X_5.json``              ``meta_X.json``
2023        ``X.jsonl``                           ``meta_X.jsonl``
ratings     ``X.csv`` of users, items, ratings,   any of these ``meta_X`` files
            times (2014, 2018: no header)
==========  ====================================  ==========================================================

All files may be packed as ``.gz``. If a folder has both reviews and ratings, the reviews are read. In 2023 an item is
identified by its ``parent_asin``, which covers all its colours and sizes and is the key of the item file.
Formats: https://jmcauley.ucsd.edu/data/amazon/links.html (2014), https://nijianmo.github.io/amazon (2018),
https://amazon-reviews-2023.github.io (2023).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.dates import LAST_SECOND
from genre_gen.data.readers.delimited import read_text
from genre_gen.data.readers.encodings import Text, decode
from genre_gen.data.readers.files import Folder, Table, ending, named, only
from genre_gen.data.readers.json_tables import json_lines, loose, whole
from genre_gen.data.readers.table import PlainTable
from genre_gen.data.settings import DataSettings, TextFormat
from genre_gen.errors import DataError

_PAIR, _PAIR_ITEMS = ".inter.json", ".item.json"
_LINES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_RATINGS = (".csv", ".csv.gz")
_META, _RATINGS_2014 = "meta_", "ratings_"
_USER, _ITEM = ("reviewerID", "user_id"), ("parent_asin", "asin")
_REVIEW = {
    "user_id": _USER,
    "item_id": _ITEM,
    "rating": ("overall", "rating"),
    "summary": ("summary", "title"),
    "review": ("reviewText", "text"),
}
_COMMAS = TextFormat(delimiter=",")
_ASIN = 10  # characters of an item id; ids of users are longer
_LATEST = 1000 * LAST_SECOND + 999  # milliseconds; a larger number is not a time
_FIRST_LINE = 1 << 20  # a file is recognised by its first line, of at most this many bytes


class Amazon(Reader):
    """Reads the columns user_id, item_id, rating, timestamp, summary and review; of items title, brand, categories, ...

    Column names are unified: ``store`` (2023) becomes ``brand``, ``category`` (2018) becomes ``categories``. A price
    loses its dollar sign. A pair of JSON files keeps the names of its attributes.
    """

    name = "amazon"
    suffixes = _LINES
    separator = ","

    def recognises(self, folder: Folder) -> bool:
        """Tell whether there is a ``.inter.json`` file, a ``meta_`` file, or a file of reviews."""
        if ending(folder, _PAIR):
            return True
        if any((folder / f"interactions{suffix}").is_file() for suffix in PlainTable.suffixes):
            return False  # a plain table, even if JSON files lie next to it
        if _names(folder, _LINES, _META) or _names(folder, _RATINGS, _RATINGS_2014):
            return True
        return any(_has_reviews(folder / name) for name in _names(folder, _LINES))

    def fits(self, folder: Folder, name: str) -> bool:
        """Tell whether a file has reviews, or one of the names of this format."""
        own = name.endswith((_PAIR, _PAIR_ITEMS)) or name.startswith(_META)
        return name.endswith(_LINES) and (own or ((folder / name).is_file() and _has_reviews(folder / name)))

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the items' attributes; lists stay lists, other values become text."""
        usual = ending(folder, _PAIR_ITEMS) or _names(folder, _LINES, _META)
        name = settings.items or only(folder, usual, "data.items")
        if name is None:
            return None
        text = decode(named(folder, name), settings.format_of("items").encoding)
        return _pair_items(text) if name.endswith(_PAIR_ITEMS) else _meta(text)

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return one record per user and item, in file order."""
        lines = [name for name in _names(folder, _LINES) if not name.startswith(_META)]
        usual = ending(folder, _PAIR) or lines or _names(folder, _RATINGS)
        file = named(folder, settings.interactions or only(folder, usual, "data.interactions") or f"*{_PAIR}")
        text = decode(file, settings.format_of("interactions").encoding)
        if file.name.endswith(_PAIR):
            return _pair_interactions(text)
        return _ratings(text) if file.name.endswith(_RATINGS) else _review_lines(text)


def _names(folder: Folder, suffixes: tuple[str, ...], prefix: str = "") -> list[str]:
    return [
        name
        for name in ending(folder, *suffixes)
        if name.startswith(prefix) and not name.endswith((_PAIR, _PAIR_ITEMS))
    ]


def _has_reviews(file: Folder) -> bool:
    """Tell whether a file's first line is a review."""
    try:
        with file.open("rb") as packed:
            content = gzip.GzipFile(fileobj=packed) if file.name.endswith(".gz") else packed
            first = json.loads(content.readline(_FIRST_LINE))
    except (ValueError, RecursionError, OSError, EOFError, zlib.error):
        return False
    return isinstance(first, dict) and any(key in first for key in _USER) and any(key in first for key in _ITEM)


# As published


def _review_lines(text: Text) -> Table:
    """Read reviews, one JSON object a line."""
    records = (
        (line, *(_first(review, keys) for keys in _REVIEW.values()), _milliseconds(review))
        for line, review in json_lines(text)
    )
    return _table(text, records, {**dict.fromkeys(_REVIEW, pl.String()), "timestamp": pl.Datetime("ms")})


def _table(text: Text, records: Iterable[tuple[Any, ...]], types: dict[str, pl.DataType]) -> Table:
    """Return records, whose first value is the line number, as a table."""
    frame = pl.DataFrame(list(records), {"line": pl.Int64(), **types}, orient="row")
    lines = frame["line"]
    return Table(frame.drop("line"), text.file, lambda record: f"line {lines[record]}", text.notes)


def _ratings(text: Text) -> Table:
    """Read ratings without reviews; the 2023 files have a header, older ones do not."""
    if text.content.startswith("user_id,"):
        table = read_text(text, _COMMAS)
        item = table.column(_ITEM, "item", "data.columns.item")
        frame = table.frame.with_columns(pl.col(item).alias("item_id"))
        if "timestamp" in frame.columns:
            times = pl.col("timestamp").cast(pl.Int64, strict=False)
            frame = frame.with_columns(pl.when(times.abs() <= _LATEST).then(times).cast(pl.Datetime("ms")))
        return table.with_frame(frame)
    table = read_text(text, _COMMAS, columns=("first", "second", "rating", "timestamp"))
    # In 2014 the user is the first column, in 2018 the item is.
    short = [bool((table.frame[name].str.len_chars() == _ASIN).all()) for name in ("first", "second")]
    if short[0] == short[1]:
        raise DataError(
            f"{text.file}: cannot tell users from items, whose ids should have {_ASIN} characters; "
            'write the header "user_id,item_id,rating,timestamp" and set data.reader = "table"'
        )
    item, user = ("first", "second") if short[0] else ("second", "first")
    return table.with_frame(table.frame.rename({user: "user_id", item: "item_id"}))


def _meta(text: Text) -> Table:
    """Read items, one JSON object a line."""
    records = (
        (
            line,
            _first(item, _ITEM),
            _first(item, ("title",)),
            _first(item, ("brand", "store")),
            _price(item.get("price")),
            " ".join(_flat(item.get("description"))),
            _first(item, ("main_cat", "main_category")),
            list(dict.fromkeys(_flat(item.get("categories") or item.get("category")))),
            list(_flat(item.get("features") or item.get("feature"))),
        )
        for line, item in json_lines(text, loose)
    )
    texts = ("item_id", "title", "brand", "price", "description", "main_category")
    lists = dict.fromkeys(("categories", "features"), pl.List(pl.String))
    return _table(text, records, {**dict.fromkeys(texts, pl.String()), **lists})


def _first(record: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """Return the first value present among some keys, as text, or ""."""
    value = next((record[key] for key in keys if record.get(key) is not None), "")
    whole = isinstance(value, float) and value.is_integer()  # an id or a rating that was read as a float
    return value if isinstance(value, str) else str(int(value) if whole else value)


def _milliseconds(review: Mapping[str, Any]) -> int | None:
    """Return the time of a review in milliseconds since 1970; None if it cannot be read."""
    for key, factor in (("unixReviewTime", 1000), ("timestamp", 1)):
        if isinstance(review.get(key), (int, float)) and abs(review[key]) * factor <= _LATEST:
            return int(review[key] * factor)
    return None


def _price(value: Any) -> str:
    """Return a price such as "$1,299.00" as a number in text, or the text unchanged if it is not a price."""
    written = "" if value is None else str(value).strip()
    return written.removeprefix("$").replace(",", "") if written.startswith("$") else written


def _flat(value: Any) -> Iterator[str]:
    """Yield the strings of a string, a list, or a list of lists."""
    if isinstance(value, list):
        for part in value:
            yield from _flat(part)
    elif value is not None and value != "":
        yield str(value)


# As a pair


def _pair_items(text: Text) -> Table:
    items = _read_object(text)
    for item_id, attributes in items.items():
        if not isinstance(attributes, dict):
            raise DataError(f"{text.file}, item {item_id!r}: expected an object of attributes, not {attributes!r:.60}")
    names = dict.fromkeys(name for attributes in items.values() for name in attributes)
    columns = {name: _column([attributes.get(name) for attributes in items.values()]) for name in names}
    ids = list(items)
    return Table(
        pl.DataFrame({**columns, "item_id": ids}), text.file, lambda record: f"item {ids[record]!r}", text.notes
    )


def _pair_interactions(text: Text) -> Table:
    users: list[str] = []
    items: list[str] = []
    for user, item_ids in _read_object(text).items():
        if not isinstance(item_ids, list) or not all(isinstance(item, (str, int)) for item in item_ids):
            raise DataError(f"{text.file}, user {user!r}: expected a list of item ids, not {item_ids!r:.60}")
        users += [user] * len(item_ids)
        items += map(str, item_ids)
    frame = pl.DataFrame([pl.Series("user_id", users, pl.String), pl.Series("item_id", items, pl.String)])
    return Table(frame, text.file, lambda record: f"user {users[record]!r}", text.notes)


def _read_object(text: Text) -> dict[str, Any]:
    """Return a file's JSON object; raises DataError for other content or repeated keys."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            (twice, _), *_ = Counter(key for key, _ in pairs).most_common()
            raise DataError(f"{text.file}: the key {twice!r} appears twice in one object; merge the two")
        return content

    try:
        content = whole(json.loads(text.content, object_pairs_hook=unique), text.content)
    except (json.JSONDecodeError, RecursionError) as problem:
        raise DataError(f"{text.file}: not valid JSON: {problem}") from None
    if not isinstance(content, dict):
        raise DataError(f"{text.file}: expected one JSON object, not {type(content).__name__}")
    return content


def _column(values: list[Any]) -> pl.Series:
    """Return attribute values as a list column if all are lists, else as text."""
    if all(isinstance(value, list) for value in values):
        return pl.Series([[str(part) for part in value] for value in values], dtype=pl.List(pl.String))
    return pl.Series(["" if value is None else str(value) for value in values], dtype=pl.String)
