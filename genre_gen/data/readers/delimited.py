"""Delimited text as tables: separators, quotes, lines above the header, and the location of each record."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from genre_gen.data.readers.encodings import Text, decode
from genre_gen.data.readers.files import Folder, Problem, Table
from genre_gen.data.readers.quotes import NONE, Quoted, all_in_apostrophes, is_regular, tidied
from genre_gen.data.readers.sequences import read_sequences
from genre_gen.data.settings import TextFormat
from genre_gen.errors import DataError

_DELIMITERS = (",", ";", "\t", "|", "::")
_INSIDE = "\x1f"  # stands for a delimiter of several characters, since polars takes one
_EXCEL = re.compile(r'"?sep=(.)"?[,;\t ]*\r?\n', re.IGNORECASE)
_COMMENT = re.compile(r"[ \t]*#.*\n|[ \t\r]*\n")
VALUE = re.compile(r"[-+]?\d+([.,]\d+)?|\d{4}-\d\d-\d\d.*")
"""Values, which are not names of columns."""
_BLOCK = re.compile(r"\S+:")


def read_delimited(file: Folder, form: TextFormat | None = None, usual: str | None = None, **layout: Any) -> Table:
    """Read a file of delimited text; see ``decode`` for ``usual`` and ``read_text`` for its layout."""
    form = form or TextFormat()
    return read_text(decode(file, form.encoding, usual), form, **layout)


def fixed(form: TextFormat, delimiter: str) -> TextFormat:
    """Return a form with a format's own delimiter, and without quotes."""
    return form.model_copy(update={"delimiter": delimiter, "quote": NONE, "escape": NONE})


def read_text(
    text: Text,
    form: TextFormat | None = None,
    columns: Sequence[str] = (),
    required: Iterable[str] = (),
    least: int | None = None,
) -> Table:
    """Parse delimited text; blank lines are skipped.

    Args:
        text: the file's content.
        form: its delimiter and quotes; what it does not say is found out.
        columns: names, for a file without a header line.
        required: columns that must be there.
        least: number of values that a file without a header line must have; by default that of the columns.

    Raises:
        DataError: an empty file, a column name twice or missing, or a line with too many values.
    """
    form = form or TextFormat()
    content = text.content if "\n" in text.content else text.content.replace("\r", "\n")  # line ends of old Mac OS
    if not columns and form.delimiter is None and (found := read_sequences(content, text.file)) is not None:
        return found.with_notes(text.notes)
    content, separator, skipped, notes = _above(content, text.file, headed=not columns)
    separator = form.delimiter or separator or delimiter_of(content, text.file)
    parser = _Parser(text.file, content, separator, form, columns, skipped)
    header = parser.header(least)
    names = [name for name in header if name]  # a column without a name is left out
    if not names:
        raise DataError(f"{text.file}: the file is empty; expected a header line and data")
    if len(set(names)) < len(names):
        raise DataError(f"{text.file}: a column name is repeated in {', '.join(names)}; rename one")
    for name in required:
        if name not in names:
            raise DataError(f"{text.file}, line 1: no column {name!r}; the file should have {', '.join(required)}")
    frame = parser.frame(len(header))
    frame.columns = [name or f"unnamed {position}" for position, name in enumerate(header)]
    frame = frame.fill_null("").filter(pl.any_horizontal(pl.all() != ""))  # polars makes a blank line a record
    notes = (*text.notes, *notes, *parser.notes())
    return Table(frame.select(names), text.file, parser.lines.locate, notes, parser.form(text.encoding))


class _Parser:
    """The parsing of one text."""

    def __init__(
        self, file: str, content: str, separator: str, form: TextFormat, columns: Sequence[str], skipped: int
    ) -> None:
        """Start without having looked at the quotes."""
        self._file, self._form, self._columns, self._named = file, form, columns, separator
        self._several = len(separator) > 1
        if self._several:
            content, separator = content.replace(separator, _INSIDE), _INSIDE
        self._separator = separator
        self._content = separator.join(columns) + "\n" + content if columns else content
        self._added = int(bool(columns)) - skipped
        self._quoted: Quoted | None = None

    @property
    def lines(self) -> _Lines:
        """Return the lines of the text."""
        quoted = self._quoted
        quote = quoted.quote if quoted is not None else None if self._form.quote == NONE else self._form.quote or '"'
        return _Lines(self._content if quoted is None else quoted.content, self._separator, quote, self._added)

    def header(self, least: int | None) -> list[str]:
        """Return the names of the columns, after a look at quotes, and at the first line of a file without names."""
        first = self._content.partition("\n")[0]
        self._width = len(self._columns) or first.count(self._separator) + 1
        quote, escape = self._form.quote, self._form.escape or NONE
        if quote != NONE or escape != NONE:
            mark = quote or '"'
            single = quote is None and all_in_apostrophes(first, self._separator)
            if single or escape != NONE or (mark in self._content and not self._is_regular(mark)):
                self._tidy()
        try:
            records = list(itertools.islice(self.lines, 2))
        except csv.Error as problem:
            raise DataError(f"{self._file}, line 1: {problem}; look for an unclosed quote") from None
        if self._columns and len(records) > 1 and len(records[1][1]) < (least or len(self._columns)):
            line, values = records[1]
            raise DataError(
                f"{self._file}, line {line}: {len(values)} values, but the format has {len(self._columns)}: "
                f"{', '.join(self._columns)}; add the missing ones, or write a header line and set data.reader = "
                '"table"'
            )
        names = [name.strip() for name in records[0][1]] if records else []
        self._width = len(names)
        return names

    def _is_regular(self, mark: str) -> bool:
        escaped = f"\\{mark}" in self._content
        return not escaped and is_regular(self._content, self._separator, mark)

    def _tidy(self) -> None:
        form = self._form
        self._quoted = tidied(self._content, self._separator, form.quote, form.escape, self._width)

    def frame(self, columns: int) -> pl.DataFrame:
        """Return the records as text; raises DataError for those that cannot be read."""
        frame = self._parsed()
        first_look = self._quoted is None and self._form.quote != NONE and '"' in self._content
        if first_look and (frame is None or (self._form.quote is None and self._may_join(frame))):
            self._tidy()
            frame = self._parsed()
        if frame is None:
            raise self._unreadable(columns)
        if frame.width != columns:
            raise DataError(f"{self._file}, line 1: the file mixes two kinds of line ends; save it with one of them")
        if self._several and self.lines.quote is not None:
            frame = frame.with_columns(pl.all().str.replace_all(_INSIDE, self._named, literal=True))
        return frame

    def _parsed(self) -> pl.DataFrame | None:
        lines = self.lines
        content = io.BytesIO(lines.text.encode())
        try:
            return pl.read_csv(content, separator=self._separator, quote_char=lines.quote, infer_schema=False)
        except pl.exceptions.PolarsError:
            return None

    def _may_join(self, frame: pl.DataFrame) -> bool:
        """Tell whether there are fewer records than lines, or a separator in a record that lacks values."""
        if len(frame) < self._content.rstrip("\r\n").count("\n"):
            return True
        short = frame.filter(
            pl.nth(-1).is_null() & pl.any_horizontal(pl.all().str.contains(self._separator, literal=True))
        )
        return len(short) > 0

    def _unreadable(self, columns: int) -> DataError:
        """Return the error for the first record with too many values."""
        line = 0
        try:
            for line, values in self.lines:
                if len(values) > columns:
                    return DataError(
                        f"{self._file}, {self._first_cause()}line {line}: {len(values)} values for {columns} columns; "
                        "quote values that contain the separator, or set data.delimiter, data.quote or data.escape in "
                        "domain.toml"
                    )
        except csv.Error as problem:
            return DataError(f"{self._file}, below line {line}: {problem}; look for an unclosed quote")
        return DataError(f"{self._file}: cannot be read as delimited text; look for an unclosed quote")

    def _first_cause(self) -> str:
        """Return what is wrong with the first line, if it has no names of columns; "" if it may have."""
        names = next(iter(self.lines), (0, []))[1]
        if len(names) == 1 and _BLOCK.fullmatch(names[0]):
            return f"line 1: {names[0]!r} begins a block; put {names[0][:-1]!r} into each of its lines, as a value; "
        if self._columns or not any(VALUE.fullmatch(name) for name in names):
            return ""
        return (
            f"line 1: looks like data ({', '.join(names)[:60]}), not like names of columns; put a line of names first; "
        )

    def notes(self) -> tuple[Problem, ...]:
        """Return what was found out about quotes."""
        return () if self._quoted is None else self._quoted.notes(self._file, self._added)

    def form(self, encoding: str) -> TextFormat:
        """Return how the text is written."""
        quoted = self._quoted
        quote = self._form.quote if quoted is None else quoted.proposed(self._form.quote)
        escape = self._form.escape if quoted is None else quoted.escape
        return TextFormat(encoding=encoding, delimiter=self._named, quote=quote, escape=escape)


def delimiter_of(content: str, file: str) -> str:
    """Return the separator that is most frequent in a header line; a tie goes to the usual one of the file's name."""
    lines = [line for line in content[: 1 << 16].split("\n", 11)[:10] if line.strip()]
    header, usual = re.sub('"[^"]*"', "", lines[0]) if lines else "", usual_delimiter(file)
    if usual == "\t" and usual in header:
        return usual
    best = max(_DELIMITERS, key=lambda each: (header.count(each), each == usual))
    if best in header:
        return best
    words = {len(line.split(" ")) for line in lines}
    return " " if len(words) == 1 and max(words) > 1 and len(lines) > 1 else usual


def usual_delimiter(file: str) -> str:
    """Return the separator of a file's ending."""
    return "\t" if re.search(r"\.tsv(\.gz|\.zip)?$", file) else ","


def _above(content: str, file: str, *, headed: bool) -> tuple[str, str | None, int, tuple[Problem, ...]]:
    """Return a text without what Excel and others write above the data.

    This is the separator, as ``sep=;``, which is returned too, blank lines and lines of ``#``, which are noted. The
    last line of ``#`` may be the header. The number of these lines is returned as well.
    """
    at, separator, comments = 0, None, list[str]()
    if (said := _EXCEL.match(content)) is not None:
        at, separator = said.end(), said[1]
    while headed and (match := _COMMENT.match(content, at)) is not None:
        comments += [match[0].strip()] if "#" in match[0] else []
        at = match.end()
    above, rest = content[:at], content[at:]
    if comments and (header := _header_in(comments[-1], rest, separator or delimiter_of(rest, file))) is not None:
        last = comments.pop()
        above = above[: above.rindex(last)]
        rest = content[len(above) :].replace(last, header, 1)
    skipped = above.count("\n")
    if not comments:
        return rest, separator, skipped, ()
    line = content[: content.index(comments[0])].count("\n") + 1
    note = Problem(file, "comment above the data", len(comments), f"line {line}", repr(comments[0][:60]), "left out")
    return rest, separator, skipped, (note,)


def _header_in(comment: str, rest: str, separator: str) -> str | None:
    """Return the names of columns in a line of ``#``, if the next line is data with as many values."""
    first, _, others = rest.partition("\n")
    second = others.partition("\n")[0]
    bare = comment.lstrip("# ")
    names, one, two = (line.strip().split(separator) for line in (bare, first, second))
    if len(names) == 1 or len(names) != len(one):
        return None
    if not any(map(VALUE.fullmatch, one)) and (any(map(VALUE.fullmatch, two)) or any(" " in name for name in names)):
        return None
    return bare if names[0] else comment


@dataclass(frozen=True)
class _Lines:
    """The lines on which the records of a delimited text begin. It is slow, so only error messages use it."""

    text: str
    separator: str
    quote: str | None
    added: int  # lines at the beginning that are not in the file; negative for lines that were left out

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
