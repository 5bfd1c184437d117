"""Evaluating a file of picks by the protocol of all models."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import polars as pl

from genre_gen.data.splits import Part, Split
from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.protocol import evaluate_lists, lists_from_picks
from genre_gen.evaluation.report import Report
from genre_gen.recommender.state import RecommenderState

log = logging.getLogger(__name__)
CUT_OFFS = (5, 10, 20)


def evaluate_picks(state: RecommenderState, split: Split, part: Part, file: Path) -> Report:
    """Evaluate a file of ``write_picks``, or any table of user, rank and item; a target outside the picks is a miss.

    Raises:
        DataError: no file of picks.
        UsageError: ranks that are repeated or impossible, or lists that break the rules of the protocol.
        UnknownItemError: an item that the catalog lacks.
    """
    table, size = read_picks(file), len(state.catalog)
    ranks = table["rank"].to_numpy()
    if (ranks > size).any():
        raise UsageError(f"{file}: a rank of {ranks.max():,}, but the catalog has {size:,} items")
    rows = np.array([state.catalog.row(item) for item in table["item"].to_list()], np.int64)
    lists = lists_from_picks(table["user"].to_list(), ranks, rows, split.cases(part))
    report = evaluate_lists(
        file.name,
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


def read_picks(file: Path) -> pl.DataFrame:
    """Read a picks file of either kind, one row per pick, with ids as text and ranks as int64.

    Raises:
        DataError: no file of picks, a column that is missing, or values that are no ids or ranks.
    """
    try:
        # Beyond the first lines of JSON a column may cease to be empty, so all are looked at for its type.
        table = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_ndjson(file, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise DataError(
            f"{file}: not a file of picks ({_first_line(problem)}); give what write_picks wrote, or any table of user, "
            "rank and item"
        ) from None
    missing = {"user", "rank", "item"} - set(table.columns)
    if missing:
        raise DataError(f"{file}: no column {sorted(missing)[0]!r}; it has {', '.join(table.columns)}")
    if table.schema["rank"].is_float():
        table = table.with_columns(pl.col("rank").fill_nan(None))  # some tools write so that there is none
        if (table["rank"] % 1 > 0).any():
            raise DataError(f"{file}: a rank that is no whole number; ranks count from 1, the best")
    try:
        return table.filter(pl.col("rank").is_not_null()).cast({"user": pl.String, "item": pl.String, "rank": pl.Int64})
    except pl.exceptions.PolarsError as problem:
        raise DataError(
            f"{file}: users and items must be ids, and ranks whole numbers from 1 on ({_first_line(problem)})"
        ) from None


def _first_line(problem: Exception) -> str:
    return str(problem).strip().split("\n")[0]
