"""Amounts and ratings: numbers that people write with currencies, thousands separators, decimal commas or stars.

They are written differently in different countries; the format is inferred from the whole column.
"""

from __future__ import annotations

import polars as pl

from genre_gen.data.readers.values import ascii_digits, numbers, text

_CODES = "EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|CZK|JPY|CNY|INR|IDR|BRL|MXN|CAD|AUD|NZD|ZAR|TRY|KRW"
_SIGN = rf"[A-Z]{{0,2}}\p{{Sc}}|{_CODES}|kr\.?|zł|Rs\.?|Rp\.?"
_SPACE = "'’\\s"  # thousands separators that are never decimal marks
_DIGITS = rf"\d+(?:[.,{_SPACE}]\d{{3}})*(?:[.,]\d+)?"
_AMOUNT = rf"^(?P<minus>-)?(?P<before>{_SIGN})?\s*(?P<digits>{_DIGITS})\s*(?P<behind>{_SIGN})?$"
_POINT = r"\.\d{1,2}$|,\d{3}[.,]"  # patterns that imply a decimal point: 1.5, 1,000.5, 1,000,000
_COMMA = r",\d{1,2}$|\.\d{3}[.,]"
_UNSURE = r"\.\d{3}$"
_MOSTLY = 0.95  # with at least this share of plain numbers, all of a column are read as plain numbers

_FULL_STAR, _HALF_STAR, _EMPTY_STAR = r"[★⭐🌟✭✮*]", "½", r"[☆✩]"
_ROW_OF_STARS = rf"^(?:{_FULL_STAR}\x{{FE0F}}?)+{_HALF_STAR}?{_EMPTY_STAR}*$"
_RATING = (
    r"^(?P<number>[-+]?\d+(?:[.,]\d+)?)\s*"
    r"(?:(?:/|of|out of|von|sur|de)\s*(?P<most>\d+(?:[.,]0+)?))?\s*(?P<unit>%|★|⭐|\p{L}+\.?)?$"
)
_THOUSANDS = r"\d[,.]\d{3}$"
_UNITS = 2  # the most words behind ratings: star and stars


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


def ratings(column: pl.Series) -> pl.Series:
    """Return a column of ratings as float64, null if missing or not a number; infinity is a number.

    Besides numbers, these are read: ``3,5``, ``3 stars``, ``80%``, ``4/5`` and ``4 out of 5`` if all are out of the
    same number, and stars such as ``★★★½☆``. Columns with several units are not, as their values do not compare.
    """
    plain = numbers(column).fill_nan(None)
    if column.dtype.is_numeric() or not plain.null_count():
        return plain
    written = ascii_digits(text(column))
    if int(plain.null_count()) == int((written == "").sum()):
        return plain
    different = written.unique()  # few: a million ratings have ten values
    read = _another_way(different)
    values = pl.DataFrame([different.alias("written"), read.alias("read")])
    found = written.alias("written").to_frame().join(values, on="written", how="left", maintain_order="left")["read"]
    return plain.zip_with(plain.is_not_null(), found)


def _another_way(written: pl.Series) -> pl.Series:
    """Return different texts as float64; see ``ratings``."""
    if written.str.contains(_THOUSANDS).any():
        return amounts(written.set(written == "", None))
    parts = written.str.to_lowercase().str.extract_groups(_RATING).struct.unnest()
    most, units = ({*parts[name].unique()} - {None} for name in ("most", "unit"))
    stem = min(units, key=len, default="")  # of star and stars, of Stern and Sterne
    if len(most) > 1 or len(units) > _UNITS or not all(unit.startswith(stem) for unit in units):
        return numbers(written)
    values = parts["number"].str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    stars = written.str.contains(_ROW_OF_STARS)
    shown = written.str.count_matches(_FULL_STAR) + 0.5 * written.str.count_matches(_HALF_STAR)
    return shown.zip_with(stars, values)
