"""A data frame as a history."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.event_settings import USUAL_COLUMNS as USUAL_EVENTS
from genre_gen.data.filters import rows_of
from genre_gen.data.history import History
from genre_gen.data.readers.amounts import ratings as read_ratings
from genre_gen.data.readers.dates import LAST_SECOND, likely_unit, read_times
from genre_gen.data.readers.events import hidden_items, settle_events
from genre_gen.data.readers.files import Table
from genre_gen.data.readers.frames import from_frame
from genre_gen.data.readers.values import text
from genre_gen.data.settings import MISSING, USUAL_COLUMNS, Columns
from genre_gen.domain import Domain
from genre_gen.errors import UsageError


def history_of_frame(
    frame: Any,
    catalog: Catalog,
    rating_scale: tuple[float, float] | None,
    not_rated: Collection[float] = (),
    domain: Domain | None = None,
) -> History:
    """Return the history in a data frame with one interaction per row.

    It has a column ``item_id`` or ``title``, and perhaps ``rating`` (null where not rated), ``timestamp`` (seconds
    since 1970, smaller units, or dates; the rows are sorted by it) and ``user_id``, which is then the same in all rows.
    With ``[events]`` in the domain, a column ``event`` tells which rows are in the history, and which hide their item.

    Raises:
        UsageError: no column of items, several users, a rating or time that is invalid, or an unknown kind of event.
        UnknownItemError: an item that the catalog lacks.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not len(frame):
        return History(np.zeros(0, np.int64))
    table = from_frame(frame, "the history")
    users = set() if (user := _column(table, Columns().user)) is None else set(text(user))
    if len(users) > 1:
        raise UsageError(f"the history is a data frame of {len(users)} users; filter it to the rows of one")
    ratings, times = (_column(table, USUAL_COLUMNS[role]) for role in ("rating", "time"))
    history = History.from_events(
        _rows(table, catalog), None if ratings is None else _ratings(ratings, rating_scale, not_rated)
    )
    order = np.arange(len(history))
    if times is not None:
        stamps, order = _times(times)
        history = History(history.rows, history.ratings, stamps).take(order)
    user = users.pop() if users else None
    history = History(history.rows, history.ratings, history.times, user)
    kinds = None if domain is None or not domain.events else _column(table, USUAL_EVENTS)
    if domain is None or kinds is None:
        return history
    return _of_events(history, text(kinds).gather(order), domain)


class _Given:
    """The rows of a history; those of unknown kinds are refused, and others are dropped without a word."""

    def __init__(self, records: pl.DataFrame) -> None:
        """Start with all rows."""
        self.records = records

    def drop(self, wrong: pl.Expr, column: str, kind: str, key: str, policy: str | None = None) -> None:
        """Drop rows; raises UsageError where no policy allows it."""
        wrong = wrong.fill_null(False)
        found = self.records.filter(wrong)
        if policy is None and len(found):
            raise UsageError(f"the history has the event {found[column][0]!r}, which [events] of the domain lacks")
        self.records = self.records.filter(~wrong)


def _of_events(history: History, kinds: pl.Series, domain: Domain) -> History:
    """Return what the events of a history make, which are in the order of time."""
    records = pl.DataFrame({"row": history.rows, "event": kinds}).with_row_index("record")
    records = records.with_columns(user=pl.lit(""))
    if history.times is not None:
        records = records.with_columns(time=history.times)
    given = _Given(records)
    hidden = hidden_items(settle_events(given, domain.events, domain.data.policies.duplicates), given.records)
    kept = history.take(given.records["record"].to_numpy())
    return replace(kept, hidden=None if hidden is None else hidden.of(""))


def user_of_frame(frame: Any) -> str | None:
    """Return the user id of a frame that ``history_of_frame`` has read, if any."""
    users = _column(from_frame(frame, "the history"), Columns().user)
    return None if users is None else text(users)[0]


def _column(table: Table, names: Iterable[str]) -> pl.Series | None:
    return next((table.frame[name] for name in names if name in table.frame.columns), None)


def _rows(table: Table, catalog: Catalog) -> list[int]:
    if (ids := _column(table, Columns().item)) is not None:
        return [catalog.row(item) for item in text(ids)]
    if (titles := _column(table, Columns().title)) is not None:
        return list(rows_of(catalog, text(titles).to_list()))
    raise UsageError(f"the history has columns {', '.join(table.frame.columns)}; name one of them item_id or title")


def _ratings(column: pl.Series, scale: tuple[float, float] | None, not_rated: Collection[float] = ()) -> list[float]:
    values = read_ratings(column)
    stands_for_none = values.is_in(pl.Series(not_rated, dtype=pl.Float64).implode()).fill_null(False)
    values, written = values.set(stands_for_none, None), text(column).set(stands_for_none, "")
    low, high = scale or (None, None)
    wrong = values.is_null() & ~written.is_in(["", *MISSING]) | ~values.is_finite().fill_null(True)
    if low is not None and high is not None:
        wrong |= ~values.is_between(low, high).fill_null(True)
    if wrong.any():
        off = "" if scale is None else f" from {low:g} to {high:g}"
        raise UsageError(f"the history has the rating {column.filter(wrong)[0]!r}; ratings must be numbers{off}")
    return values.fill_null(float("nan")).to_list()


def _times(column: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return times in seconds, and the order of the rows by the full time; ties keep the order of the rows."""
    times, exact, _ = read_times(column, "s")
    largest = int(times.abs().max() or 0)  # type: ignore[call-overload, arg-type]
    if largest > LAST_SECOND:
        times, exact, _ = read_times(column, likely_unit(largest))
    if times.null_count():
        raise UsageError("the history has times that are missing or cannot be read; give a time to each, or no column")
    stamps = times.to_numpy()
    return stamps, np.argsort(stamps if exact is None else exact.to_numpy(), kind="stable")
