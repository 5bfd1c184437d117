"""Quotes in delimited text: what encloses a value, what is only written in one, and what would join whole records.

A quote encloses a value only if it stands at both ends of it. Any other is text, however many parsers drop it or go on
to the next one: a title such as ``"Heroes`` would swallow the records up to the next such title.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np

from genre_gen.data.readers.files import Problem

NONE = "none"
"""The value of ``data.quote`` and ``data.escape`` for a file without them."""

_PAIR = 2  # columns, of which a text may look like both
_QUOTE, _ESCAPE = '"', "\\"


Places: TypeAlias = tuple[int, tuple[str, ...]]
"""Values, and the line of the first of them."""


@dataclass(frozen=True)
class Quoted:
    """Text in which every value with a quote is enclosed in quotes, and quotes inside are doubled."""

    content: str
    quote: str | None  # None if there are no quotes to read
    escape: str | None = None
    strays: Places = (0, ())  # values that begin with a quote and are not enclosed
    doubtful: Places = (0, ())  # enclosed values whose lines may be records by themselves
    odd: int = 0  # number of values with quotes that enclose nothing
    whole: int = 0  # number of enclosed values

    def notes(self, file: str, added: int) -> tuple[Problem, ...]:
        """Return notes of values that may be meant otherwise; the first ``added`` lines are not in the file."""
        return tuple(
            Problem(file, f"{kind} (data.quote)", len(values), f"line {line - added}", repr(values[0][:60]), action)
            for (line, values), kind, action in (
                (self.strays, "quote that encloses no value", "read as written"),
                (self.doubtful, "quotes around what may be several values", "read as one value"),
            )
            if values
        )

    def proposed(self, given: str | None) -> str | None:
        """Return the ``data.quote`` that the text shows: ``none`` if no value is enclosed in quotes."""
        if given is not None or self.quote is None:
            return given
        doubled = any(value.startswith(self.quote * 2) for value in self.strays[1])
        if self.strays[1] and not self.whole and not doubled:
            return NONE
        return self.quote if self.quote != _QUOTE else None


def is_regular(content: str, separator: str, quote: str) -> bool:
    """Tell whether quotes open and close values in turn, and none is inside a value."""
    written = np.frombuffer(f"\n{content}\n".encode(), np.uint8)
    places = np.flatnonzero(written == ord(quote))
    opening, closing = written[places[0::2] - 1], written[places[1::2] + 1]
    begins = (opening == ord(separator)) | (opening == ord("\n"))
    ends = (closing == ord(separator)) | (closing == ord("\n")) | (closing == ord("\r"))
    return len(places) % 2 == 0 and bool(begins.all() and ends.all())


def tidied(content: str, separator: str, quote: str | None, escape: str | None, columns: int) -> Quoted:
    """Return text that every parser reads in the same way.

    Args:
        content: the text.
        separator: one character between values.
        quote: the character around values; None lets the text decide, ``none`` stands for none.
        escape: the character before quotes inside values; None and ``none`` as above.
        columns: number of values of a record. If ``quote`` is None, a quoted value over several lines that are records
            by themselves is not taken for one value.
    """
    mark = _QUOTE if quote is None else quote
    if quote is None and all_in_apostrophes(content, separator):
        mark = "'"
    limit = columns if quote is None else 0
    if escape is None and mark != NONE and _ESCAPE + mark in content:
        plain, escaped = (_tidied(content, separator, mark, each, limit) for each in (None, _ESCAPE))
        return escaped if escaped.odd < plain.odd else plain
    return _tidied(content, separator, mark, None if escape == NONE else escape, limit)


def all_in_apostrophes(content: str, separator: str) -> bool:
    """Tell whether the names of all columns are in single quotes."""
    names = content.partition("\n")[0].strip().split(separator)
    return len(names) > 1 and all(re.fullmatch("'[^']*'", name) for name in names)


def _tidied(content: str, separator: str, quote: str, escape: str | None, columns: int) -> Quoted:
    pattern, mark = _pattern(separator, quote, escape), _QUOTE if quote == NONE else quote
    parts: list[str] = []
    strays: list[tuple[int, str]] = []
    doubtful: list[tuple[int, str]] = []
    at = done = odd = whole = 0
    while (match := pattern.search(content, at)) is not None:
        begin, at = match.span()
        written, enclosed = match[0], match.lastgroup == "whole"
        spans = enclosed and columns > 1 and ("\n" in written or separator in written)
        joins = spans and _joins_records(content, begin, at, separator, columns)
        if joins is None:
            doubtful.append((begin, written))
        elif joins:
            at = min(end for end in (content.find(separator, begin), content.find("\n", begin)) if end >= 0)
            written, enclosed = content[begin:at].rstrip("\r"), False
            at = begin + len(written)
        if enclosed:
            whole += 1
            value = written.strip(" ")
            if escape is not None and escape in value:
                value = mark + _doubled(_unescaped(value[1:-1], separator, mark, escape, enclosed=True), mark) + mark
            if value == written:
                continue
        else:
            odd += 1
            if quote != NONE and written.startswith(quote):
                strays.append((begin, written))
            value = mark + _doubled(_unescaped(written, separator, mark, escape, enclosed=False), mark) + mark
        parts += (content[done:begin], value)
        done = at
    text = "".join((*parts, content[done:])) if parts else content
    return Quoted(text, mark, escape, _places(content, strays), _places(content, doubtful), odd, whole)


def _places(content: str, found: list[tuple[int, str]]) -> Places:
    line = content.count("\n", 0, found[0][0]) + 1 if found else 0
    return line, tuple(value for _, value in found)


@cache
def _pattern(separator: str, quote: str, escape: str | None) -> re.Pattern[str]:
    """Return a pattern of values: ``whole`` ones, enclosed in quotes, and others with a quote or an escape."""
    between = re.escape(separator)
    begin, end = rf"(?:\A|(?<=[{between}\n]))", rf"(?=[{between}\r\n]|\Z)"
    mark, other = re.escape(quote), "" if escape is None else re.escape(escape)
    escaped = rf"|{other}." if escape is not None else ""
    special = "|".join(filter(None, ((_QUOTE if quote == NONE else mark), other and f"{other}.")))
    plain = "".join(filter(None, (re.escape(_QUOTE) if quote == NONE else mark, other)))
    odd = rf"{begin}[^{between}\r\n{plain}]*(?:{special})(?:[^{between}\r\n{other}]{escaped})*+"
    if quote == NONE:
        return re.compile(odd, re.DOTALL)
    whole = rf"{begin}(?P<whole> *{mark}(?:[^{mark}{other}]|{mark}{mark}{escaped})*+{mark} *){end}"
    return re.compile(f"{whole}|{odd}", re.DOTALL)


def _joins_records(content: str, begin: int, end: int, separator: str, columns: int) -> bool | None:
    """Tell whether each line of a value is a record by itself: as many values, and a similar first one.

    None if the number of values is right, but nothing else tells.
    """
    start, stop = content.rfind("\n", 0, begin) + 1, content.find("\n", end)
    lines = [line for line in content[start : stop if stop >= 0 else len(content)].split("\n") if line.strip()]
    if any(line.count(separator) != columns - 1 for line in lines):
        return False
    written = content[begin:end]
    if len(lines) == 1:
        return True if separator == "\t" else None if f"{separator} " not in written else False
    first, *others = (line.partition(separator)[0].strip("\"' \r") for line in lines)
    if first.isdigit():
        return all(map(str.isdigit, others)) or None
    spaced, numbered = " " in first, any(map(str.isdigit, first))
    fitting = all((spaced or " " not in other) and any(map(str.isdigit, other)) >= numbered for other in others)
    return (fitting and all(others) and (numbered or columns > _PAIR or separator == "\t")) or None


def _unescaped(value: str, separator: str, quote: str, escape: str | None, *, enclosed: bool) -> str:
    """Return what was meant by a value: without escapes, and with single quotes for doubled ones."""
    if escape is not None:
        value = re.sub(rf"{re.escape(escape)}([{re.escape(separator + quote + escape)}\r\n])", r"\1", value)
        return value.replace(quote * 2, quote) if enclosed else value
    return value.replace(quote * 2, quote) if value.startswith(quote * 2) else value


def _doubled(value: str, quote: str) -> str:
    return value.replace(quote, quote * 2)
