"""Columns as values: text, numbers and lists of labels, from whatever type the file gave them."""

from __future__ import annotations

import polars as pl

from genre_gen.data.readers.dates import read_dates
from genre_gen.errors import DataError


def is_single(column: pl.Series) -> bool:
    """Tell whether a column has one value a record that can be written: no lists, no bytes that are no text."""
    if column.dtype.is_numeric() or column.dtype == pl.String:
        return True
    try:
        column.cast(pl.String)
    except pl.exceptions.PolarsError:
        return False
    return not column.dtype.is_nested()


def text(column: pl.Series) -> pl.Series:
    """Return a column as stripped text, "" where nothing stands."""
    return column.cast(pl.String).fill_null("").str.strip_chars()


def numbers(column: pl.Series) -> pl.Series:
    """Return a column as float64; null where nothing stands and where it is no number (NaN and infinity are)."""
    if column.dtype in (pl.String, pl.Binary, pl.Categorical, pl.Enum):
        column = text(column)
    return column.cast(pl.Float64, strict=False)


def labels(column: pl.Series, separator: str) -> pl.Series:
    """Return a column as lists of stripped labels, each once and in order, without empty ones."""
    lists = column if isinstance(column.dtype, pl.List) else text(column).str.split(separator)
    part = pl.element().cast(pl.String).str.strip_chars()
    frame = lists.alias("labels").to_frame()
    cleaned = pl.col("labels").list.eval(part.filter(part.is_not_null() & (part != "")).unique(maintain_order=True))
    return frame.select(cleaned.fill_null([])).to_series()


def seconds(column: pl.Series, unit: str) -> pl.Series:
    """Return a column of timestamps or dates as int64 seconds since 1970; null where it cannot be read.

    Args:
        column: dates, numbers, or text that holds numbers or dates, whichever more of it are.
        unit: what numbers count, ``s`` or ``ms``.

    Raises:
        DataError: times of day without a day, or dates of which day and month cannot be told apart.
    """
    if column.dtype == pl.Time:
        raise DataError("it holds times of day without a day; write dates or seconds since 1970")
    if column.dtype.is_temporal():
        return column.cast(pl.Datetime("ms")).dt.epoch("s")
    stamps = numbers(column)
    if not column.dtype.is_numeric():
        written = text(column)
        if 2 * int(stamps.is_not_null().sum()) < int((written != "").sum()):
            return read_dates(written).seconds
    if unit == "ms":
        stamps = stamps / 1000
    return stamps.floor().cast(pl.Int64, strict=False)
