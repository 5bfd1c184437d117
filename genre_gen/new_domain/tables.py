"""Two unknown tables, of interactions and of items, from files or from data frames of polars or pandas."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genre_gen.data.readers.delimited import VALUE
from genre_gen.data.readers.encodings import AUTO
from genre_gen.data.readers.files import Table, named, on_disk
from genre_gen.data.readers.frames import from_frame
from genre_gen.data.readers.table import PlainTable, read_table
from genre_gen.data.settings import DataSettings, TextFormat
from genre_gen.errors import DataError, UsageError
from genre_gen.new_domain.names import named as named_as
from genre_gen.registry import READERS

_MATRIX = 8  # numbered columns that are one for each item
_OF_LOG, _OF_ITEMS = ("user_id", "item_id", "rating", "timestamp"), ("item_id", "title", "genre", "description")


@dataclass(frozen=True)
class Tables:
    """The tables that a domain is inferred from."""

    interactions: Table  # one record per interaction
    items: Table | None  # one record per item; None if only their ids are known
    # the paths of the two files, None for a table that is missing or in memory
    paths: tuple[Path | None, Path | None] = (None, None)
    reader: str = PlainTable.name  # the reader of the files


def read_tables(
    interactions: Any, items: Any = None, encoding: str = AUTO, items_encoding: str | None = None
) -> Tables:
    """Read two tables, either paths (``PlainTable.suffixes``, with a header) or data frames; ``items`` may be None.

    ``encoding`` is that of the text files, by default found out for each; ``items_encoding`` is that of the items, if
    it is another.

    Raises:
        DataError: a file cannot be read, or a table has no rows.
        UsageError: an argument is neither a path nor a data frame, or there is one of each.
    """
    if interactions is None:
        raise UsageError("interactions is None; give a path or a data frame of who had which item")
    given = [table for table in (interactions, items) if table is not None]
    if all(isinstance(table, (str, Path)) for table in given):
        paths = Path(interactions), None if items is None else Path(items)
        log, item_file = paths
        if (published := _published(log, item_file, encoding, items_encoding)) is not None:
            return published
        read = None if item_file is None else _read_file(item_file, items_encoding or encoding, _OF_ITEMS)
        return Tables(_read_file(log, encoding, _OF_LOG), read, paths)
    if any(isinstance(table, (str, Path)) for table in given):
        raise UsageError("interactions and items are a path and a data frame; give two paths, or two data frames")
    return Tables(from_frame(interactions, "interactions"), None if items is None else from_frame(items, "items"))


def _published(log: Path, items: Path | None, encoding: str, items_encoding: str | None) -> Tables | None:
    """Return the tables of a published format whose files have no header, by its own reader; None for other files."""
    for name, reader in READERS.built_in().items():
        usual = reader.headless.get(log.name)
        named_so = usual is not None and items in (None, log.with_name(usual)) and log.is_file()
        if named_so and reader.recognises(log.parent):
            items_file = TextFormat() if items_encoding is None else TextFormat(encoding=items_encoding)
            settings = DataSettings(encoding=encoding, items_file=items_file)
            tables = reader.interactions(log.parent, settings), reader.items(log.parent, settings)
            return Tables(*tables, (log, items), name)
    return None


def _read_file(path: Path, encoding: str, names: tuple[str, ...]) -> Table:
    """Read a table with a header line; ``names`` are usual ones for it."""
    folder, name = on_disk(path)
    if ".zip/" not in name and not path.is_file():
        raise DataError(f"{path}: no such file; correct the path")
    if not name.endswith(PlainTable.suffixes):
        raise _not_a_table(path)
    table = read_table(named(folder, name), TextFormat(encoding=encoding))
    if names == _OF_LOG:
        _refuse_matrix(table)
    if any(VALUE.fullmatch(column) for column in table.frame.columns):
        delimiter = ((table.form and table.form.delimiter) or ",").replace("\t", "<tab>")
        raise DataError(
            f"{path}, line 1: looks like data ({', '.join(table.frame.columns)[:60]}), not like names of columns; put "
            f"a line such as {delimiter.join(names[: len(table.frame.columns)])} before it"
        )
    if table.frame.is_empty():
        raise DataError(f"{path}: there is no data below the header; check the file")
    return table


def _refuse_matrix(log: Table) -> None:
    """Raise DataError for a line a user with a column for each item, which are numbered."""
    stems = [re.sub(r"\d+", "", name) if re.search(r"\d", name) else None for name in log.frame.columns]
    stem, count = next(iter(Counter(stem for stem in stems if stem is not None).most_common(1)), (None, 0))
    numbered = [name for name, each in zip(log.frame.columns, stems, strict=True) if each == stem]
    others = [name for name in log.frame.columns if name not in numbered]
    if count >= _MATRIX and others and not any(named_as(name, "item") for name in others):
        raise DataError(
            f"{log.file}: a line for each user, with {count} numbered columns ({numbered[0]} to {numbered[-1]}), one "
            "for each item; write a line for each user and item that belong together, such as user_id,item_id,rating"
        )


def _not_a_table(path: Path) -> DataError:
    """Return the error for another kind of file, with the reader that knows it, if any."""
    reader = next((name for name, each in READERS.built_in().items() if path.name.endswith(each.suffixes)), None)
    if reader is None:
        return DataError(
            f"{path}: not a table; give {', '.join(PlainTable.kinds)}, or write domain.toml by hand (other formats: "
            "catalogs/README.md)"
        )
    return DataError(
        f'{path}: not a table, but a file of {reader}; write domain.toml by hand, with data.reader = "{reader}" '
        "(catalogs/README.md)"
    )
