"""RecBole's atomic files: tab-separated text with typed column names such as ``user_id:token`` and ``rating:float``.

Format: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.delimited import fixed, read_delimited
from genre_gen.data.readers.files import Folder, Table, ending, named, only
from genre_gen.data.settings import DataSettings, TextFormat
from genre_gen.errors import DataError

TYPES = ("token", "token_seq", "float", "float_seq")


class RecBole(Reader):
    """Reads ``*.inter`` and, if present, ``*.item``."""

    name = "recbole"
    suffixes = (".inter", ".item")
    separator = " "

    def recognises(self, folder: Folder) -> bool:
        """Tell whether there is a ``.inter`` file."""
        return bool(ending(folder, ".inter"))

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the item file's columns without their types."""
        name = settings.items or only(folder, ending(folder, ".item"), "data.items")
        return None if name is None else read_atomic(named(folder, name), settings.format_of("items"))

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return the interaction file's columns without their types."""
        name = settings.interactions or only(folder, ending(folder, ".inter"), "data.interactions")
        return read_atomic(named(folder, name or "*.inter"), settings.format_of("interactions"))


def read_atomic(file: Folder, form: TextFormat | None = None) -> Table:
    """Read an atomic file (``.inter``, ``.kg``, ...) as text; names lose their types. Raises DataError."""
    table = read_delimited(file, fixed(form or TextFormat(), "\t"))
    names = []
    for column in table.frame.columns:
        name, _, kind = column.rpartition(":")
        if kind not in TYPES or not name:
            raise DataError(
                f"{file}, line 1: column {name or kind!r} has no type; write it as name:type; the types are "
                + ", ".join(TYPES)
            )
        if name in names:
            raise DataError(f"{file}, line 1: column {name!r} has two types; rename one of the columns")
        names.append(name)
    return table.with_frame(table.frame.rename(dict(zip(table.frame.columns, names, strict=True))))
