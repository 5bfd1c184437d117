"""Columns as values: text, numbers, amounts, dates and lists of labels, from columns of any type.

Amounts and dates are written differently in different countries; the format is inferred from the whole column.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import cache
from typing import NamedTuple

import polars as pl

from genre_gen.errors import DataError

LAST_SECOND = 253_402_300_799
"""The end of the year 9999; a larger number is in another unit, such as milliseconds."""

_CODES = "EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|CZK|JPY|CNY|INR|IDR|BRL|MXN|CAD|AUD|NZD|ZAR|TRY|KRW"
_SIGN = rf"[A-Z]{{0,2}}\p{{Sc}}|{_CODES}|kr\.?|zł|Rs\.?|Rp\.?"
_SPACE = "'’\\s"  # thousands separators that are never decimal marks
_DIGITS = rf"\d+(?:[.,{_SPACE}]\d{{3}})*(?:[.,]\d+)?"
_AMOUNT = rf"^(?P<minus>-)?(?P<before>{_SIGN})?\s*(?P<digits>{_DIGITS})\s*(?P<behind>{_SIGN})?$"
_POINT = r"\.\d{1,2}$|,\d{3}[.,]"  # patterns that imply a decimal point: 1.5, 1,000.5, 1,000,000
_COMMA = r",\d{1,2}$|\.\d{3}[.,]"
_UNSURE = r"\.\d{3}$"
_OTHER_DIGIT = r"[\p{Nd}--[0-9]]"
_MOSTLY = 0.95  # with at least this share of plain numbers, all of a column are read as plain numbers
_CLOCK = (
    r"(?:(?:T|[ ,]+)(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d|60)(?:[.,]\d+)?)?"
    r"(?: ?(?P<half>[AP])\.?M\.?)?(?: ?(?:Z|UTC|GMT|(?P<sign>[-+])(?P<ahead>\d\d):?(?P<further>\d\d)?))?)?$"
)
_YEAR_FIRST = r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})"
_POINTS = r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})"  # with points, the day always comes first
_DAY_FIRST = r"(?P<day>\d{1,2})[-/](?P<month>\d{1,2})[-/](?P<year>\d{4})"
_MONTH_FIRST = r"(?P<month>\d{1,2})[-/](?P<day>\d{1,2})[-/](?P<year>\d{4})"


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
    """Return a column as stripped text, "" for missing values."""
    return column.cast(pl.String).fill_null("").str.strip_chars()


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
    """Return a column as lists of stripped labels, in order, without repeated or empty labels."""
    lists = column if isinstance(column.dtype, pl.List) else text(column).str.split(separator)
    part = pl.element().cast(pl.String).str.strip_chars()
    frame = lists.alias("labels").to_frame()
    cleaned = pl.col("labels").list.eval(part.filter(part.is_not_null() & (part != "")).unique(maintain_order=True))
    return frame.select(cleaned.fill_null([])).to_series()


def seconds(column: pl.Series, unit: str) -> pl.Series:
    """Return a column of timestamps or dates as int64 seconds since 1970; null if it cannot be parsed.

    Args:
        column: dates, numbers, or text; text is read as numbers or dates, whichever fits more records.
        unit: the unit of numbers, ``s`` or ``ms``.

    Raises:
        DataError: times of day without a date, or dates whose day and month cannot be distinguished.
    """
    if column.dtype == pl.Time:
        raise DataError("it has times of day without a date; write dates or seconds since 1970")
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


# Amounts: a currency sign and thousands separators


def seem_amounts(written: pl.Series) -> pl.Series:
    """Tell which texts consist of digits and separators, with or without a currency sign."""
    return ascii_digits(written).str.contains(_AMOUNT)


def amounts(written: pl.Series) -> pl.Series:
    """Return texts as float64, null if they are not amounts: 1705.85 for 1705.85, $1,705.85 and 1.705,85 €.

    The whole column decides which mark separates thousands and which decimals. If that is ambiguous, or currencies
    differ, only plain numbers are read.
    """
    written = ascii_digits(written)
    plain = numbers(written)
    if int(plain.is_not_null().sum()) >= _MOSTLY * (len(written) - written.null_count()):
        return plain
    parts = written.str.extract_groups(_AMOUNT).struct.unnest()
    digits = parts["digits"]
    signs = {*parts["before"].unique(), *parts["behind"].unique()} - {None}
    point, comma = (bool(digits.str.contains(form).any()) for form in (_POINT, _COMMA))
    sure = point or comma or (bool(signs) and not digits.str.contains(_UNSURE).any())
    if len(signs) > 1 or (point and comma) or not sure:
        return plain
    thousand, decimal = (".", ",") if comma else (",", ".")
    whole = digits.str.contains(rf"^([1-9]\d{{0,2}}([{thousand}{_SPACE}]\d{{3}})+|\d+)(\{decimal}\d+)?$")
    bare = digits.str.replace_all(rf"[{thousand}{_SPACE}]", "").str.replace(decimal, ".", literal=True)
    read = bare.cast(pl.Float64, strict=False).set(~whole.fill_null(False), None)
    return read.zip_with(parts["minus"].is_null(), -read)


# Dates: ISO 8601 in any of its usual forms, and days before or after months


class Dates(NamedTuple):
    """Dates as seconds, and the order in which they were read."""

    seconds: pl.Series  # int64 since 1970; null if a date cannot be parsed
    order: str  # ``day`` or ``month``, whichever other dates of the column show to come first; "" if the format does


def read_dates(written: pl.Series) -> Dates:
    """Read a column of dates, with or without a time of day and a zone (without one, they are UTC).

    The order of day and month (``31/12/2024``, ``12/31/2024``) is the one in which more of the column is valid.

    Raises:
        DataError: both orders are valid for equally many dates and give different results.
    """
    written = ascii_digits(written)
    plain = _either(_moments(written, _YEAR_FIRST), _moments(written, _POINTS))
    rest = written.set(plain.is_not_null(), None)
    day, month = _moments(rest, _DAY_FIRST), _moments(rest, _MONTH_FIRST)
    read, otherwise = int(day.is_not_null().sum()), int(month.is_not_null().sum())
    differ = day.ne_missing(month)
    if not differ.any():
        return Dates(_either(plain, day), "")
    if read == otherwise:
        example = rest.filter(differ)[0]
        raise DataError(f"{example!r} and the other dates may have the day or the month first; write ISO dates")
    return Dates(_either(plain, day if read > otherwise else month), "day" if read > otherwise else "month")


def _either(first: pl.Series, second: pl.Series) -> pl.Series:
    return first.zip_with(first.is_not_null(), second)


def _moments(written: pl.Series, day: str) -> pl.Series:
    """Return int64 seconds since 1970 of dates in one format, null for others."""
    parts = written.str.extract_groups(f"(?i)^{day}{_CLOCK}").struct.unnest()
    names = ("hour", "minute", "second", "ahead", "further")
    hour, minute, second, ahead, further = (pl.col(name).cast(pl.Int64).fill_null(0) for name in names)
    half = pl.col("half").str.to_uppercase()
    hour = pl.when(half.is_null()).then(hour).otherwise(hour % 12 + 12 * (half == "P").cast(pl.Int64))
    offset = (60 * ahead + further) * pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
    date = pl.concat_str("year", "month", "day", separator="-").str.to_date("%Y-%m-%d", strict=False)
    total = date.cast(pl.Int64) * 86_400 + hour * 3600 + (minute - offset) * 60 + second
    return parts.select(total).to_series()
