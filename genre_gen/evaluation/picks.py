"""Evaluating lists of picks, ours or another library's, by the protocol of all models."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre_gen.data.arguments import check_path
from genre_gen.data.catalog import Catalog
from genre_gen.data.frames import is_frame
from genre_gen.data.ids import tied
from genre_gen.data.normal_form import composed
from genre_gen.data.readers.delimited import read_delimited
from genre_gen.data.readers.frames import plain, to_polars
from genre_gen.data.readers.recbole import RecBole, read_atomic
from genre_gen.data.readers.values import text
from genre_gen.data.settings import Columns
from genre_gen.data.splits import Case, Part, Split, check_split
from genre_gen.errors import DataError, UsageError, quoted
from genre_gen.evaluation.protocol import evaluate_lists, lists_from_picks
from genre_gen.evaluation.report import Report
from genre_gen.recommender.state import RecommenderState

log = logging.getLogger(__name__)
CUT_OFFS = (5, 10, 20)
SUFFIXES = (".parquet", ".jsonl", ".csv", ".tsv", ".inter")
_LISTS = "items"  # LensKit's column of lists
_COLUMNS = {"user": Columns().user, "item": Columns().item, "rank": ("rank",), "score": ("score", "prediction")}


def evaluate_picks(
    state: RecommenderState, split: Split, part: Part, picks: Any, *, repeat: bool | None = None
) -> Report:
    """Evaluate a file of picks or a data frame of them, see ``read_picks``.

    The figures are means over all cases of the part. A target outside the picks is a miss, and so is that of a user
    without picks; an item that the catalog lacks keeps its rank, and users without a case are left out. Each of these
    is logged with its count, which ``notes["picks"]`` of the report has too.

    Args:
        state: the trained recommender whose catalog and domain the report has.
        split: the split that the picks were made for.
        part: ``test`` or ``validation``.
        picks: a file or a data frame.
        repeat: whether items of the history may be among the picks; None for what the domain says.

    Example:
        >>> evaluate_picks(recommender.state, split, "test", Path("lenskit-run.parquet"))

    Raises:
        DataError: no picks, or none of a user with a case, or of an item of the catalog.
        UsageError: ranks that are repeated or impossible, or lists that break the rules of the protocol.
    """
    check_split(split)
    cases, size = split.cases(part), len(state.catalog)
    table = _tied(read_picks(picks), state.catalog, cases)
    name = "the picks" if is_frame(picks) else str(picks)
    ranks = table["rank"].to_numpy()
    if (ranks > size).any():
        raise UsageError(f"{name}: a rank of {ranks.max():,}, but the catalog has {size:,} items")
    repeat = state.domain.repeat if repeat is None else repeat
    users, items = table["user_id"].to_list(), table["item_id"].to_list()
    counts = _counts(name, users, items, state.catalog, cases)
    rows = np.array([state.catalog.row(item) if item in state.catalog else -1 for item in items], np.int64)
    lists = lists_from_picks(users, ranks, rows, cases)
    cuts = tuple(cut for cut in CUT_OFFS if cut <= lists.shape[1]) or (lists.shape[1],)
    if not repeat:
        _check_unseen(name, lists, cases)
    report = evaluate_lists(
        "picks" if is_frame(picks) else Path(picks).name, lists, cases, size, cuts, repeat=repeat,
        counts=state.item_counts, labels=state.labels, data=state.domain.name, split=f"{split.name}, {part}",
    )  # fmt: skip
    given = (lists >= 0).sum(axis=1)
    counts["short_lists"] = int(((given > 0) & (given < cuts[-1])).sum())
    _tell(name, counts, report, cuts[-1])
    if not np.isfinite(report.results[0].ranks).any():
        log.warning(
            "none of the %(part)s items is among these picks: were they made from whole histories? Cut histories at "
            "the split's %(part)s part", {"part": part},
        )  # fmt: skip
    return replace(report, notes={**report.notes, "picks": counts})


def _counts(
    name: str, users: Sequence[str], items: Sequence[str], catalog: Catalog, cases: Sequence[Case]
) -> dict[str, int]:
    """Return how many users and picks can be scored and how many cannot; raises DataError if none can."""
    asked = {composed(str(case.history.user)) for case in cases}
    given = set(users)
    unknown = sum(item not in catalog for item in items)
    if not given & asked:
        known = ", ".join(sorted(asked)[:3])
        raise DataError(
            f"{name}: none of its {len(given):,} users (such as {quoted(users[0])}) has a case in this split; give the "
            f"users' ids of the data, such as {known}"
        )
    if unknown == len(items):
        known = ", ".join(item.id for item in catalog[:3])
        raise DataError(
            f"{name}: none of its items (such as {quoted(items[0])}) is in the catalog; give the items' ids of the "
            f"data, such as {known}"
        )
    return {
        "users": len(given & asked),
        "users_without_picks": len(asked - given),
        "users_without_case": len(given - asked),
        "unknown_items": unknown,
    }


def _check_unseen(name: str, lists: NDArray[np.int64], cases: Sequence[Case]) -> None:
    """Raise UsageError for picks that the user had before, with their number."""
    seen = np.array([int(np.isin(picks, case.history.rows).sum()) for case, picks in zip(cases, lists, strict=True)])
    if seen.any():
        first = cases[int(np.argmax(seen > 0))].history.user
        raise UsageError(
            f"{name}: {seen.sum():,} picks of {int((seen > 0).sum()):,} users (such as {quoted(first)}) are items that "
            "the user had before, which are not ranked here; leave them out of the picks, or to rank them too, pass "
            "repeat=True"
        )


def _tell(name: str, counts: Mapping[str, int], report: Report, n: int) -> None:
    """Log what the figures do not say themselves."""
    asked = len(report.users)
    if missing := counts["users_without_picks"]:
        metric = report.headline
        mean = report.results[0].figure(metric)
        log.warning(
            "%s: picks for %s of %s users; the other %s count as misses (%s over those with picks: %.4f)", name,
            f"{counts['users']:,}", f"{asked:,}", f"{missing:,}", metric, mean * asked / counts["users"],
        )  # fmt: skip
    if others := counts["users_without_case"]:
        log.warning("%s: %s users have no case in this split, and are left out", name, f"{others:,}")
    if unknown := counts["unknown_items"]:
        log.warning("%s: %s picks are of items that the catalog lacks, and count as misses", name, f"{unknown:,}")
    if short := counts["short_lists"]:
        log.warning("%s: %s users have fewer than %d picks; what they lack counts as misses", name, f"{short:,}", n)


def _tied(table: pl.DataFrame, catalog: Catalog, cases: Sequence[Case]) -> pl.DataFrame:
    """Return picks with the ids of the data where they are the same whole numbers: 5863.0 and 5863."""
    users = pl.Series([str(case.history.user) for case in cases], dtype=pl.String).unique()
    items = pl.Series([item.id for item in catalog], dtype=pl.String)
    known = [tied(table["user_id"], users).alias("user_id"), tied(table["item_id"], items).alias("item_id")]
    for ids, kind in zip(known, ("users", "items"), strict=True):
        if changed := int((ids != table[ids.name]).sum()):
            log.warning("the picks: ids of %s in %s picks are read as the same whole numbers", kind, f"{changed:,}")
    return table.with_columns(known)


def read_picks(picks: Any) -> pl.DataFrame:
    """Read picks into ``user_id``, ``item_id`` (text) and ``rank`` (int64), one row per pick, other columns as well.

    Users and items may have any of the names that data has (``user_id``, ``user``, ``userId``; ``item_id``, ...).
    Where there is no ``rank``, ``score`` (or ``prediction``) decides: the highest is first, ties keep the order of the
    rows, and picks without a finite score are left out. Of an item that a user has several times, the best pick counts.
    LensKit's lists, a user a row with a column ``items``, are read too.

    Args:
        picks: a file, Parquet, JSON lines, CSV, TSV or RecBole's ``.inter``, or a data frame.

    Raises:
        DataError: no picks, a column that is missing, or values that cannot be ids or ranks.
    """
    name = "the picks" if is_frame(picks) else str(picks)
    table = _unnested(to_polars(picks if is_frame(picks) else _read(check_path(picks, "picks")), name))
    found = {role: next((name for name in names if name in table.columns), None) for role, names in _COLUMNS.items()}
    missing = [role for role in ("user", "item") if found[role] is None]
    if missing or (found["rank"] is None and found["score"] is None):
        wanted = " or ".join(_COLUMNS[missing[0]][:1] if missing else ("rank", "score"))
        raise DataError(f"{name}: no column {wanted}; it has {', '.join(table.columns)}")
    table = table.rename({str(found["user"]): "user_id", str(found["item"]): "item_id"})
    try:
        table = table.with_columns(text(plain(table["user_id"])), text(plain(table["item_id"])))
    except pl.exceptions.PolarsError as problem:
        raise DataError(f"{name}: users and items must be ids ({_first_line(problem)})") from None
    key = "score" if found["rank"] is None else "rank"
    values = _numbers(table, str(found["score"]) if found["rank"] is None else "rank", name).alias(key)
    table = table.with_columns(values).filter(pl.col(key).is_not_null())
    if key == "score":
        return _ranked(_once(table.filter(pl.col("score").is_finite()), "score", name))
    if (table["rank"] % 1 != 0).any():
        raise DataError(f"{name}: ranks must be whole numbers from 1, the best")
    return _once(table.with_columns(pl.col("rank").cast(pl.Int64)), "rank", name)


def _read(file: Path) -> pl.DataFrame:
    if file.suffix not in SUFFIXES:
        raise DataError(f"{file}: not a file of picks; its name should end in {', '.join(SUFFIXES)}")
    try:
        if file.suffix in RecBole.suffixes:
            return read_atomic(file).frame
        if file.suffix in {".csv", ".tsv"}:
            return read_delimited(file).frame
        # Beyond the first lines of JSON a column may cease to be empty, so all are looked at for its type.
        reads_json = file.suffix == ".jsonl"
        return pl.read_ndjson(file, infer_schema_length=None) if reads_json else pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise DataError(
            f"{file}: not a file of picks ({_first_line(problem)}); give a file of write_picks, or any table of "
            "user_id, item_id and rank or score"
        ) from None


def _unnested(table: pl.DataFrame) -> pl.DataFrame:
    """Return LensKit's lists as one item a row; another table as it is."""
    lists = table.schema.get(_LISTS)
    if not (isinstance(lists, pl.List) and isinstance(lists.inner, pl.Struct)):
        return table
    return table.explode(_LISTS).drop_nulls(_LISTS).unnest(_LISTS)


def _ranked(table: pl.DataFrame) -> pl.DataFrame:
    rank = pl.col("score").rank("ordinal", descending=True).over("user_id")
    return table.with_columns(rank.cast(pl.Int64).alias("rank"))


def _once(table: pl.DataFrame, by: str, name: str) -> pl.DataFrame:
    """Return the best pick of each item for a user, by rank or score; others are logged with their number."""
    place = pl.col(by).rank("ordinal", descending=by == "score").over("user_id", "item_id")
    once = table.filter(place == 1)
    if again := len(table) - len(once):
        log.warning("%s: %s picks repeat an item of the same user; the best one counts", name, f"{again:,}")
    return once


def _numbers(table: pl.DataFrame, column: str, name: str) -> pl.Series:
    """Return a column as float64, null where nothing stands."""
    values = table[column]
    try:
        if values.dtype == pl.String:
            values = values.replace("", None)
        return values.cast(pl.Float64).fill_nan(None)
    except pl.exceptions.PolarsError as problem:
        raise DataError(f"{name}: not a number as {column} ({_first_line(problem)})") from None


def _first_line(problem: Exception) -> str:
    return str(problem).strip().split("\n")[0]
