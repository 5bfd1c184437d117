"""Picks of many users in one file, written so that an interrupted run goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genre_gen.data.filters import Filters, check_n
from genre_gen.data.interactions import Case, History
from genre_gen.errors import DataError, UsageError
from genre_gen.recommender.recommender import BATCH, Recommendations, Recommender


def write_picks(
    recommender: Recommender,
    users: str,
    n: int,
    out: Path,
    filters: Filters,
    *,
    split: str | None = None,
    explain: bool = False,
) -> int:
    """Recommend to many users into a ``.parquet`` or ``.jsonl`` file, one row per pick.

    Finished users are kept beside the file as they come, so the same command goes on after an interruption. Columns:
    user, rank, item, title, score, explanation (null where not asked for), note. A user whom nothing can be
    recommended to has one row, with nothing but the note that says why.

    Args:
        recommender: trained.
        users: ``all``, or the path of a file with one user id a line.
        n: items per user.
        out: the file to write; replaced when the last user is done.
        filters: for all users.
        split: ``test`` cuts each history where the evaluation does, ``validation`` one item earlier; None cuts none.
        explain: add explanations.

    Returns:
        The number of users in the file.

    Raises:
        UsageError: n out of range, no such split, or a name of another kind of file.
        DataError: a file of users that cannot be read, or names one that the data does not have.
    """
    from tqdm import tqdm

    if out.suffix not in {".parquet", ".jsonl"}:
        raise UsageError(f"--out {out}: end the name in .parquet or .jsonl")
    check_n(n, len(recommender.catalog))
    histories = _histories(recommender, users, split)
    request = {"n": n, "split": split, "explain": explain, "filters": filters.key(), "model": recommender.key()}
    part = out.with_name(out.name + ".part")
    done = _resume(part, request)
    left = [history for history in histories if history.user not in done]
    out.parent.mkdir(parents=True, exist_ok=True)
    with part.open("a", encoding="utf-8", newline="\n") as file, tqdm(total=len(histories), unit="user") as bar:
        bar.update(len(histories) - len(left))
        if not file.tell():
            file.write(json.dumps(request) + "\n")
        for begin in range(0, len(left), BATCH):
            batch = left[begin : begin + BATCH]
            for history, picks in zip(
                batch, recommender.recommend_many(batch, n, filters, explain=explain), strict=True
            ):
                line = {"user": history.user, "picks": _rows(picks)}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                bar.update()
            file.flush()
    _finish(part, out, [history.user for history in histories])
    return len(histories)


def _rows(picks: Recommendations) -> list[dict[str, Any]]:
    note = "; ".join(picks.notes) or None
    if not picks:
        return [{"note": note}]
    return [
        {
            "rank": pick.rank,
            "item": pick.item.id,
            "title": pick.item.title,
            "score": pick.score,
            "explanation": None if pick.explanation is None else pick.explanation.text,
            "note": note,
        }
        for pick in picks
    ]


def _histories(recommender: Recommender, users: str, split: str | None) -> list[History]:
    if split is None:
        known: Mapping[str | None, History] = {one.user: one for one in recommender.histories.histories()}
    elif split in {"test", "validation"}:
        cases: Sequence[Case] = recommender.histories.leave_one_out().cases(split)  # type: ignore[arg-type]
        known = {case.history.user: case.history for case in cases}
    else:
        raise UsageError(f"--split {split}: choose test or validation")
    if users == "all":
        return list(known.values())
    try:
        lines = Path(users).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as problem:
        raise DataError(f"--users {users}: not UTF-8 text ({problem}); save it as UTF-8") from None
    except OSError as problem:
        raise DataError(f"--users {users}: write 'all', or a file with one user id a line ({problem})") from None
    names = [line.strip() for line in lines if line.strip()]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DataError(f"{users}: {len(unknown)} unknown users, the first is {unknown[0]!r}")
    return [known[name] for name in dict.fromkeys(names)]


def _resume(part: Path, request: Mapping[str, Any]) -> set[str]:
    """Return the users that an interrupted run of the same request has finished; drop a half-written last line."""
    if not part.exists():
        return set()
    whole = _whole_lines(part)
    if not whole or whole[0] != json.dumps(request).encode():
        part.unlink()
        return set()
    part.write_bytes(b"".join(line + b"\n" for line in whole))
    sys.stderr.write(f"going on after {len(whole) - 1:,} users\n")
    return {json.loads(line)["user"] for line in whole[1:]}


def _whole_lines(part: Path) -> list[bytes]:
    """Return the lines that were written to their end. A title may hold what ``str.splitlines`` takes for one."""
    return part.read_bytes().split(b"\n")[:-1]


def _finish(part: Path, out: Path, order: Iterable[str | None]) -> None:
    """Turn the finished lines into the file that was asked for, users in the order of the data."""
    found = {one["user"]: one["picks"] for one in map(json.loads, _whole_lines(part)[1:])}
    rows = [{"user": user, **pick} for user in order for pick in found[user]]
    schema = {
        "user": pl.String,
        "rank": pl.Int32,
        "item": pl.String,
        "title": pl.String,
        "score": pl.Float32,
        "explanation": pl.String,
        "note": pl.String,
    }
    table = pl.DataFrame(rows, schema=schema)
    unfinished = out.with_name(out.name + ".new")
    if out.suffix == ".parquet":
        table.write_parquet(unfinished)
    else:
        table.write_ndjson(unfinished)
    unfinished.replace(out)
    part.unlink()


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
            f"{file}: not a file of picks ({_first_line(problem)}); write one with recommend --users all --out"
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
