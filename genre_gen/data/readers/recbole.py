"""RecBole's atomic files: tab-separated, with typed column names such as ``user_id:token`` and ``rating:float``.

Format: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import polars as pl

from genre_gen.data.readers.files import Folder, Table, decode, ending, named, only, read_text
from genre_gen.data.readers.values import numbers
from genre_gen.domain import DataSettings
from genre_gen.errors import DataError

TYPES = ("token", "token_seq", "float", "float_seq")


class RecBole:
    """Reads ``*.inter`` and, where there is one, ``*.item``."""

    name: ClassVar[str] = "recbole"
    suffixes: ClassVar[tuple[str, ...]] = (".inter", ".item")
    separator: ClassVar[str] = " "

    def recognises(self, folder: Folder) -> bool:
        """Tell whether there is a ``.inter`` file."""
        return bool(ending(folder, ".inter"))

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the item file's columns without their types."""
        name = settings.items or only(folder, ".item", "data.items")
        return None if name is None else _read(named(folder, name), settings.encoding)[0]

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return the interaction file's columns without their types."""
        name = settings.interactions or only(folder, ".inter", "data.interactions")
        return _read(named(folder, name or "*.inter"), settings.encoding)[0]


def read_atomic(file: Path, encoding: str = "utf-8") -> pl.DataFrame:
    """Read any atomic file (``.inter``, ``.item``, ``.user``, ``.kg``, ``.link``) with its declared types.

    Returns:
        token as text, float as float64, token_seq and float_seq as lists; empty floats are null.

    Raises:
        DataError: a column without a known type, or a float that is none.
    """
    table, types = _read(file, encoding)
    return pl.DataFrame([_typed(table, name, kind) for name, kind in types.items()])


def read_untyped(file: Folder, encoding: str = "utf-8") -> Table:
    """Read any atomic file as text, the types left out of the names; raises DataError as ``read_atomic`` does."""
    return _read(file, encoding)[0]


def _typed(table: Table, name: str, kind: str) -> pl.Series:
    """Return a column with its declared type."""
    column = table.frame[name]
    if kind == "token":
        return column
    if kind == "float":
        values = numbers(column)
        wrong = values.is_null() & (column != "")
    else:
        words = column.str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
        if kind == "token_seq":
            return words
        values = words.cast(pl.List(pl.Float64), strict=False)
        wrong = values.list.eval(pl.element().is_null()).list.any()
    for record in wrong.arg_true():
        raise DataError(
            f"{table.file}, {table.locate(record)}: {name} {column[record]!r} is not {kind}; write numbers there"
        )
    return values


def _read(file: Folder, encoding: str) -> tuple[Table, dict[str, str]]:
    """Return an atomic file as text, and the type of each column."""
    table = read_text(decode(file, encoding), str(file), separator="\t", quote=None)
    types = dict(column.rpartition(":")[::2] for column in table.frame.columns)
    for name, kind in types.items():
        if kind not in TYPES or not name:
            raise DataError(
                f"{file}, line 1: column {name or kind!r} has no type; write it as name:type, the types are "
                + ", ".join(TYPES)
            )
    names = [column.rpartition(":")[0] for column in table.frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{file}, line 1: column {name!r} has two types; rename one of the columns")
    return Table(table.frame.rename(lambda column: column.rpartition(":")[0]), table.file, table.locate), types
