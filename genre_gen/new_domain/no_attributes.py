"""Columns without information about items: row numbers, other ids, addresses, vectors, and codes that have names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import polars as pl

from genre_gen.data.readers.values import is_single, numbers, text
from genre_gen.new_domain.column_types import MOSTLY, is_numeric, share, time_unit
from genre_gen.new_domain.names import ID_WORDS, named, words_of

_ROWS = re.compile(r"unnamed.*|index|__index_level_\d+__|level_\d+|row_?(id|no|num|number|index)?", re.IGNORECASE)
_IDENTIFIERS = {"isbn", "issn", "asin", "ean", "upc", "gtin", "sku", "barcode", "doi", "oclc", "lccn", "mbid", "href"}
_CODED = ID_WORDS - {"num", "number"}  # at the end of a name: a code of something; "number_of_pages" is an amount
_VECTOR = 8  # the least length of a vector that is written as text or in columns; shorter ones may be something else
_LINK = r"^(https?://|www\.|//)\S+$|^\S*/\S*\.\w{2,4}$|\.(jpe?g|png|gif|webp|svg|mp3|mp4|wav|pdf)$"
_CODE = r"^[\pL_-]{1,4}\d{5,}$|^\d{11,}$|^[0-9a-fA-F-]{16,}$"  # tt0114709, UUIDs and hashes
_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_WRITTEN_VECTOR = rf"^\s*[\[(]?\s*{_NUMBER}([\s,;|]+{_NUMBER}){{{_VECTOR - 1},}}\s*[\])]?\s*$"
_VECTORS = "text and image vectors are not fields; an encoder of your own can read them (codes.encoder)"


def no_attributes(frame: pl.DataFrame, used: Collection[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield columns without information about items, and the reason, one or several at a time.

    Args:
        frame: the table of items.
        used: columns that have a role already.
    """
    rest = {column.name: column for column in frame if column.name not in used}
    for names in _spread_vectors(rest):
        yield names, f"a vector of {len(names)} numbers, one in each column; {_VECTORS}"
        rest = {name: column for name, column in rest.items() if name not in names}
    reasons = {name: why for name, column in rest.items() if (why := _reason(column))}
    for name, why in reasons.items():
        yield (name,), why
    rest = {name: text(column) for name, column in rest.items() if name not in reasons and is_single(column)}
    for name in rest:
        if is_code(name) and (other := _names_of(name, rest)):
            yield (name,), f"a code for each value of {other!r}"


def is_code(name: str) -> bool:
    """Tell whether a column's name says that its values are codes, so numbers in it are not amounts."""
    words = words_of(name)
    return len(words) > 1 and words[-1] in _CODED


def numbers_rows(name: str, values: pl.Series) -> bool:
    """Tell whether a column numbers the lines, from 0 or 1 in steps of 1, or by its name (``index``)."""
    read = numbers(values)
    if read.null_count() or read.n_unique() < len(read):
        return False
    counted = read[0] in (0, 1) and bool((read.diff().drop_nulls() == 1).all()) and len(read) >= _VECTOR
    return counted or bool(_ROWS.fullmatch(name))


def _reason(column: pl.Series) -> str:
    """Return why a column has no information about items; "" if it may have."""
    if length := _vector(column):
        return f"a vector of {length} numbers; {_VECTORS}"
    values = text(column).filter(text(column) != "") if is_single(column) else pl.Series(dtype=pl.String)
    if not len(values):
        return ""
    if numbers_rows(column.name, values):
        return f"numbers the lines ({', '.join(values[:3])}, ...)"
    return _no_amount(column, values)


def _no_amount(column: pl.Series, values: pl.Series) -> str:
    if values.n_unique() > MOSTLY * len(values) and len(values) > 1 and _identifies(column, values):
        return f"is another id, such as {values[0]!r:.40}"
    if share(values.str.contains(_LINK)) > 1 / 2:
        return f"contains addresses, such as {values[0]!r:.40}"
    if is_numeric(column) and named(column.name, "time") and time_unit(column) is not None:
        return f"counts seconds since 1970, such as {values[0]}; write dates or years to use it"
    return ""


def _vector(column: pl.Series) -> int:
    """Return the length of the vectors in a column, 0 for anything else."""
    inner = column.dtype.inner if isinstance(column.dtype, (pl.List, pl.Array)) else None
    if inner is not None and inner.is_numeric():
        lists = column.cast(pl.List(inner)).drop_nulls()
        lengths = lists.list.len()
        same_length = len(lengths) > 0 and lengths.n_unique() == 1 and lengths[0] >= _VECTOR
        return int(lengths[0]) if len(lengths) and (inner.is_float() or same_length) else 0
    if column.dtype != pl.String:
        return 0
    values = column.filter(text(column) != "")
    if not len(values) or share(values.str.contains(_WRITTEN_VECTOR)) < MOSTLY:
        return 0
    lengths = values.str.count_matches(_NUMBER)
    point = share(values.str.contains(r"\d\.\d|\de-\d")) > MOSTLY
    return int(lengths[0]) if lengths.n_unique() == 1 and point else 0


def _spread_vectors(columns: dict[str, pl.Series]) -> Iterator[tuple[str, ...]]:
    """Yield groups of columns whose names differ in a running number and that all have decimal numbers."""
    groups: dict[str, list[str]] = {}
    for name in columns:
        if parts := re.fullmatch(r"(.*?)[\s_.\[-]*(\d+)\]?", name):
            groups.setdefault(parts[1], []).append(name)
    for names in groups.values():
        if len(names) >= _VECTOR and all(
            is_single(columns[name]) and is_numeric(columns[name]) and (numbers(columns[name]) % 1 != 0).any()
            for name in names
        ):
            yield tuple(names)


def _identifies(column: pl.Series, values: pl.Series) -> bool:
    """Tell whether the different values of a column are ids, by its name or their form."""
    words = words_of(column.name)
    if words and (words[-1] in _CODED or {*words} & _IDENTIFIERS):
        return True
    is_code = share(values.str.contains(_CODE)) > MOSTLY and values.str.len_chars().n_unique() <= 2  # noqa: PLR2004
    return is_code and not named(column.name, "time") and time_unit(column) is None


def _names_of(name: str, columns: dict[str, pl.Series]) -> str | None:
    """Return the column of words that stands for the same kinds as a column of codes, if any."""
    codes = columns[name]
    count = codes.n_unique()
    for other, values in columns.items():
        if other == name or is_code(other) or is_numeric(values) or values.n_unique() != count:
            continue
        if pl.DataFrame({"code": codes, "name": values}).n_unique() == count:
            return other
    return None
