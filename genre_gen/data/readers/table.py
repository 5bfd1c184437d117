"""Plain tables: a file of interactions and optionally one of items, as delimited text, JSON or Parquet."""

from __future__ import annotations

from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.delimited import read_text
from genre_gen.data.readers.encodings import decode
from genre_gen.data.readers.files import Folder, Table, named
from genre_gen.data.readers.json_tables import read_json
from genre_gen.data.readers.parquet import read_parquet
from genre_gen.data.settings import DataSettings, TextFormat
from genre_gen.errors import DataError

_JSON = (".jsonl", ".ndjson", ".json")
_TEXT = (".csv", ".tsv", ".txt", ".dat")


class PlainTable(Reader):
    """Reads ``interactions`` and ``items`` files, by these names or as ``domain.toml`` names them.

    ``kinds`` are the endings of files that are not packed.
    """

    name = "table"
    kinds = (*_TEXT, *_JSON, ".parquet")
    suffixes = (*kinds, *(suffix + packed for suffix in (*_TEXT, *_JSON) for packed in (".gz", ".zip")), ".zip")

    def recognises(self, folder: Folder) -> bool:
        """Tell whether there is an ``interactions`` table."""
        return _find(folder, "interactions") is not None

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the item table."""
        name = settings.items or _find(folder, "items")
        return None if name is None else read_table(named(folder, name), settings.format_of("items"))

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return the interaction table."""
        name = settings.interactions or _find(folder, "interactions")
        return read_table(named(folder, name or "interactions.csv"), settings.format_of("interactions"))


def _find(folder: Folder, stem: str) -> str | None:
    return next((stem + suffix for suffix in PlainTable.suffixes if (folder / (stem + suffix)).is_file()), None)


def read_table(file: Folder, form: TextFormat | None = None) -> Table:
    """Read a table in the format given by its suffix; raises DataError."""
    name = file.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return read_parquet(file)
    if name.endswith(_JSON):
        return read_json(decode(file, None if form is None else form.encoding))
    if not name.endswith(_TEXT):
        raise DataError(
            f"{file}: not a known type of table; use {', '.join(PlainTable.kinds)}, also packed as .gz or .zip"
        )
    text = decode(file, None if form is None else form.encoding)
    return read_json(text) if text.content.lstrip().startswith("{") else read_text(text, form)
