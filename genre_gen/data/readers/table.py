"""Plain tables: a file of interactions and optionally one of items, as CSV, TSV or Parquet."""

from __future__ import annotations

from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.files import Folder, Table, named, read_delimited, read_parquet
from genre_gen.data.settings import DataSettings
from genre_gen.errors import DataError


class PlainTable(Reader):
    """Reads ``interactions`` and ``items`` files, by these names or as ``domain.toml`` names them."""

    name = "table"
    suffixes = (".csv", ".tsv", ".txt", ".parquet")

    def recognises(self, folder: Folder) -> bool:
        """Tell whether there is an ``interactions`` table."""
        return _find(folder, "interactions") is not None

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the item table."""
        name = settings.items or _find(folder, "items")
        return None if name is None else read_table(named(folder, name), settings)

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return the interaction table."""
        name = settings.interactions or _find(folder, "interactions")
        return read_table(named(folder, name or "interactions.csv"), settings)


def _find(folder: Folder, stem: str) -> str | None:
    return next((stem + suffix for suffix in PlainTable.suffixes if (folder / (stem + suffix)).is_file()), None)


def read_table(file: Folder, settings: DataSettings) -> Table:
    """Read a table in the format given by its suffix; raises DataError."""
    if file.name.endswith(".parquet"):
        return read_parquet(file)
    if not file.name.endswith(PlainTable.suffixes):
        raise DataError(f"{file}: not a known type of table; use {', '.join(PlainTable.suffixes)}")
    separator = settings.delimiter or ("\t" if file.name.endswith(".tsv") else ",")
    return read_delimited(file, settings.encoding, separator)
