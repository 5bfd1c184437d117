"""Dates as text: ISO 8601 in any of its usual forms, and days before or after months, as the whole column tells."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from genre_gen.errors import DataError

_CLOCK = (
    r"(?:(?:T|[ ,]+)(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d|60)(?:[.,]\d+)?)?"
    r"(?: ?(?P<half>[AP])\.?M\.?)?(?: ?(?:Z|UTC|GMT|(?P<sign>[-+])(?P<ahead>\d\d):?(?P<further>\d\d)?))?)?$"
)
_YEAR_FIRST = r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})"
_POINTS = r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})"  # nobody writes the month first here
_DAY_FIRST = r"(?P<day>\d{1,2})[-/](?P<month>\d{1,2})[-/](?P<year>\d{4})"
_MONTH_FIRST = r"(?P<month>\d{1,2})[-/](?P<day>\d{1,2})[-/](?P<year>\d{4})"


class Dates(NamedTuple):
    """What dates were read as.

    Attributes:
        seconds: int64 since 1970; null where nothing can be read.
        order: ``day`` or ``month`` where something but the form itself had to tell which comes first, else "".
    """

    seconds: pl.Series
    order: str


def read_dates(written: pl.Series) -> Dates:
    """Read a column of dates, with or without a time of day and a zone (without one, they are UTC).

    ``31/12/2024`` and ``12/31/2024`` are told apart by which order reads more of the column.

    Raises:
        DataError: both orders read as much, and differently.
    """
    plain = _either(_moments(written, _YEAR_FIRST), _moments(written, _POINTS))
    rest = written.set(plain.is_not_null(), None)
    day, month = _moments(rest, _DAY_FIRST), _moments(rest, _MONTH_FIRST)
    read, otherwise = int(day.is_not_null().sum()), int(month.is_not_null().sum())
    differ = day.ne_missing(month)
    if not differ.any():
        return Dates(_either(plain, day), "")
    if read == otherwise:
        example = rest.filter(differ)[0]
        raise DataError(f"{example!r} may have the day or the month first, and so may the others; write ISO dates")
    return Dates(_either(plain, day if read > otherwise else month), "day" if read > otherwise else "month")


def _either(first: pl.Series, second: pl.Series) -> pl.Series:
    return first.zip_with(first.is_not_null(), second)


def _moments(written: pl.Series, day: str) -> pl.Series:
    """Return int64 seconds since 1970 of what is written in one form."""
    parts = written.str.extract_groups(f"(?i)^{day}{_CLOCK}").struct.unnest()
    names = ("hour", "minute", "second", "ahead", "further")
    hour, minute, second, ahead, further = (pl.col(name).cast(pl.Int64).fill_null(0) for name in names)
    half = pl.col("half").str.to_uppercase()
    hour = pl.when(half.is_null()).then(hour).otherwise(hour % 12 + 12 * (half == "P").cast(pl.Int64))
    offset = (60 * ahead + further) * pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
    date = pl.concat_str("year", "month", "day", separator="-").str.to_date("%Y-%m-%d", strict=False)
    total = date.cast(pl.Int64) * 86_400 + hour * 3600 + (minute - offset) * 60 + second
    return parts.select(total).to_series()
