"""Make Interactions of a table: the same checks for every format, each counted and reported."""

from __future__ import annotations

import numpy as np
import polars as pl

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions, Reviews
from genre_gen.data.readers.files import Table
from genre_gen.data.readers.report import LoadReport
from genre_gen.data.readers.values import LAST_SECOND, numbers, seconds, text
from genre_gen.data.settings import Policies
from genre_gen.domain import Domain
from genre_gen.errors import DataError


def to_interactions(table: Table, catalog: Catalog, domain: Domain, report: LoadReport) -> Interactions:
    """Make the histories of an interaction table, in time order, or in file order if it has no times.

    Raises DataError for a missing column, if records violate the policies, or if no interactions are left.
    """
    frame = _Checked(_columns(table, domain), table, report, domain.data.policies)
    for name in ("user", "item"):
        frame.drop(pl.col(name) == "", name, f"no {name}", "missing_ids")
    rows = pl.DataFrame({"item": [item.id for item in catalog], "row": np.arange(len(catalog))})
    frame.records = frame.records.join(rows, on="item", how="left", maintain_order="left")
    frame.drop(pl.col("row").is_null(), "item", "item not in the catalog", "unknown_items")
    _check_ratings(frame, domain)
    _check_times(frame)
    _settle_duplicates(frame, domain.data.policies.duplicates)
    records = frame.records
    if records.is_empty():
        raise DataError(f"{table.file}: no interactions{' left' if len(report) else ' in it'}; check the file")
    return Interactions.from_columns(
        records["user"].to_list(),
        records["row"].to_numpy(),
        len(catalog),
        records["rating"].fill_null(float("nan")).to_numpy() if "rating" in records.columns else None,
        records["time"].to_numpy() if "time" in records.columns else None,
        _reviews(records),
    )


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
        """Report invalid records, and drop them unless the policy (by default the setting's value) keeps them."""
        policy = policy or getattr(self._policies, key)
        mask = self.records.select(wrong.fill_null(False)).to_series()
        failed = self.records.filter(mask)
        self._report.check(self._table, failed["record"], failed[column], kind, key, policy)
        if len(failed) and policy != "keep":
            self.records = self.records.filter(~mask)


def _columns(table: Table, domain: Domain) -> pl.DataFrame:
    """Return the known columns under standard names, with record numbers; rating and time only if present.

    ``rating`` and ``time`` are numbers, null if they cannot be parsed; ``*_written`` is the file's own text.
    """
    columns = domain.data.columns
    users = table.series(columns.user, "user", "data.columns.user")
    items = table.series(columns.item, "item", "data.columns.item")
    series = [text(users).alias("user"), text(items).alias("item")]
    if (ratings := table.optional(columns, "rating")) is not None:
        series += [text(ratings).alias("rating_written"), numbers(ratings).alias("rating")]
    if (times := table.optional(columns, "time")) is not None:
        series += [text(times).alias("time_written"), _seconds(table, times, domain.data.time_unit).alias("time")]
    for name in ("summary", "review"):
        if (written := table.optional(columns, name)) is not None:
            series.append(text(written).alias(name))
    return pl.DataFrame(series).with_row_index("record")


def _seconds(table: Table, times: pl.Series, unit: str) -> pl.Series:
    try:
        return seconds(times, unit)
    except DataError as problem:
        raise DataError(f"{table.file}: column {times.name!r}: {problem}") from None


def _check_ratings(frame: _Checked, domain: Domain) -> None:
    """Check that ratings are numbers, finite and on the domain's scale; an empty one means "not rated"."""
    if "rating" not in frame.records.columns:
        return
    rating, written = pl.col("rating"), "rating_written"
    frame.drop(rating.is_null() & (pl.col(written) != ""), written, "rating is not a number", "ratings")
    frame.drop(~rating.is_finite(), written, "rating is not finite", "ratings")
    if domain.rating_scale is not None:
        low, high = domain.rating_scale
        frame.drop(~rating.is_between(low, high), written, f"rating outside {low:g} to {high:g}", "ratings")
    if frame.records["rating"].null_count() == len(frame.records):
        frame.records = frame.records.drop("rating")  # an entirely empty column
    else:
        frame.drop(rating.is_null(), written, "no rating", "ratings", policy="keep")


def _check_times(frame: _Checked) -> None:
    """Check that every record has a valid time before the year 10000."""
    if "time" not in frame.records.columns:
        return
    time, beyond = pl.col("time"), 'time is after the year 9999 (data.time_unit = "ms"?)'
    frame.drop(time.is_null(), "time_written", "time cannot be read", "times")
    frame.drop(time.abs() > LAST_SECOND, "time_written", beyond, "times")


def _settle_duplicates(frame: _Checked, policy: str) -> None:
    """Apply the policy for repeated interactions with an item; first and last are by time, ties in file order."""
    user = pl.col("user").cast(pl.Categorical).to_physical().cast(pl.Int64)
    pair = user * 2**32 + pl.col("row")  # comparing one number is ten times faster than comparing user and row
    records = frame.records.with_columns(pair=pair)
    if "time" in records.columns:
        records = records.sort("time", maintain_order=True)
    kept = pl.col("pair").is_last_distinct() if policy == "keep_last" else pl.col("pair").is_first_distinct()
    frame.records = records.with_columns(again=~kept).sort("record")
    frame.drop(pl.col("again"), "item", "item more than once for one user", "duplicates")
