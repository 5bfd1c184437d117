"""Columns as values: text, numbers, amounts, dates and lists of labels, from whatever type the file gave them.

Amounts and dates can be written in ways that differ by country, which the whole column tells.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from genre_gen.errors import DataError

LAST_SECOND = 253_402_300_799
"""The end of the year 9999; a larger number counts something else, such as milliseconds."""

_CODES = "EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|CZK|JPY|CNY|INR|IDR|BRL|MXN|CAD|AUD|NZD|ZAR|TRY|KRW"
_SIGN = rf"[A-Z]{{0,2}}\p{{Sc}}|{_CODES}|kr\.?|zł|Rs\.?|Rp\.?"
_SPACE = "'’\\s"  # may stand between thousands, and means nothing else
_DIGITS = rf"\d+(?:[.,{_SPACE}]\d{{3}})*(?:[.,]\d+)?"
_AMOUNT = rf"^(?P<minus>-)?(?P<before>{_SIGN})?\s*(?P<digits>{_DIGITS})\s*(?P<behind>{_SIGN})?$"
_POINT = r"\.\d{1,2}$|,\d{3}[.,]"  # what only stands where a point parts the decimals: 1.5, 1,000.5, 1,000,000
_COMMA = r",\d{1,2}$|\.\d{3}[.,]"
_UNSURE = r"\.\d{3}$"
_MOSTLY = 0.95  # share of plain numbers from which a column holds nothing else
_CLOCK = (
    r"(?:(?:T|[ ,]+)(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d|60)(?:[.,]\d+)?)?"
    r"(?: ?(?P<half>[AP])\.?M\.?)?(?: ?(?:Z|UTC|GMT|(?P<sign>[-+])(?P<ahead>\d\d):?(?P<further>\d\d)?))?)?$"
)
_YEAR_FIRST = r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})"
_POINTS = r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})"  # nobody writes the month first here
_DAY_FIRST = r"(?P<day>\d{1,2})[-/](?P<month>\d{1,2})[-/](?P<year>\d{4})"
_MONTH_FIRST = r"(?P<month>\d{1,2})[-/](?P<day>\d{1,2})[-/](?P<year>\d{4})"


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


# Amounts: a currency's sign and marks between thousands


def seem_amounts(written: pl.Series) -> pl.Series:
    """Tell which texts are digits and marks, with or without a currency's sign, whatever the marks mean."""
    return written.str.contains(_AMOUNT)


def amounts(written: pl.Series) -> pl.Series:
    """Return texts as float64, null where they are no number or amount: 1705.85 for 1705.85, $1,705.85 and 1.705,85 €.

    Which mark parts thousands and which decimals is told by the whole column. Where that does not tell, or currencies
    differ, only plain numbers are read.
    """
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
    """What dates were read as."""

    seconds: pl.Series  # int64 since 1970; null where nothing can be read
    order: str  # ``day`` or ``month`` where something but the form itself had to tell which comes first, else ""


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
