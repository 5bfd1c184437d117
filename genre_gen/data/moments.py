"""Moments: times given by a person, as int seconds since 1970."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from numbers import Real
from typing import Any

import numpy as np

from genre_gen.errors import UsageError, quoted


def to_moment(value: object) -> int:
    """Return a moment in whole seconds since 1970, rounded down.

    Args:
        value: seconds since 1970, a ``datetime`` or ``date``, or ISO text such as ``2024-12-31`` or
            ``2024-12-31T18:05:00+01:00``. A time without a zone is in UTC.

    Raises:
        UsageError: the value is of another kind, or after the year 9999.
    """
    return math.floor(to_time(value))


def to_time(value: object) -> float:
    """Return a moment as seconds since 1970 with their fraction; see ``to_moment``."""
    from genre_gen.data.readers.dates import LAST_SECOND

    seconds = _seconds(value)
    if seconds is None or not abs(seconds) <= LAST_SECOND:
        raise UsageError(
            f"{quoted(value)} is not a moment; give seconds since 1970, a datetime, or ISO text such as "
            "2024-12-31T18:05:00Z"
        )
    return seconds


def _seconds(value: object) -> float | None:
    """Return seconds since 1970; None if the value is not a moment."""
    if isinstance(value, np.generic):
        value = value.astype("datetime64[us]").item() if value.dtype.kind == "M" else value.item()
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, str):
        import polars as pl

        from genre_gen.data.readers.dates import read_dates

        written = value.strip()
        if not written[:4].isdigit():
            return None
        return _of_date(*read_dates(pl.Series([written]))[:2])
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _of_date(seconds: Any, exact: Any) -> float | None:
    """Return the time of a column of one date; beyond the year 2262 its exact time is not in nanoseconds."""
    whole = seconds[0]
    return exact[0] / 1e9 if exact is not None and exact[0] // 10**9 == whole else whole
