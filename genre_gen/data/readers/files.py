"""Files as tables of text: decoding, delimiters, quotes, and the location of each record."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from genre_gen.data.readers.values import is_single
from genre_gen.data.settings import USUAL_COLUMNS, Columns
from genre_gen.errors import DataError

_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # an escaped surrogate; two in a row encode one character

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
    action: str  # what was done: ``dropped``, ``kept``, ``taken as unknown`` or ``left out``

    def __str__(self) -> str:
        """Return one line for the log."""
        return f"{self.file}: {self.kind}: {self.count} {self.action}, the first in {self.location} ({self.value})"


@dataclass(frozen=True)
class Table:
    """Records of one file."""

    frame: pl.DataFrame  # columns are text, except where the format itself has types (Parquet, JSON); no value is null
    file: str  # the file's name, for messages
    locate: Callable[[int], str]  # record number (from 0) -> its location, such as ``line 7``
    left_out: tuple[Problem, ...] = ()  # records that were read and left out, such as impressions without a click

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
    try:
        folder = zipfile.Path(path)
    except (zipfile.BadZipFile, OSError) as problem:
        raise DataError(f"{path}: the zip file is incomplete ({problem}); download it again") from None
    inside = [entry for entry in folder.iterdir() if not entry.name.startswith(("__MACOSX", "."))]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def named(folder: Folder, name: str) -> Folder:
    """Return a file of a folder; raises DataError that names the folder's files if it is missing."""
    file = folder / name
    if file.is_file():
        return file
    raise DataError(f"{file}: no such file; the folder has {entries(folder)}")


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


def _content(file: Folder) -> bytes:
    """Return a file's bytes; raises DataError if it cannot be extracted from its zip file, or is a bomb."""
    if isinstance(file, Path):
        return file.read_bytes()
    try:
        limit = _unpacked_limit(file.root.getinfo(file.at).compress_size)
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
    data = _content(file)
    if not file.name.endswith(".gz"):
        return data
    limit = _unpacked_limit(len(data))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            unpacked = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{file}: the gzip file is incomplete ({problem}); download it again") from None
    if len(unpacked) > limit:
        raise _bomb(file, limit)
    return unpacked


def _unpacked_limit(packed: int) -> int:
    """Return how many bytes a packed file may become; logs become 5 to 20 times as large."""
    return _MAX_RATIO * packed + _SMALL


def _bomb(file: Folder, limit: int) -> DataError:
    return DataError(
        f"{file}: becomes more than {limit / 1e6:,.0f} MB when unpacked, {_MAX_RATIO} times its size; if that is "
        "right, unpack it and name the unpacked file"
    )


def decode(file: Folder, encoding: str) -> str:
    """Return a file's text, decompressed if its name ends in ``.gz``; raises DataError that names the invalid line."""
    data = read_bytes(file)
    try:
        return data.decode("utf-8-sig" if encoding.lower().replace("_", "-") == "utf-8" else encoding)
    except LookupError:
        raise DataError(f"data.encoding {encoding!r} is not known; use 'utf-8' or 'latin-1'") from None
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise DataError(
            f"{file}, line {line}: byte 0x{data[problem.start]:02x} is not {encoding}; "
            "save the file as UTF-8, or set data.encoding in domain.toml"
        ) from None


def json_lines(file: Folder, encoding: str, parse: Callable[[str], Any] = json.loads) -> Iterator[tuple[int, Any]]:
    """Yield the number and JSON object of each line that is not blank; raises DataError."""
    for number, line in enumerate(decode(file, encoding).split("\n"), 1):
        if not line.strip():
            continue
        try:
            content = whole(parse(line), line)
        except (ValueError, RecursionError, MemoryError) as problem:
            raise DataError(
                f"{file}, line {number}: not valid JSON ({problem}); each line should hold one object"
            ) from None
        if not isinstance(content, dict):
            raise DataError(f"{file}, line {number}: expected a JSON object, not {content!r:.60}")
        yield number, content


def whole(content: Any, written: str) -> Any:
    """Return parsed JSON with lone surrogates replaced: JSON can escape them, and they are not valid text."""
    return _repaired(content) if _HALF.search(written) else content


def _repaired(content: Any) -> Any:
    if isinstance(content, str):
        return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(content, list):
        return [_repaired(part) for part in content]
    if isinstance(content, dict):
        return {_repaired(key): _repaired(value) for key, value in content.items()}
    return content


def read_delimited(file: Folder, encoding: str, separator: str = ",", **form: Any) -> Table:
    """Read a file of delimited text; see ``read_text`` for its form."""
    return read_text(decode(file, encoding), str(file), separator, **form)


def read_text(
    text: str,
    file: str,
    separator: str = ",",
    quote: str | None = '"',
    columns: Iterable[str] = (),
    required: Iterable[str] = (),
) -> Table:
    """Parse delimited text; blank lines are skipped.

    Args:
        text: the file's content.
        file: its name, for messages.
        separator: one character between values.
        quote: character around values; None if the format has none.
        columns: names, for a file without a header line.
        required: columns that must be there.

    Raises:
        DataError: an empty file, a column name twice or missing, an unclosed quote or a line with too many values.
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")  # line ends of old Mac OS
    lines = _Lines(separator.join(columns) + "\n" + text if columns else text, separator, quote, int(bool(columns)))
    try:
        header = [name.strip() for name in next(iter(lines), (0, []))[1]]
    except csv.Error as problem:
        raise DataError(f"{file}, line 1: {problem}; look for an unclosed quote") from None
    names = [name for name in header if name]  # a column without a name is left out
    if not names:
        raise DataError(f"{file}: the file is empty; expected a header line and data")
    if len(set(names)) < len(names):
        raise DataError(f"{file}: a column name is repeated in {', '.join(names)}; rename one")
    for name in required:
        if name not in names:
            raise DataError(f"{file}, line 1: no column {name!r}; the file should have {', '.join(required)}")
    content = io.BytesIO(lines.text.encode())
    try:
        frame = pl.read_csv(content, separator=separator, quote_char=quote, infer_schema=False)
    except pl.exceptions.PolarsError:
        raise _unreadable(file, lines, len(header)) from None
    if frame.width != len(header):
        raise DataError(f"{file}, line 1: the file mixes two kinds of line ends; save it with one of them")
    frame.columns = [name or f"unnamed {position}" for position, name in enumerate(header)]
    frame = frame.fill_null("").filter(pl.any_horizontal(pl.all() != ""))  # polars makes a blank line a record
    return Table(frame.select(names), file, lines.locate)


def _unreadable(file: str, lines: _Lines, columns: int) -> DataError:
    """Return the error for the first record with too many values or an unclosed quote."""
    line = 0
    try:
        for line, values in lines:
            if len(values) > columns:
                return DataError(
                    f"{file}, line {line}: {len(values)} values for {columns} columns; "
                    "quote values that contain the separator, or set data.delimiter in domain.toml"
                )
    except csv.Error as problem:
        return DataError(f"{file}, below line {line}: {problem}; look for an unclosed quote")
    return DataError(f"{file}: cannot be read as delimited text; look for an unclosed quote")


@dataclass(frozen=True)
class _Lines:
    """The lines on which the records of a delimited text begin. It is slow, so only error messages use it."""

    text: str
    separator: str
    quote: str | None
    added: int  # lines at the beginning that are not in the file

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each record that is not blank, the header first, with the number of its first line."""
        style: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if self.quote is None else {"quotechar": self.quote}
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=self.separator, **style)
        begin = 1
        for values in reader:
            if any(values):
                yield begin - self.added, values
            begin = reader.line_num + 1

    def locate(self, record: int) -> str:
        """Return the location of a record, such as ``line 7``."""
        try:
            return f"line {next(itertools.islice(self, record + 1, None))[0]}"  # + 1: the header
        except csv.Error:  # a value beyond the csv module's limit of 128 KiB
            return f"record {record + 1}"


def read_parquet(file: Folder) -> Table:
    """Read a Parquet file; raises DataError if it cannot be read."""
    data = _content(file)
    try:
        rows = pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item()
        columns = len(pl.read_parquet_schema(io.BytesIO(data)))
        if 8 * rows * columns > _unpacked_limit(len(data)):
            raise DataError(f"{file}: {rows:,} rows in {len(data):,} bytes; if that is right, save it as CSV")
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as problem:
        raise DataError(f"{file}: not a readable Parquet file: {str(problem).splitlines()[0]}") from None
    return Table(frame.with_columns(pl.col(pl.String).fill_null("")), str(file), lambda record: f"row {record + 1}")
