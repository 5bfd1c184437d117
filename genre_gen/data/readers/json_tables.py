"""JSON as tables: one object a line, or a list of objects; a line may also be a Python literal."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from genre_gen.data.readers.encodings import Text
from genre_gen.data.readers.files import Table
from genre_gen.data.settings import TextFormat
from genre_gen.errors import DataError

_TYPED = ("$date", "$oid", "$numberLong", "$numberInt", "$numberDouble", "$numberDecimal")  # of MongoDB's exports
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # an escaped surrogate; two in a row encode one character


def read_json(text: Text) -> Table:
    """Read a table of JSON: one object a line, a list of objects, or an object of columns as pandas writes it.

    Raises:
        DataError: it is something else.
    """
    content = text.content.lstrip()
    single = content.startswith("[") or (content.startswith("{") and "}\n{" not in content.replace("\r", ""))
    whole_file = _document(text) if single else None
    if isinstance(whole_file, dict) and (columns := _columns_of(whole_file)) is not None:
        return _table(text, columns, lambda record: f"row {record + 1}")
    if isinstance(whole_file, list):
        for number, record in enumerate(whole_file, 1):
            if not isinstance(record, dict):
                raise DataError(f"{text.file}, record {number}: expected a JSON object, not {record!r:.60}")
        return _table(text, _turned(whole_file), lambda record: f"record {record + 1}")
    numbers, records = zip(*json_lines(text, loose), strict=True) if content else ((), ())
    return _table(text, _turned(records), lambda record: f"line {numbers[record]}")


def _document(text: Text) -> Any:
    """Return the content of a file that may be one JSON value; None if it is not."""
    try:
        return whole(json.loads(text.content), text.content)
    except (ValueError, RecursionError, MemoryError) as problem:
        if text.content.lstrip().startswith("["):
            raise DataError(f"{text.file}: not valid JSON: {problem}") from None
        return None  # the error of the line is told by ``json_lines``


def _columns_of(content: dict[str, Any]) -> dict[str, list[Any]] | None:
    """Return the columns of an object of objects by row, or of lists; None if it is a record."""
    values = list(content.values())
    if values and all(isinstance(value, dict) and value.keys() == values[0].keys() for value in values):
        return {name: list(rows.values()) for name, rows in content.items()}
    return None


def _turned(records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _table(text: Text, columns: dict[str, list[Any]], locate: Callable[[int], str]) -> Table:
    frame = pl.DataFrame([_series(name, values) for name, values in columns.items()])
    return Table(frame, text.file, locate, text.notes, TextFormat(encoding=text.encoding))


def _series(name: str, values: list[Any]) -> pl.Series:
    """Return values as numbers or lists if all are, else as text; missing ones are null, or empty texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and all(value is None or abs(value) < 1 << 63 for value in values):
        return pl.Series(name, values, pl.Int64)
    if kinds and kinds <= {int, float}:
        return pl.Series(name, values, pl.Float64, strict=False)
    if kinds == {list}:
        parts = {type(part) for value in values for part in value or ()}
        if parts and parts <= {int, float}:
            return pl.Series(name, values, pl.List(pl.Float64), strict=False)
        if parts <= {str}:
            return pl.Series(name, values, pl.List(pl.String))
    return pl.Series(name, [_written(value) for value in values], pl.String)


def _written(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _TYPED:
        return _written(next(iter(value.values())))
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def json_lines(text: Text, parse: Callable[[str], Any] = json.loads) -> Iterator[tuple[int, Any]]:
    """Yield the number and JSON object of each line that is not blank; raises DataError."""
    for number, line in enumerate(text.content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            content = whole(parse(line), line)
        except (ValueError, RecursionError, MemoryError) as problem:
            raise DataError(
                f"{text.file}, line {number}: not valid JSON ({problem}); each line should hold one object"
            ) from None
        if not isinstance(content, dict):
            raise DataError(f"{text.file}, line {number}: expected a JSON object, not {content!r:.60}")
        yield number, content


def loose(line: str) -> Any:
    """Parse JSON, or else a Python literal as old dumps have them, which is not executed."""
    try:
        return json.loads(line)
    except ValueError as problem:
        try:
            return ast.literal_eval(line.strip())
        except (SyntaxError, ValueError, TypeError):
            raise problem from None


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
