"""Amounts as text: a currency's sign and marks between thousands, as the whole column tells."""

from __future__ import annotations

import polars as pl

from genre_gen.data.readers.values import numbers

_CODES = "EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|CZK|JPY|CNY|INR|IDR|BRL|MXN|CAD|AUD|NZD|ZAR|TRY|KRW"
_SIGN = rf"[A-Z]{{0,2}}\p{{Sc}}|{_CODES}|kr\.?|zł|Rs\.?|Rp\.?"
_SPACE = "'’\\s"  # may stand between thousands, and means nothing else
_DIGITS = rf"\d+(?:[.,{_SPACE}]\d{{3}})*(?:[.,]\d+)?"
_AMOUNT = rf"^(?P<minus>-)?(?P<before>{_SIGN})?\s*(?P<digits>{_DIGITS})\s*(?P<behind>{_SIGN})?$"
_POINT = r"\.\d{1,2}$|,\d{3}[.,]"  # what only stands where a point parts the decimals: 1.5, 1,000.5, 1,000,000
_COMMA = r",\d{1,2}$|\.\d{3}[.,]"
_UNSURE = r"\.\d{3}$"
_MOSTLY = 0.95  # share of plain numbers from which a column holds nothing else


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
