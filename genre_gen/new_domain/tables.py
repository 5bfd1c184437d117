"""Two unknown tables, of interactions and of items, from files or from data frames of polars or pandas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genre_gen.data.readers.files import Table, decode, read_parquet, read_text
from genre_gen.data.readers.frames import from_frame
from genre_gen.data.readers.table import PlainTable
from genre_gen.errors import DataError, UsageError

_DELIMITERS = (",", ";", "\t", "|")
_DATA = re.compile(r"[-+]?\d+([.,]\d+)?|\d{4}-\d\d-\d\d.*")  # values, which are not names of columns


@dataclass(frozen=True)
class Tables:
    """The tables that a domain is inferred from."""

    interactions: Table  # one record per interaction
    items: Table | None  # one record per item; None if only their ids are known
    # the paths of the two files, None for a table that is missing or in memory
    paths: tuple[Path | None, Path | None] = (None, None)
    encoding: str = "utf-8"  # of both files
    delimiter: str | None = None  # of both files; None for the usual one of their suffix


def read_tables(interactions: Any, items: Any = None) -> Tables:
    """Read two tables, either paths (CSV, TSV or Parquet with a header) or data frames; ``items`` may be None.

    Raises:
        DataError: a file cannot be read, or a table has no rows.
        UsageError: an argument is neither a path nor a data frame, or there is one of each.
    """
    given = [table for table in (interactions, items) if table is not None]
    if all(isinstance(table, (str, Path)) for table in given):
        paths = Path(interactions), None if items is None else Path(items)
        files = [path for path in paths if path is not None]
        encoding, delimiter = _encoding(files), _common_delimiter(files)
        tables = [_read_file(file, encoding, delimiter) for file in files]
        return Tables(tables[0], tables[1] if items is not None else None, paths, encoding, delimiter)
    if any(isinstance(table, (str, Path)) for table in given):
        raise UsageError("interactions and items are a path and a data frame; give two paths, or two data frames")
    return Tables(from_frame(interactions, "interactions"), None if items is None else from_frame(items, "items"))


def _read_file(file: Path, encoding: str, delimiter: str | None) -> Table:
    """Read a table with a header line."""
    if file.name.endswith(".parquet"):
        table = read_parquet(file)
    else:
        table = read_text(decode(file, encoding), str(file), delimiter or _usual_delimiter(file))
    if any(_DATA.fullmatch(name) for name in table.frame.columns):
        raise DataError(
            f"{file}, line 1: looks like data ({', '.join(table.frame.columns)[:60]}), not like names of columns; put "
            "a line such as user_id,item_id,rating,timestamp before it"
        )
    if table.frame.is_empty():
        raise DataError(f"{file}: there is no data below the header; check the file")
    return table


def _usual_delimiter(file: Path) -> str:
    return "\t" if file.name.endswith(".tsv") else ","


def _encoding(files: Iterable[Path]) -> str:
    """Return an encoding that can decode all files; raises DataError for a file that is not a table."""
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such file; correct the path")
        if not file.name.endswith(PlainTable.suffixes):
            raise DataError(
                f"{file}: not a table; give {', '.join(PlainTable.suffixes)}, or write domain.toml by hand (other "
                "formats: catalogs/README.md)"
            )
        if not file.name.endswith(".parquet"):
            try:
                file.read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                return "latin-1"
    return "utf-8"


def _common_delimiter(files: Iterable[Path]) -> str | None:
    """Return the delimiter, if it is not the usual one of the suffixes; it must be the same in all files."""
    delimiters: dict[Path, str] = {}
    for file in files:
        if not file.name.endswith(".parquet"):
            header = file.read_bytes().partition(b"\n")[0].decode("latin-1")
            usual = _usual_delimiter(file)
            delimiters[file] = max(_DELIMITERS, key=lambda each: (header.count(each), each == usual))
    if all(delimiter == _usual_delimiter(file) for file, delimiter in delimiters.items()):
        return None
    if len(set(delimiters.values())) > 1:
        shown = ", ".join(f"{file.name} by {delimiter!r}" for file, delimiter in delimiters.items())
        raise DataError(f"the files have different separators: {shown}; save both files with commas")
    return next(iter(delimiters.values()))
