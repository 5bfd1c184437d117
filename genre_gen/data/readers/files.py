"""Tables and the files they are read from: folders, zip files, packed bytes."""

from __future__ import annotations

import difflib
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import polars as pl

from genre_gen.data.readers.values import is_single
from genre_gen.data.settings import USUAL_COLUMNS, Columns, TextFormat
from genre_gen.errors import DataError

SHOWN = "shown and not clicked"
"""The kind of problem under which impressions without a click are counted."""

_MAX_RATIO, _SMALL = 100, 64 << 20  # of unpacked to packed bytes; and bytes that are always allowed

Folder: TypeAlias = Path | zipfile.Path
"""A folder on disk or inside a zip file."""


@dataclass(frozen=True)
class Problem:
    """One kind of problem in one file."""

    file: str  # the file's name
    kind: str  # what is wrong, such as ``rating outside 1 to 5``
    count: int  # number of records with the problem
    location: str  # of the first such record, such as ``line 7``
    value: str  # the text in that record, quoted
    action: str  # what was done, such as ``dropped``, ``kept``, ``taken as unknown`` or ``read as cp1252``

    def __str__(self) -> str:
        """Return one line for the log."""
        return f"{self.file}: {self.kind}: {self.count} {self.action}, the first in {self.location} ({self.value})"


@dataclass(frozen=True)
class Table:
    """Records of one file."""

    frame: pl.DataFrame  # columns are text, except where the format itself has types (Parquet, JSON); no value is null
    file: str  # the file's name, for messages
    locate: Callable[[int], str]  # record number (from 0) -> its location, such as ``line 7``
    notes: tuple[Problem, ...] = ()  # what was found while reading, such as impressions without a click
    form: TextFormat | None = None  # how the file is written, if it is text

    def with_notes(self, notes: tuple[Problem, ...]) -> Table:
        """Return the same table with notes before its own."""
        return replace(self, notes=(*notes, *self.notes))

    def with_frame(self, frame: pl.DataFrame) -> Table:
        """Return a table of the same records with other columns."""
        return replace(self, frame=frame)

    def column(self, names: Iterable[str], meaning: str, key: str) -> str:
        """Return the first of some column names that the table has.

        ``meaning`` (the column's content) and ``key`` (the setting that names it) are used in the message.

        Raises:
            DataError: there is none; the message names the existing columns and the closest one.
        """
        names, existing = tuple(names), self.frame.columns
        if name := next((name for name in names if name in existing), None):
            return name
        close = [match for name in names for match in difflib.get_close_matches(name, existing, n=1)]
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise DataError(
            f"{self.file}: no column {' or '.join(map(repr, names))} for the {meaning}; it has "
            f"{', '.join(existing) or 'none'}; {hint}set {key} in domain.toml"
        )

    def series(self, names: Iterable[str], meaning: str, key: str) -> pl.Series:
        """Return the first of some columns that the table has, see ``column``; it has one string or number a record.

        Raises:
            DataError: there is none, or it contains lists or bytes that are not valid text.
        """
        values = self.frame[self.column(names, meaning, key)]
        if not is_single(values):
            raise DataError(
                f"{self.file}: column {values.name!r} has type {values.dtype}, not one string or number a record; name "
                f"another as {key} in domain.toml"
            )
        return values

    def optional(self, columns: Columns, role: str) -> pl.Series | None:
        """Return the column that the domain names for a role, else a column with a usual name, else None."""
        names = getattr(columns, role)
        if names is None:
            names = [name for name in USUAL_COLUMNS.get(role, ()) if name in self.frame.columns]
        return self.series(names, role, f"data.columns.{role} ([] for none)") if names else None


def open_folder(path: Path) -> Folder:
    """Open a folder or zip file; a zip file's single top folder is entered. Raises DataError for anything else."""
    if path.is_dir():
        return path
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; correct the path, or fetch the data first")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: neither a folder nor a zip file")
    folder = zipfile.Path(_zip(path))
    inside = visible(folder)
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as problem:
        raise DataError(f"{path}: the zip file is incomplete ({problem}); download it again") from None


def visible(folder: Folder) -> list[Folder]:
    """Return the entries of a folder without those that systems hide."""
    return [entry for entry in folder.iterdir() if not entry.name.startswith(("__MACOSX", "."))]


def _at(entry: Folder) -> str:
    return entry.name if isinstance(entry, Path) else entry.at


def only_inside(file: Path) -> Folder:
    """Return the only file in a zip file; raises DataError for none or several."""
    folder = open_folder(file)
    files = [entry for entry in visible(folder) if entry.is_file()]
    if len(files) == 1:
        return files[0]
    names = ", ".join(f"{file.name}/{at}" for at in sorted(_at(entry) for entry in files)[:10]) or "no files"
    raise DataError(f"{file}: a table is one file, and this has {len(files)}; name one of {names}")


def named(folder: Folder, name: str) -> Folder:
    """Return a file of a folder; raises DataError that names the folder's files if it is missing."""
    file = folder / name
    if file.is_file():
        return only_inside(file) if name.endswith(".zip") and isinstance(file, Path) else file
    archive, packed, inside = name.partition(".zip/")
    if packed and isinstance(file, Path) and (folder / f"{archive}.zip").is_file():
        return named(zipfile.Path(_zip(Path(str(folder), f"{archive}.zip"))), inside)
    *above, _ = name.split("/")
    parent = folder / "/".join(above) if above else folder
    raise DataError(f"{file}: no such file; the folder has {entries(parent if parent.is_dir() else folder)}")


def on_disk(path: Path) -> tuple[Path, str]:
    """Return the folder of a file and its name in it; of a file inside a zip file, the folder of the zip file."""
    archive = next((parent for parent in path.parents if parent.suffix == ".zip" and parent.is_file()), path)
    return archive.parent, path.relative_to(archive.parent).as_posix()


def entries(folder: Folder) -> str:
    """Return the names of the first files and folders in a folder, for messages."""
    return ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"


def ending(folder: Folder, *suffixes: str) -> list[str]:
    """Return the sorted names of a folder's files with one of some suffixes."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file() and entry.name.endswith(suffixes))


def only(folder: Folder, names: Sequence[str], key: str) -> str | None:
    """Return the only name, or None without names; raises DataError for several, which asks to set ``key``."""
    if len(names) > 1:
        raise DataError(f"{folder}: several files match ({', '.join(names)}); name one as {key} in domain.toml")
    return names[0] if names else None


def content_of(file: Folder) -> bytes:
    """Return a file's bytes; raises DataError if it cannot be extracted from its zip file, or is a bomb."""
    if isinstance(file, Path):
        return file.read_bytes()
    try:
        limit = unpacked_limit(file.root.getinfo(file.at).compress_size)
        with file.open("rb") as stream:
            data = stream.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as problem:
        raise DataError(f"{file}: damaged in its zip file ({problem}); download or pack it again") from None
    except RuntimeError as problem:  # a password
        raise DataError(f"{file}: cannot be unpacked ({problem}); unpack the zip file and name the folder") from None
    if len(data) > limit:
        raise _bomb(file, limit)
    return data


def read_bytes(file: Folder) -> bytes:
    """Return a file's content, decompressed if its name ends in ``.gz``; raises DataError if that fails."""
    data = content_of(file)
    if not file.name.endswith(".gz"):
        return data
    limit = unpacked_limit(len(data))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            unpacked = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{file}: the gzip file is incomplete ({problem}); download it again") from None
    if len(unpacked) > limit:
        raise _bomb(file, limit)
    return unpacked


def unpacked_limit(packed: int) -> int:
    """Return how many bytes a packed file may become; logs become 5 to 20 times as large."""
    return _MAX_RATIO * packed + _SMALL


def _bomb(file: Folder, limit: int) -> DataError:
    return DataError(
        f"{file}: becomes more than {limit / 1e6:,.0f} MB when unpacked, {_MAX_RATIO} times its size; if that is "
        "right, unpack it and name the unpacked file"
    )
