"""The column of times: by its name or its values, with the unit of its numbers."""

from __future__ import annotations

import polars as pl

from genre_gen.data.readers.dates import Unit, read_times
from genre_gen.data.readers.values import text
from genre_gen.errors import DataError
from genre_gen.new_domain.column_types import MOSTLY, is_numeric, known_texts, share, time_unit, unread_times
from genre_gen.new_domain.decisions import NONE, Decisions, role_key, why_given
from genre_gen.new_domain.names import named, words_of

_PARTS = ("year", "month", "day", "hour", "minute", "second")  # in names of columns


def find_times(known: Decisions) -> Unit:
    """Decide on the column of times, if there is one, and return the unit of its numbers.

    Raises:
        DataError: a column seems to be the time, and cannot be read.
    """
    column = known.given.get("time")
    if column == NONE:
        return "s"
    units = {name: unit for name in known.others() if (unit := time_unit(known.log.frame[name])) is not None}
    if column is None:
        scores = {name: named(name, "time") for name in known.others()}
        column = max((name for name in units if scores[name]), key=scores.__getitem__, default=None)
        column = column or next((name for name in units if _surely_times(known.log.frame[name])), None)
        for name, score in scores.items() if column is None else ():
            if score == 1 or (score > 0 and _nearly_times(known.log.frame[name])):
                _refuse_unread(known, name)
    if column is None:
        return "s"
    _take(known, column)
    return units.get(column, "s")


def _take(known: Decisions, column: str) -> None:
    values, file = known.log.frame[column], known.log.file
    written = known_texts(values)
    try:
        wrong = unread_times(values)
        order = "" if is_numeric(values) or values.dtype.is_temporal() else read_times(values, "s").order
    except DataError as problem:
        raise DataError(f"{file}: {column!r}: {problem}, or go without: {role_key('time', NONE)}") from None
    if len(wrong) > (1 - MOSTLY) * len(written):
        raise _unread(known, column, f"{wrong[0]!r} cannot be read")
    why = why_given("time", known.given) + (f", such as {written[0]!r}" if len(written) else "")
    why += f", read with the {order} first" if order else ""
    if missing := len(values) - len(written):
        why += f"; missing in {missing:,} of {len(values):,} lines, which are dropped"
    known.take("time", column, why + (f"; {len(wrong):,} cannot be read, such as {wrong[0]!r}" if len(wrong) else ""))


def _surely_times(values: pl.Series) -> bool:
    """Tell whether values are certainly times, with any name: dates, or numbers that are nearly all distinct."""
    return not is_numeric(values) or text(values).n_unique() > len(values) // 10


def _nearly_times(values: pl.Series) -> bool:
    """Tell whether values look like times that cannot be parsed: not numbers, but nearly all with digits."""
    return not is_numeric(values) and share(text(values).str.contains(r"\d")) >= MOSTLY


def _refuse_unread(known: Decisions, column: str) -> None:
    """Raise DataError for a column that seems to be the time, with the reason why it cannot be; pass if it is empty."""
    values = known.log.frame[column]
    written = known_texts(values)
    if values.dtype == pl.Time:
        raise _unread(known, column, "it has times of day without a date")
    wrong = unread_times(values)
    if len(wrong):
        raise _unread(known, column, f"{wrong[0]!r} cannot be read")
    if parts := _parts(known):
        raise DataError(
            f"{known.log.file}: the time is in several columns: {', '.join(parts)}; join them into one column, such as "
            f"2024-12-31 10:15:00, or go without: {role_key('time', NONE)}"
        )
    if len(written) > len(values) / 2:
        reason = f"its numbers, such as {written[0]!r}, are outside 1985 to 2103 in any unit of time"
        raise _unread(known, column, reason, f"read them as seconds: {role_key('time', column)}, ")


def _parts(known: Decisions) -> list[str]:
    """Return columns that are a date and a time of day together, the year first; none without year, month and day."""
    found = {part: name for name in known.others() for part in _PARTS if part in words_of(name)}
    return [found[part] for part in _PARTS if part in found] if {*_PARTS[:3]} <= {*found} else []


def _unread(known: Decisions, column: str, reason: str, remedy: str = "") -> DataError:
    """Return the error for a column that seems to be the time and cannot be parsed."""
    return DataError(
        f"{known.log.file}: {column!r} seems to be the time, but {reason}; {remedy}write ISO dates (2024-12-31) or "
        f"seconds since 1970, or go without: {role_key('time', NONE)}"
    )
