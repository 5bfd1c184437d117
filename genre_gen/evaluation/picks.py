"""Evaluating lists of picks, ours or another library's, by the protocol of all models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genre_gen.data.catalog import Catalog
from genre_gen.data.frames import is_frame
from genre_gen.data.ids import tied
from genre_gen.data.readers.delimited import read_delimited
from genre_gen.data.readers.frames import plain, to_polars
from genre_gen.data.readers.recbole import RecBole, read_atomic
from genre_gen.data.settings import Columns
from genre_gen.data.splits import Case, Part, Split
from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.protocol import evaluate_lists, lists_from_picks
from genre_gen.evaluation.report import Report
from genre_gen.recommender.state import RecommenderState

log = logging.getLogger(__name__)
CUT_OFFS = (5, 10, 20)
SUFFIXES = (".parquet", ".jsonl", ".csv", ".tsv", ".inter")
_LISTS = "items"  # LensKit's column of lists
_COLUMNS = {"user": Columns().user, "item": Columns().item, "rank": ("rank",), "score": ("score", "prediction")}


def evaluate_picks(state: RecommenderState, split: Split, part: Part, picks: Any) -> Report:
    """Evaluate a file of picks or a data frame of them, see ``read_picks``; a target outside the picks is a miss.

    Example:
        >>> evaluate_picks(recommender.state, split, "test", Path("lenskit-run.parquet"))

    Raises:
        DataError: no picks.
        UsageError: ranks that are repeated or impossible, or lists that break the rules of the protocol.
        UnknownItemError: an item that the catalog lacks.
    """
    table, size = _tied(read_picks(picks), state.catalog, split.cases(part)), len(state.catalog)
    name = "picks" if is_frame(picks) else Path(picks).name
    ranks = table["rank"].to_numpy()
    if (ranks > size).any():
        raise UsageError(f"{picks}: a rank of {ranks.max():,}, but the catalog has {size:,} items")
    rows = np.array([state.catalog.row(item) for item in table["item_id"].to_list()], np.int64)
    lists = lists_from_picks(table["user_id"].to_list(), ranks, rows, split.cases(part))
    report = evaluate_lists(
        name,
        lists,
        split.cases(part),
        size,
        tuple(cut for cut in CUT_OFFS if cut <= lists.shape[1]) or (lists.shape[1],),
        repeat=state.domain.repeat,
        counts=state.item_counts,
        labels=state.labels,
        data=state.domain.name,
        split=f"{split.name}, {part}",
    )
    if not np.isfinite(report.results[0].ranks).any():
        log.warning(
            "none of the %(part)s items is among these picks: were they made from whole histories? Cut histories at "
            "the split's %(part)s part", {"part": part},
        )  # fmt: skip
    return report


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
    rows, and picks without a finite score are left out. LensKit's lists, a user a row with a column ``items``, are
    read too.

    Args:
        picks: a file, Parquet, JSON lines, CSV, TSV or RecBole's ``.inter``, or a data frame.

    Raises:
        DataError: no picks, a column that is missing, or values that cannot be ids or ranks.
    """
    name = "the picks" if is_frame(picks) else str(picks)
    table = _unnested(to_polars(picks if is_frame(picks) else _read(Path(picks)), name))
    found = {role: next((name for name in names if name in table.columns), None) for role, names in _COLUMNS.items()}
    missing = [role for role in ("user", "item") if found[role] is None]
    if missing or (found["rank"] is None and found["score"] is None):
        wanted = " or ".join(_COLUMNS[missing[0]][:1] if missing else ("rank", "score"))
        raise DataError(f"{name}: no column {wanted}; it has {', '.join(table.columns)}")
    table = table.rename({str(found["user"]): "user_id", str(found["item"]): "item_id"})
    table = _ranked(table, str(found["score"]), name) if found["rank"] is None else table
    ranks = _numbers(table, "rank", name)
    if (ranks % 1 > 0).any():
        raise DataError(f"{name}: ranks must be whole numbers from 1, the best")
    table = table.with_columns(ranks.cast(pl.Int64), plain(table["user_id"]), plain(table["item_id"]))
    try:
        return table.filter(pl.col("rank").is_not_null()).cast({"user_id": pl.String, "item_id": pl.String})
    except pl.exceptions.PolarsError as problem:
        raise DataError(f"{name}: users and items must be ids ({_first_line(problem)})") from None


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


def _ranked(table: pl.DataFrame, score: str, name: str) -> pl.DataFrame:
    scores = _numbers(table, score, name).alias("score")
    table = table.with_columns(scores).filter(pl.col("score").is_finite())
    rank = pl.col("score").rank("ordinal", descending=True).over("user_id")
    return table.with_columns(rank.alias("rank"))


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
