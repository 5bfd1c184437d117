"""Lists of labels, however a table writes them: as a type of its own, or in brackets as Python, JSON and R do.

Objects stand for their names: ``[{'id': 18, 'name': 'Drama'}]`` is one label, ``Drama``. Nothing is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import polars as pl

_NAMES = ("name", "label", "title", "value", "text", "tag", "description")
_BRACKETS = r"(?s)^\s*(?:\[.*\]|\{.*\}|\(.*\)|c\(.*\)|character\(0\))\s*$"
_TOKEN = re.compile(
    r"\s*(?:[uUbBrR]?(?P<text>'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\")|(?P<mark>c?\(|[\[\]){},:])"
    r"|(?P<word>None|null|nan|NaN|NA|True|False|true|false|[-+]?\d[\d.eE+-]*))\s*",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "", "f": ""}
_CLOSING = {"[": "]", "(": ")", "c(": ")", "{": "}"}
_NONE = {"None", "null", "nan", "NaN", "NA"}
_LONGEST, _DEEPEST = 1 << 20, 20  # characters; brackets in brackets
_MOSTLY = 0.95


def is_list(column: pl.Series) -> bool:
    """Tell whether a column is of a type of lists."""
    return isinstance(column.dtype, (pl.List, pl.Array))


def elements(column: pl.Series) -> pl.Series:
    """Return the elements of a column of lists, one after the other; of objects, their names."""
    return lists(column).explode()


def lists(column: pl.Series) -> pl.Series:
    """Return a column of lists as lists of single values; of objects, their names."""
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    if not isinstance(inner, pl.Struct):
        return column
    texts = [field.name for field in inner.fields if field.dtype == pl.String]
    name = next((name for name in _NAMES if name in texts), texts[0] if len(texts) == 1 else None)
    if name is None:
        return column
    return column.to_frame().select(pl.nth(0).list.eval(pl.element().struct.field(name))).to_series()


def in_brackets(written: pl.Series) -> pl.Series:
    """Tell which texts are in brackets."""
    return written.str.contains(_BRACKETS)


def read_brackets(written: pl.Series) -> dict[str, list[str]]:
    """Return the labels of each text that is a list in brackets.

    Labels without quotes (``[Drama, Crime]``) count if nearly all texts of the column are in brackets.
    """
    inside = in_brackets(written)
    if not inside.any():
        return {}
    known = int((written != "").sum())
    bare = int(inside.sum()) >= _MOSTLY * known
    found = {value: parsed(value, bare=bare) for value in written.filter(inside).unique(maintain_order=True).to_list()}
    return {value: labels for value, labels in found.items() if labels is not None}


def parsed(written: str, *, bare: bool = False) -> list[str] | None:
    """Return the labels of a list in brackets, or None; ``bare``: labels may lack quotes."""
    if len(written) > _LONGEST:
        return None
    if written.strip() == "character(0)":
        return []
    try:
        tokens = _Tokens(written)
        content = tokens.value(0)
        if not tokens.at_end:
            raise ValueError(written)
        return list(_named(content, alone=True) if isinstance(content, dict) else _labels(content))
    except (ValueError, IndexError):
        if bare and written.strip().startswith("[") and not re.search(r"[{}\[\]\"]", written.strip()[1:-1]):
            return [label for label in (part.strip() for part in written.strip()[1:-1].split(",")) if label]
        return None


class _Tokens:
    """The tokens of one text; every method raises ValueError for anything but a list."""

    def __init__(self, written: str) -> None:
        """Start before the first token."""
        self._text, self._at = written, 0

    @property
    def at_end(self) -> bool:
        """Tell whether all is read."""
        return self._at == len(self._text)

    def _next(self, *, take: bool = True) -> tuple[str, str]:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.lastgroup is None:
            raise ValueError(self._text)
        if take:
            self._at = match.end()
        return match.lastgroup, match[match.lastgroup]

    def value(self, depth: int) -> Any:
        """Return the next value: a text, None, a list, or a dict."""
        kind, piece = self._next()
        if kind == "text":
            return _unescaped(piece[1:-1])
        if kind == "word":
            return None if piece in _NONE else piece
        if piece not in _CLOSING or depth > _DEEPEST:
            raise ValueError(piece)
        items: list[Any] = []
        pairs: dict[str, Any] = {}
        while True:
            kind, mark = self._next(take=False)
            if kind == "mark" and mark in (",", _CLOSING[piece]):
                self._next()
                if mark != ",":
                    return pairs or items
                continue
            item = self.value(depth + 1)
            if piece == "{" and not self.at_end and self._next(take=False) == ("mark", ":"):
                self._next()
                pairs[str(item)] = self.value(depth + 1)
            else:
                items.append(item)


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text

    def letter(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else _LETTERS.get(code, code)

    return _ESCAPE.sub(letter, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _labels(content: Any) -> Iterator[str]:
    """Yield the labels in parsed content; raises ValueError for objects without a name."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from _labels(part)
    elif isinstance(content, dict):
        yield from _named(content, alone=False)


def _named(content: dict[str, Any], *, alone: bool) -> Iterator[str]:
    """Yield an object's name; of one that is ``alone`` and counts or weighs its keys, the keys."""
    name = next((content[key] for key in _NAMES if isinstance(content.get(key), str)), None)
    texts = [value for value in content.values() if isinstance(value, str) and not _is_number(value)]
    if name is not None:
        yield name
    elif len(texts) == 1:
        yield texts[0]
    elif alone and all(isinstance(value, str) and _is_number(value) for value in content.values()):
        yield from content
    else:
        raise ValueError(content)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d[\d.eE+-]*", text) is not None
