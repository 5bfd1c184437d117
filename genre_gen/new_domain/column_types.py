"""Column types: the possible meanings of a column of an unknown table, by its values."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

import numpy as np
import polars as pl

from genre_gen.data.readers.amounts import amounts, seem_amounts
from genre_gen.data.readers.dates import PER_SECOND, Unit, read_times
from genre_gen.data.readers.lists import elements, in_brackets, is_list, read_brackets
from genre_gen.data.readers.values import is_single, labels, numbers, text
from genre_gen.data.settings import MISSING, FieldSettings
from genre_gen.errors import DataError

MOSTLY = 0.95  # share of the values that must be valid
LONG = 100  # texts of at least this many characters are descriptions
_YES_NO = (
    {"0", "1"}, {"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"on", "off"}, {"ja", "nein"}, {"j", "n"},
    {"wahr", "falsch"}, {"sí", "no"}, {"si", "no"}, {"oui", "non"}, {"vrai", "faux"}, {"ya", "tidak"},
)  # fmt: skip
_NONE = {"na", "none"}  # texts for unknown numbers; among words these may be names and values
_ABSENT = {mark.lower() for mark in MISSING} - _NONE | {"unknown", "-", "--", "?"}  # texts for unknown values
_SAYS_NONE = (  # a catalog's own word for none: (no genres listed), not specified, [none]
    r"(?i)^(?:\W*(?:no\b.*\b|none |not )"
    r"(?:listed|available|specified|given|provided|assigned|applicable|entered|set|stated)\W*|"
    r"\W*(?:uncategori[sz]ed|unclassified|unspecified)\W*|\W+(?:none|unknown|empty|blank|missing|no \w+)\W+)$"
)
SEPARATORS = ("|", ";", ",", "/")  # between labels of a list; commas and slashes occur in names too, so they are last
_NEAR_TOP = 0.75  # the position on a scale that the highest rating must reach
_EPOCH = (5e8, 4.2e9)  # seconds from 1985 to 2103, the range of numbers that are read as times
_DECIMAL = r"^[-+]?\d*\.\d+$"  # also 13.0
_LABEL = 30  # the largest mean length of a label
_SEVERAL = 0.2  # the least share of titles that have several words
_PARTED = 0.05  # with a separator in a smaller share of the values, it occurs by chance
_MARKUP = re.compile(r"^(https?://|www\.|[\[{<])")


def time_unit(column: pl.Series) -> Unit | None:
    """Return the unit of a column's times; None if they are not times, or most are missing."""
    written = known_texts(column)
    if column.dtype == pl.Time or len(written) <= len(column) / 2:
        return None
    try:
        read = read_times(written if column.dtype == pl.String else column, "s").seconds.drop_nulls()
    except pl.exceptions.PolarsError:
        return None
    except DataError:  # dates whose day and month cannot be distinguished
        return "s"
    if len(read) < MOSTLY * len(written):
        return None
    if column.dtype.is_temporal() or not is_numeric(column):
        return "s"
    inside = (share(read.is_between(_EPOCH[0] * per, _EPOCH[1] * per)) for per in PER_SECOND.values())
    return next((unit for unit, within in zip(PER_SECOND, inside, strict=True) if within >= MOSTLY), None)


def unread_times(column: pl.Series) -> pl.Series:
    """Return the values of a column of times that cannot be parsed; raises DataError as ``read_times`` does."""
    written = text(column)
    return written.filter(read_times(column, "s").seconds.is_null() & ~written.is_in(["", *MISSING]))


def known_texts(column: pl.Series) -> pl.Series:
    """Return the texts of a column that are neither empty nor marks for missing values."""
    written = text(column)
    return written.filter(~written.is_in(["", *MISSING]))


def is_numeric(column: pl.Series) -> bool:
    """Tell whether nearly all values of a column are numbers."""
    written = known_texts(column)
    return len(written) > 0 and int(numbers(written).is_not_null().sum()) >= MOSTLY * len(written)


def is_wordy(column: pl.Series) -> bool:
    """Tell whether nearly all values are words, not addresses or markup."""
    words = share(text(column).str.contains(r"\p{L}{2}"))
    return not is_numeric(column) and words > MOSTLY and share(text(column).str.contains(_MARKUP.pattern)) < 1 - MOSTLY


def is_prose(column: pl.Series) -> bool:
    """Tell whether most of the known values of a column are words, not addresses or lists."""
    written = text(column)
    written = written.filter(written != "")
    words = share(written.str.contains(r"\pL{2}")) > 1 / 2 and not is_numeric(column)
    return words and share(written.str.contains(r"^(https?://|www\.|[\[{])")) < 1 / 2


def are_titles(ids: pl.Series) -> bool:
    """Tell whether ids are titles: words, and several in many of them."""
    values = text(ids).unique()
    several = share(values.str.contains(r"\pL{2}.*\s.*\pL"))
    return several > _SEVERAL and share(values.str.contains(r"\pL{2}")) > MOSTLY - _SEVERAL


def is_flag(column: pl.Series) -> bool:
    """Tell whether a column has yes/no values, in one of the languages of the known column names."""
    return {*known_texts(column).unique().str.to_lowercase()} in _YES_NO


def known_numbers(column: pl.Series) -> np.ndarray:
    """Return the finite numbers of a column, float64."""
    values = numbers(column).drop_nulls().to_numpy()
    return values[np.isfinite(values)]


def share(mask: pl.Series) -> float:
    """Return the share of true values, 0 for an empty column."""
    return float(mask.sum()) / max(1, len(mask))


def mean_length(column: pl.Series) -> float:
    """Return the mean number of characters, 0 for an empty column."""
    return float(text(column).str.len_chars().sum()) / max(1, len(column))


def usual_scale(low: float, high: float) -> tuple[float, float]:
    """Return the usual scale of ratings; their own extremes if none fits.

    Low ratings may be missing, but the highest must be near the top of the scale: 1 to 7 is not part of 1 to 10.
    """
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    for least, most in ((1.0, 5.0), (0.5, 5.0), (0.0, 5.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0)):
        if least <= low and least + _NEAR_TOP * (most - least) <= high <= most:
            return least, most
    return low, high


def liked_from(scale: tuple[float, float]) -> float:
    """Return the least rating of a liked item, about 70 % of the scale: 4 for 1 to 5, 7 for 1 to 10, 0.7 for 0 to 1."""
    low, high = scale
    step = 10.0 ** math.floor(math.log10((high - low) / 4))  # a round number within the scale
    return round(step * math.floor((low + 0.7 * (high - low)) / step + 0.5), 10)


def as_field(column: pl.Series, name: str) -> tuple[FieldSettings | None, str]:
    """Return the attribute settings of a column of the item table, or None, and the reason."""
    if is_list(column) and is_single(elements(column)):
        return _listed(column, name, elements(column), "")
    if not is_single(column):
        return None, "has nested values" if column.dtype.is_nested() else "contains bytes that are not valid text"
    return _single_field(column, name)


def _listed(column: pl.Series, name: str, parts: pl.Series, how: str) -> tuple[FieldSettings | None, str]:
    """Return the settings of a column of lists; ``parts`` are all labels."""
    known = text(parts).filter(text(parts) != "")
    if not len(known):
        return None, "is empty"
    if parts.dtype.is_float() or share(known.str.contains(_DECIMAL)) > 1 / 2:
        return None, f"is a list of numbers, such as {known[0]!r}"
    return FieldSettings(type="list", columns=(name,)), f"a list{how} with {known.n_unique()} labels"


def _single_field(column: pl.Series, name: str) -> tuple[FieldSettings | None, str]:
    written = text(column)
    given = written.filter(written != "")
    found = read_brackets(written) if share(in_brackets(given)) >= MOSTLY else {}
    if found and len(found) >= MOSTLY * given.n_unique():
        return _listed(column, name, pl.Series([part for parts in found.values() for part in parts]), " in brackets")
    unknown, values = _known(written, _ABSENT | _NONE)
    read = amounts(values)
    numeric = len(values) > 0 and int(read.is_not_null().sum()) >= MOSTLY * len(values)
    if not numeric:
        unknown, values = _known(written, _ABSENT)
    useless = _useless(values)
    if useless:
        return None, useless
    absent = f"; unknown: {', '.join(map(repr, unknown))}" if unknown else ""
    if numeric:
        wrong, signed = int(read.is_null().sum()), values.filter(read.is_not_null() & numbers(values).is_null())
        why = f"amounts, such as {signed[0]!r}" if len(signed) else "numbers"
        why += (f", except for {wrong}" if wrong else "") + absent
        return FieldSettings(type="number", columns=(name,), unknown=unknown), why
    for separator in SEPARATORS:
        if evidence := _labels_between(values, separator):
            return FieldSettings(type="list", columns=(name,), separator=separator, unknown=unknown), evidence + absent
    if mean_length(values) >= LONG:
        return None, "is a second long text"
    why = f"{values.n_unique()} different words or names{absent}"
    if share(seem_amounts(values)) >= MOSTLY:
        why = f"looks like amounts, such as {values[0]!r}, and is read as text{absent}; write plain numbers: 1234.50"
    return FieldSettings(type="text", columns=(name,), unknown=unknown), why


def _known(written: pl.Series, absent: Collection[str]) -> tuple[tuple[str, ...], pl.Series]:
    """Return the texts that mean "unknown", and all other values."""
    absent_here = written.str.to_lowercase().is_in([*absent]) | written.str.contains(_SAYS_NONE)
    unknown = tuple(written.filter(absent_here).unique(maintain_order=True))
    return unknown, written.filter(~written.is_in(["", *unknown]))


def _useless(values: pl.Series) -> str:
    """Return why a column has no information about items; "" if it may have."""
    if not len(values):
        return "is empty"
    if values.n_unique() == 1 and len(values) > 1:
        return f"always says {values[0]!r:.40}"
    if share(values.str.contains(_MARKUP.pattern)) > 1 / 2:
        return f"contains addresses or markup, such as {values[0]!r:.40}"
    return ""


def _labels_between(values: pl.Series, separator: str) -> str:
    """Return the reason to read a column as a list of labels between separators, or "".

    Labels are short and occur repeatedly, alone or with others. Commas and slashes also occur in sentences and names,
    so labels between them must occur more often.
    """
    parts = labels(values, separator).explode().drop_nulls()
    if share(values.str.contains(separator, literal=True)) < _PARTED or not len(parts):
        return ""
    again = len(parts) / parts.n_unique()
    if again < (1.5 if separator in "|;" else 2.5) or mean_length(parts) > _LABEL:
        return ""
    return f"{parts.n_unique()} labels between {separator!r}, each {again:.1f} times"
