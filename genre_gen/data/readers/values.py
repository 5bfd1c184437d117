"""Columns as values: text, numbers and lists of labels, from columns of any type."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import polars as pl

from genre_gen.data.readers.lists import is_list, lists, read_brackets

_OTHER_DIGIT = r"[\p{Nd}--[0-9]]"


def is_single(column: pl.Series) -> bool:
    """Tell whether a column has one printable value a record: no lists, and no bytes that are not valid text."""
    if column.dtype.is_numeric() or column.dtype == pl.String:
        return True
    try:
        column.cast(pl.String)
    except pl.exceptions.PolarsError:
        return False
    return not column.dtype.is_nested()


def text(column: pl.Series) -> pl.Series:
    """Return a column as stripped text in the form NFC, "" for missing values; whole numbers have no decimals."""
    return _composed(whole_numbers(column).cast(pl.String).fill_null("").str.strip_chars())


def _composed(written: pl.Series) -> pl.Series:
    is_ascii = written.str.len_bytes().sum() == written.str.len_chars().sum()
    return written if is_ascii else written.str.normalize("NFC")


def whole_numbers(column: pl.Series) -> pl.Series:
    """Return a column of floats with null for NaN, as integers if all are whole; other columns unchanged.

    Pandas turns integers into floats if one is missing, and the id 1.0 is not the id 1.
    """
    if not column.dtype.is_float():
        return column
    column = column.fill_nan(None)
    whole = column.cast(pl.Int64, strict=False)
    return whole if column.eq_missing(whole.cast(column.dtype)).all() else column


def numbers(column: pl.Series) -> pl.Series:
    """Return a column as float64; null for missing values and for text that is not a number (NaN and infinity are)."""
    if column.dtype in (pl.String, pl.Binary, pl.Categorical, pl.Enum):
        column = ascii_digits(text(column))
    return column.cast(pl.Float64, strict=False)


def ascii_digits(written: pl.Series) -> pl.Series:
    """Return texts with the decimal digits of other scripts (``٣``, ``३``) as 0 to 9."""
    if not written.str.contains(_OTHER_DIGIT).any():
        return written
    digits = _other_digits()
    return written.str.replace_many(list(digits), list(digits.values()))


@cache
def _other_digits() -> dict[str, str]:
    letters = map(chr, range(128, sys.maxunicode + 1))
    return {letter: str(unicodedata.decimal(letter)) for letter in letters if letter.isdecimal()}


def labels(column: pl.Series, separator: str) -> pl.Series:
    """Return a column as lists of stripped labels, in order, without repeated or empty labels.

    Texts are lists in brackets, such as ``['Drama', 'Crime']``, or have labels between separators.
    """
    given = lists(column) if is_list(column) else _separated(text(column), separator)
    part = pl.element().cast(pl.String).str.strip_chars().str.normalize("NFC")
    frame = given.alias("labels").to_frame()
    cleaned = pl.col("labels").list.eval(part.filter(part.is_not_null() & (part != "")).unique(maintain_order=True))
    return frame.select(cleaned.fill_null([])).to_series()


def _separated(written: pl.Series, separator: str) -> pl.Series:
    parts = written.str.split(separator)
    if not (bracketed := read_brackets(written)):
        return parts
    rows = zip(written.to_list(), parts.to_list(), strict=True)
    return pl.Series([bracketed.get(value, labels) for value, labels in rows], dtype=pl.List(pl.String))
