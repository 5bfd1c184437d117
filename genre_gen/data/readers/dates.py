"""Times: numbers in several units, and dates as people and programs write them, as seconds since 1970.

The exact times are kept apart: they decide the order of interactions, of which only whole seconds are stored.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import polars as pl

from genre_gen.data.readers.values import ascii_digits, text
from genre_gen.errors import DataError

Unit: TypeAlias = Literal["s", "ms", "us", "ns"]

LAST_SECOND = 253_402_300_799
"""The end of the year 9999; a larger number is in another unit, such as milliseconds."""

PER_SECOND: dict[Unit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""The units of numeric times, and how many of each make a second."""

_BILLION = 10**9
_LAST_IN_NANOSECONDS = 9_000_000_000
_WRITTEN_DATES = ((19_000_101, 21_001_231), (19_000_101_000_000, 21_001_231_235_959))  # 20200914, 20200914114646
_OFFSETS = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}  # RFC 2822

_OFFSET = (  # 2020-09-14 11:46:46 +0000 UTC of Go, Mon Sep 14 2020 11:46:46 GMT-0700 (PDT) of JavaScript
    r"(?:UTC|GMT)?(?P<sign>[-+])(?P<ahead>\d\d):?(?P<further>\d\d)?(?: (?:[A-Z]{3,4}|\([\w ]+\)))?"
)
_ZONE = rf"(?: ?(?:Z|(?P<zone>[ECMP][SD]T)|{_OFFSET}|UTC|GMT))?"
_SECOND = r"(?P<second>[0-5]\d|60)(?:[.,](?P<fraction>\d+))?"
_TIME = rf"(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::{_SECOND})?(?: ?(?P<half>[AP])\.?M\.?)?"
_CLOCK = rf"(?:(?:T|[ ,]+(?:at )?|:){_TIME}{_ZONE})?$"
_BARE_CLOCK = rf"(?:[T ]?(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)(?:{_SECOND})?{_ZONE})?$"

_DAY = r"(?P<day>\d{1,2})"
_YEAR = r"(?P<year>\d{4}|\d\d)"
_NTH = rf"{_DAY}(?:st|nd|rd|th)?"
_WEEKDAY = r"(?:(?:mon|tue(?:s)?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
_NAME = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_BARE_DATE = r"(?P<year>(?:19|20)\d\d)(?P<month>0[1-9]|1[0-2])(?P<day>[0-3]\d)"
_SURE = (  # the forms whose parts have one order, the most frequent first
    rf"(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})[-/.]{_DAY}{_CLOCK}",
    rf"(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})[-/.]{_DAY}[T ](?P<hour>[01]\d|2[0-3])$",  # 2014-12-06 02
    rf"{_DAY}\.(?P<month>\d{{1,2}})\.{_YEAR}{_CLOCK}",  # with points, the day always comes first
    rf"{_BARE_DATE}{_BARE_CLOCK}",
    rf"{_BARE_DATE}{_CLOCK}",
    rf"{_WEEKDAY}{_NAME} +{_DAY} +{_TIME} ?{_ZONE} +(?P<year>\d{{4}})$",  # Mon Sep 14 11:46:46 -0700 2020
    rf"{_WEEKDAY}{_NTH}[ ./-]*(?:of )?{_NAME}[ ,./-]*{_YEAR}{_CLOCK}",  # 14-Sep-2020, Mon, 14 Sep 2020 11:46:46 GMT
    rf"{_WEEKDAY}{_NAME}[ ./-]*{_NTH}(?:,? +|[,/-]){_YEAR}{_CLOCK}",  # Sep 14, 2020
    rf"(?P<year>\d{{4}})[ ./-]{_NAME}[ ./-]{_DAY}{_CLOCK}",  # 2020-Sep-14
    rf"(?P<month>\d{{1,2}}) {_DAY}, (?P<year>\d{{4}}){_CLOCK}",  # 09 14, 2020
    r"(?P<year>\d{4})[-/](?P<month>0[1-9]|1[0-2])$",  # 2020-09
)
_DAY_FIRST = rf"{_DAY}[-/](?P<month>\d{{1,2}})[-/]{_YEAR}{_CLOCK}"
_MONTH_FIRST = rf"(?P<month>\d{{1,2}})[-/]{_DAY}[-/]{_YEAR}{_CLOCK}"
_PARTS = (
    "year", "month", "name", "day", "hour", "minute", "second", "fraction", "half", "zone", "sign", "ahead", "further",
)  # fmt: skip
_CENTURY = 69  # two digits of a year mean the 20th century if they are at least this, as in POSIX


class Times(NamedTuple):
    """Times as seconds, and what is lost by that."""

    seconds: pl.Series  # int64 since 1970, rounded down; null if a time cannot be read
    exact: pl.Series | None = None  # numbers in a finer unit, for sorting; None if seconds are exact
    order: str = ""  # ``day`` or ``month``, whichever other dates show to come first; "" if the format does


def read_times(column: pl.Series, unit: str) -> Times:
    """Read a column of timestamps or dates.

    Args:
        column: dates, numbers, or text; text is read as numbers or dates, whichever fits more records. Numbers that
            are all dates, such as 20200914, are read as dates.
        unit: the unit of numbers, one of ``PER_SECOND``.

    Raises:
        DataError: times of day without a date, or dates whose day and month cannot be distinguished.
    """
    if column.dtype == pl.Time:
        raise DataError("it has times of day without a date; write dates or seconds since 1970")
    if isinstance(column.dtype, pl.Datetime):
        return _of_numbers(column.to_physical(), column.dtype.time_unit)
    if column.dtype.is_temporal():  # dates
        return Times(column.to_physical().cast(pl.Int64) * 86_400)
    if column.dtype.is_numeric():
        return _written_dates(column) or _of_numbers(column, unit)
    written = ascii_digits(text(column))
    stamps = _stamps(written)
    if 2 * int(stamps.is_not_null().sum()) < int((written != "").sum()):
        dates = read_dates(written)
        if dates.seconds.null_count() <= stamps.null_count():
            return dates
    return _written_dates(stamps) or _of_numbers(stamps, unit)


def likely_unit(number: float) -> Unit:
    """Return the unit in which a number is a time before the year 10000, the largest first."""
    return next((unit for unit, per in PER_SECOND.items() if abs(number) <= per * LAST_SECOND), "ns")


def _stamps(written: pl.Series) -> pl.Series:
    """Return texts as numbers, null if they are not: exact integers, or floats if any has decimals."""
    whole = written.cast(pl.Int64, strict=False)
    if int(whole.null_count()) == int((written == "").sum()):
        return whole
    decimal = written.cast(pl.Float64, strict=False).fill_nan(None)
    return decimal if decimal.null_count() < whole.null_count() else whole


def _of_numbers(stamps: pl.Series, unit: str) -> Times:
    """Return numbers of one unit as times."""
    per = PER_SECOND[unit]  # type: ignore[index]
    if stamps.dtype.is_float():
        return Times((stamps / per).floor().cast(pl.Int64, strict=False), stamps)
    stamps = stamps.cast(pl.Int64, strict=False)
    return Times(stamps) if per == 1 else Times(stamps // per, stamps)


def _written_dates(stamps: pl.Series) -> Times | None:
    """Read numbers such as 20200914 as dates, if all of them are; None if not."""
    known = stamps.drop_nulls()
    low, high = (known.min(), known.max()) if len(known) else (0, 0)
    if not any(first <= low and high <= last for first, last in _WRITTEN_DATES):  # type: ignore[operator]
        return None
    found = _moments(stamps.cast(pl.Int64, strict=False).cast(pl.String), rf"{_BARE_DATE}{_BARE_CLOCK}")
    return Times(found["seconds"]) if found["seconds"].null_count() == stamps.null_count() else None


def read_dates(written: pl.Series) -> Times:
    """Read a column of dates, with or without a time of day and a zone (without one, they are UTC).

    The order of day and month (``31/12/2024``, ``12/31/2024``) is the one in which more of the column is valid.

    Raises:
        DataError: both orders are valid for equally many dates and give different results.
    """
    written = ascii_digits(written)
    found = pl.DataFrame({"seconds": pl.Series([None], dtype=pl.Int64).new_from_index(0, len(written))})
    found = found.with_columns(fraction=pl.lit(0, pl.Int64))
    left = ((written != "") & written.is_not_null()).arg_true()
    for form in _SURE:
        if not len(left):
            break
        found, left = _taken(found, left, _moments(written[left], form))
    if not len(left):
        return _dates(found)
    day, month = _moments(written[left], _DAY_FIRST), _moments(written[left], _MONTH_FIRST)
    read, otherwise = (int(moments["seconds"].is_not_null().sum()) for moments in (day, month))
    differ = day["seconds"].ne_missing(month["seconds"])
    if not differ.any():
        return _dates(_taken(found, left, day)[0])
    if read == otherwise:
        example = written[left].filter(differ)[0]
        raise DataError(f"{example!r} and the other dates may have the day or the month first; write ISO dates")
    chosen, order = (day, "day") if read > otherwise else (month, "month")
    return _dates(_taken(found, left, chosen)[0], order)


def _dates(found: pl.DataFrame, order: str = "") -> Times:
    """Return dates with their fractions, in nanoseconds if these fit into an integer, as until the year 2262."""
    seconds, fraction = found["seconds"], found["fraction"]
    if not (fraction != 0).any():
        return Times(seconds, None, order)
    per = _BILLION if (seconds.abs() < _LAST_IN_NANOSECONDS).all() else 10**6
    return Times(seconds, seconds * per + fraction // (_BILLION // per), order)


def _taken(found: pl.DataFrame, left: pl.Series, moments: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Return the dates with those that one more form has read, and the positions that are left."""
    read = moments["seconds"].is_not_null()
    if not read.any():
        return found, left
    if len(left) == len(found) and read.all():
        return moments, left[:0]
    at = left.filter(read)
    columns = [found[name].scatter(at, moments[name].filter(read)) for name in ("seconds", "fraction")]
    return pl.DataFrame(columns), left.filter(~read)


def _moments(written: pl.Series, form: str) -> pl.DataFrame:
    """Return ``seconds`` since 1970, null for dates of other forms, and ``fraction``, int64 nanoseconds or 0."""
    parts = written.str.extract_groups(f"(?i)^{form}").struct.unnest()
    parts = parts.with_columns(pl.lit(None, pl.String).alias(name) for name in _PARTS if name not in parts.columns)
    names = ("hour", "minute", "second", "ahead", "further")
    hour, minute, second, ahead, further = (pl.col(name).cast(pl.Int64).fill_null(0) for name in names)
    half = pl.col("half").str.to_uppercase()
    hour = pl.when(half.is_null()).then(hour).otherwise(hour % 12 + 12 * (half == "P").cast(pl.Int64))
    offset = (60 * ahead + further) * pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
    zone = pl.col("zone").str.to_lowercase().replace_strict(_OFFSETS, default=0, return_dtype=pl.Int64).fill_null(0)
    number = pl.col("year").cast(pl.Int64)
    year = pl.when(pl.col("year").str.len_chars() > 2).then(number).otherwise(  # noqa: PLR2004 - digits
        number + pl.when(number < _CENTURY).then(2000).otherwise(1900)
    )  # fmt: skip
    named = pl.col("name").str.slice(0, 3).str.to_lowercase()
    month = pl.coalesce("month", named.replace_strict(_MONTHS, list(map(str, range(1, 13))), default=None))
    day = pl.when(pl.col("year").is_not_null()).then(pl.col("day").fill_null("1"))
    date = pl.concat_str(year.cast(pl.String).str.zfill(4), month, day, separator="-")
    days = date.str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64)
    total = days * 86_400 + hour * 3600 + (minute - offset - 60 * zone) * 60 + second
    fraction = pl.col("fraction").str.slice(0, 9).str.pad_end(9, "0").cast(pl.Int64).fill_null(0)
    return parts.select(seconds=total, fraction=fraction)
