"""Functions that the writers share."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl

from genre_gen.data.catalog import Catalog
from genre_gen.errors import DataError
from genre_gen.folders.output import writing

_SEPARATORS = "|;,/^~"


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file next to its place and put it there when it is whole; the folder is made."""
    unfinished = path.with_name(path.name + ".part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(unfinished)
        unfinished.replace(path)


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a Parquet file whose texts others read as Arrow's ``string``.

    Polars writes the types of Arrow into the file's footer, with ``large_string`` for texts, which LensKit refuses.
    Under another key of the same length no reader looks for them.
    """
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    content = buffer.getvalue()
    begin = len(content) - 8 - int.from_bytes(content[-8:-4], "little")  # length and the mark PAR1 come last
    path.write_bytes(content[:begin] + content[begin:].replace(b"ARROW:schema", b"polars:arrow"))


def separator_of(catalog: Catalog, first: str = "") -> str:
    """Return a separator for labels in one text: the first of some marks that no label contains.

    ``first`` is tried before the usual ones.

    Raises:
        DataError: labels contain all of them.
    """
    used: set[str] = set()
    for item in catalog:
        for value in item.attributes.values():
            used.update(*value if isinstance(value, tuple) else ())
    for mark in first + _SEPARATORS:
        if mark not in used:
            return mark
    raise DataError(f"{catalog.name}: labels contain each of {' '.join(_SEPARATORS)}; write Parquet, which keeps lists")


def joined(frame: pl.DataFrame, separator: str) -> pl.DataFrame:
    """Return a frame whose lists of labels are one text each."""
    lists: Iterable[str] = (name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List))
    return frame.with_columns(pl.col(name).list.join(separator) for name in lists)
