"""Make Interactions of a table: the same checks for every format, each counted and reported."""

from __future__ import annotations

import numpy as np
import polars as pl

from genre_gen.data.catalog import Catalog
from genre_gen.data.event_settings import USUAL_COLUMNS
from genre_gen.data.events import EventKinds
from genre_gen.data.ids import all_whole, bare, tied
from genre_gen.data.interactions import Interactions, Reviews
from genre_gen.data.order import OrderShares, order_remark
from genre_gen.data.readers.amounts import ratings as read_ratings
from genre_gen.data.readers.dates import LAST_SECOND, PER_SECOND, likely_unit, read_times
from genre_gen.data.readers.events import hidden_items, settle_events
from genre_gen.data.readers.files import Table
from genre_gen.data.readers.missing import is_missing
from genre_gen.data.readers.report import LoadReport
from genre_gen.data.readers.values import text
from genre_gen.data.settings import Policies
from genre_gen.domain import Domain
from genre_gen.errors import DataError

UNKNOWN_ITEM = "item not in the catalog"
"""The kind of problem under which interactions with items that the item file lacks are counted."""
REPEATED = "item more than once for one user"
"""How a report calls interactions with an item that the user had before."""


def to_interactions(table: Table, catalog: Catalog, domain: Domain, report: LoadReport) -> Interactions:
    """Make the histories of an interaction table, in time order, or in file order if it has no times.

    Raises DataError for a missing column, if records violate the policies, or if no interactions are left.
    """
    frame = _Checked(log_columns(table, domain), table, report, domain.data.policies)
    for name in ("user", "item"):
        if frame.records.select(is_missing(name, domain.data.missing).any()).item():
            frame.drop(pl.col(name) == "", name, f"no {name}", "missing_ids")
            marked = is_missing(name, domain.data.missing)
            frame.drop(marked, name, f"{name} is a mark for missing (data.missing)", "missing_ids")
    _tie_users(frame)
    _find_items(frame, catalog)
    frame.drop(pl.col("row").is_null(), "item", UNKNOWN_ITEM, "unknown_items")
    _check_ratings(frame, domain)
    _check_times(frame, domain)
    duplicates, events = domain.data.policies.duplicates, domain.events
    hiding = settle_events(frame, events, duplicates) if events else None
    _settle_duplicates(frame, duplicates)
    records = frame.records
    if records.is_empty():
        raise DataError(f"{table.file}: no interactions {report.why_none(table) or 'in it'}; check the file")
    kinds = EventKinds.of(events) if events else None
    interactions = Interactions.from_columns(
        records["user"].to_list(),
        records["row"].to_numpy(),
        len(catalog),
        records["rating"].fill_null(float("nan")).to_numpy() if "rating" in records.columns else None,
        records["time"].to_numpy() if "time" in records.columns else None,
        _reviews(records),
        records["exact_time"].to_numpy() if "exact_time" in records.columns else None,
        kinds,
        None if kinds is None else kinds.index(records["event"]),
        None if hiding is None else hidden_items(hiding, records),
    )
    report.order = OrderShares.loaded(interactions, catalog, records)
    if remark := order_remark(report.order, records):
        report.remarks.append(f"{table.file}: {remark}")
    return interactions


def _reviews(records: pl.DataFrame) -> Reviews | None:
    """Return the reviews; None if no column of them is read."""
    if not {"summary", "review"} & set(records.columns):
        return None
    none = pl.Series([""], dtype=pl.String).new_from_index(0, len(records))
    return Reviews(*(records[name] if name in records.columns else none for name in ("summary", "review")))  # type: ignore[arg-type]


class _Checked:
    """The records of a table that passed the checks so far."""

    def __init__(self, records: pl.DataFrame, table: Table, report: LoadReport, policies: Policies) -> None:
        """Start with all records."""
        self.records, self._table, self._report, self._policies = records, table, report, policies

    def drop(self, wrong: pl.Expr, column: str, kind: str, key: str, policy: str | None = None) -> None:
        """Report invalid records, and drop them unless the policy (by default the setting's value) keeps them.

        With the policy ``unknown`` they lose their rating only.
        """
        policy = policy or getattr(self._policies, key)
        mask = self.records.select(wrong.fill_null(False)).to_series()
        if not mask.any():
            return
        failed = self.records.select("record", column).filter(mask)
        self._report.check(self._table, failed["record"], failed[column], kind, key, policy)
        if policy == "unknown":
            self.records = self.records.with_columns(self.records["rating"].set(mask, None))
        elif policy != "keep":
            self.records = self.records.filter(~mask)

    def note(self, records: pl.DataFrame, column: str, kind: str) -> None:
        """Report records that are kept."""
        self._report.check(self._table, records["record"], records[column], kind, "", "keep")


def log_columns(table: Table, domain: Domain) -> pl.DataFrame:
    """Return the known columns under standard names, with record numbers; rating and time only if present.

    ``rating`` and ``time`` are numbers, null if they cannot be parsed; ``*_written`` is the file's own text.
    """
    columns = domain.data.columns
    users = table.series(columns.user, "user", "data.columns.user")
    items = table.series(columns.item, "item", "data.columns.item")
    series = [text(users).alias("user"), text(items).alias("item")]
    if (ratings := table.optional(columns, "rating")) is not None:
        series += [text(ratings).alias("rating_written"), read_ratings(ratings).alias("rating")]
    if (times := table.optional(columns, "time")) is not None:
        seconds, exact = _times(table, times, domain.data.time_unit)
        series += [text(times).alias("time_written"), seconds.alias("time")]
        series += [] if exact is None else [exact.alias("exact_time")]
    for name in ("summary", "review"):
        if (written := table.optional(columns, name)) is not None:
            series.append(text(written).alias(name))
    if domain.events:
        kinds = table.series(columns.event or USUAL_COLUMNS, "kind of event", "data.columns.event")
        series.append(text(kinds).alias("event"))
    return pl.DataFrame(series).with_row_index("record")


def _times(table: Table, times: pl.Series, unit: str) -> tuple[pl.Series, pl.Series | None]:
    try:
        return read_times(times, unit)[:2]
    except DataError as problem:
        raise DataError(f"{table.file}: column {times.name!r}: {problem}") from None


def _tie_users(frame: _Checked) -> None:
    """Read the ids of users that were floats as whole numbers, if the whole column was."""
    if all_whole(frame.records["user"]):
        decimal = frame.records.filter(pl.col("user").str.contains(".", literal=True))
        frame.note(decimal, "user", "user id read as the same whole number")
        frame.records = frame.records.with_columns(bare(frame.records["user"]))


def _find_items(frame: _Checked, catalog: Catalog) -> None:
    """Add the catalog row of each item; an id that the catalog lacks may be the same whole number: 5863.0 and 5863."""
    rows = pl.DataFrame({"item": [item.id for item in catalog], "row": np.arange(len(catalog))})
    records = frame.records.join(rows, on="item", how="left", maintain_order="left")
    lacking = records["row"].is_null().arg_true()
    if len(lacking):
        ids = tied(records["item"][lacking], rows["item"])
        same = ids.to_frame().join(rows, on="item", how="left", maintain_order="left")
        records = records.with_columns(records["row"].scatter(lacking, same["row"]))
        found = lacking.filter(same["row"].is_not_null())
        frame.note(records[found], "item", "item id read as the same whole number")
    frame.records = records


def _check_ratings(frame: _Checked, domain: Domain) -> None:
    """Check that ratings are numbers, finite and on the domain's scale; an empty one means "not rated"."""
    if "rating" not in frame.records.columns:
        return
    rating, written = pl.col("rating"), "rating_written"
    missing = is_missing(written, domain.data.missing)
    frame.drop(rating.is_null() & ~missing, written, "rating is not a number", "ratings")
    frame.drop(~rating.is_finite(), written, "rating is not finite", "ratings")
    if domain.data.not_rated:
        stands_for_none = rating.is_in(list(domain.data.not_rated))
        frame.drop(stands_for_none, written, "rating means not rated (data.not_rated)", "ratings", policy="unknown")
    if domain.rating_scale is not None:
        low, high = domain.rating_scale
        frame.drop(~rating.is_between(low, high), written, f"rating outside {low:g} to {high:g}", "ratings")
    if frame.records["rating"].null_count() == len(frame.records):
        frame.records = frame.records.drop("rating")  # an entirely empty column
    else:
        frame.drop(rating.is_null() & missing, written, "no rating", "ratings", policy="keep")


def _check_times(frame: _Checked, domain: Domain) -> None:
    """Check that every record has a valid time before the year 10000."""
    if "time" not in frame.records.columns:
        return
    time, written = pl.col("time"), "time_written"
    frame.drop(time.is_null() & is_missing(written, domain.data.missing), written, "no time", "times")
    frame.drop(time.is_null(), written, "time cannot be read", "times")
    last = frame.records["time"].abs().max() or 0
    unit = likely_unit(float(last) * PER_SECOND[domain.data.time_unit])  # type: ignore[arg-type]
    beyond = f'time is after the year 9999 (data.time_unit = "{unit}"?)'
    frame.drop(time.abs() > LAST_SECOND, written, beyond, "times")


def _settle_duplicates(frame: _Checked, policy: str) -> None:
    """Apply the policy for repeated interactions with an item; first and last are by time, ties in file order."""
    user = pl.col("user").cast(pl.Categorical).to_physical().cast(pl.Int64)
    pair = (user * 2**32 + pl.col("row")).alias("pair")  # comparing one number is ten times faster than two columns
    when = [name for name in ("exact_time", "time") if name in frame.records.columns][:1]
    records = frame.records.select("record", pair, *when)
    if when:
        records = records.sort(when, maintain_order=True)
    kept = pl.col("pair").is_last_distinct() if policy == "keep_last" else pl.col("pair").is_first_distinct()
    again = records.select("record", again=~kept).sort("record")["again"]
    frame.records = frame.records.with_columns(again)
    frame.drop(pl.col("again"), "item", REPEATED, "duplicates")
