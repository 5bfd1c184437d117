"""Picks of many users in one file, written so that an interrupted run can resume."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import polars as pl

from genre_gen.data.filters import Filters, check_n
from genre_gen.data.history import History
from genre_gen.data.splits import Part, leave_one_out
from genre_gen.data.writers import write_lists
from genre_gen.errors import DataError, UsageError
from genre_gen.folders.locks import WRITING, hold
from genre_gen.folders.output import writing
from genre_gen.recommender.answering import answer_many
from genre_gen.recommender.requests import NO_HISTORIES, Recommendations, Request
from genre_gen.recommender.state import RecommenderState

log = logging.getLogger(__name__)
Layout: TypeAlias = Literal["table", "lenskit"]
SCHEMA = {
    "user_id": pl.String,
    "item_id": pl.String,
    "rank": pl.Int32,
    "score": pl.Float32,
    "title": pl.String,
    "pinned": pl.Boolean,
    "explanation": pl.String,
    "note": pl.String,
}
_KINDS: Mapping[str, type] = {
    "item_id": str, "rank": int, "score": float, "title": str, "pinned": bool, "explanation": str, "note": str,
}  # fmt: skip


def write_picks(
    state: RecommenderState,
    users: Sequence[str] | None,
    request: Request,
    out: Path,
    *,
    part: Part | None = None,
    layout: Layout = "table",
    progress: bool = True,
) -> int:
    """Recommend to many users into a ``.parquet`` or ``.jsonl`` file, one row per pick.

    Finished users are kept next to the file as they come, so the same call resumes after an interruption. Columns:
    user_id, item_id, rank, score, title, pinned, explanation (null without one), note. A user without picks has one
    row, with only the note that gives the reason.

    Args:
        state: a trained recommender's.
        users: their ids; None for all.
        request: the same for all.
        out: the file to write; replaced when the last user is done.
        layout: ``table``; or ``lenskit``, which ``lenskit.data.ItemListCollection.load_parquet`` reads: item, rank and
            score in a list per user, which may be empty, in Parquet.
        part: ``test`` cuts each history before its test item, ``validation`` one item earlier; None keeps them whole.
        progress: show a bar on stderr.

    Returns:
        The number of users in the file.

    Raises:
        UsageError: n below 1, no such part or layout, or a name of another kind of file.
        DataError: a user that the data lacks.
        OutputError: the file cannot be written; finished users are kept, so the same call continues.
        CheckpointError: another process or thread writes that file.
    """
    if layout not in get_args(Layout):
        raise UsageError(f"no layout {layout!r}; choose {' or '.join(get_args(Layout))}")
    suffixes = [".parquet"] if layout == "lenskit" else [".parquet", ".jsonl"]
    if out.suffix not in suffixes:
        raise UsageError(f"{out}: end the name in {' or '.join(suffixes)}")
    check_n(request.n)
    histories = _histories(state, users, part)
    header = {"request": _fingerprint(state, request), "part": part, "model": state.fingerprint()}
    with hold(out, WRITING, wait=0), writing(out):
        _write(state, histories, request, out, header, layout, progress)
    return len(histories)


def _write(
    state: RecommenderState,
    histories: Sequence[History],
    request: Request,
    out: Path,
    header: Mapping[str, Any],
    layout: Layout,
    progress: bool,
) -> None:
    from tqdm import tqdm

    unfinished = out.with_name(out.name + ".part")
    done = _resume(unfinished, header)
    remaining = [history for history in histories if history.user not in done]
    bar = tqdm(total=len(histories), initial=len(histories) - len(remaining), unit="user", disable=not progress)
    with unfinished.open("a", encoding="utf-8", newline="\n") as file, bar:
        if not file.tell():
            file.write(json.dumps(header) + "\n")
        answers = answer_many(state, (replace(request, who=history) for history in remaining))
        for history, picks in zip(remaining, answers, strict=True):
            file.write(json.dumps({"user": history.user, "picks": _rows(picks)}, ensure_ascii=False) + "\n")
            file.flush()
            bar.update()
    _finish(unfinished, out, [history.user for history in histories], layout)


def read_users(file: Path) -> list[str]:
    """Read a file with one user id per line; raises DataError."""
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as problem:
        raise DataError(f"{file}: not UTF-8 text ({problem}); save it as UTF-8") from None
    except OSError as problem:
        raise DataError(f"{file}: cannot be read ({problem}); give a file with one user id per line") from None
    return [line.strip() for line in lines if line.strip()]


def _fingerprint(state: RecommenderState, request: Request) -> str:
    filters = Filters(state.catalog, request.where, request.exclude, request.include, state.domain.repeat)
    rules = state.domain.rules if request.rules is None else request.rules
    asked = [request.n, request.query, filters.key(), str(request.at), request.explain, rules.model_dump()]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _rows(picks: Recommendations) -> list[dict[str, Any]]:
    note = "; ".join(picks.notes) or None
    if not picks:
        return [{"note": note}]
    return [
        {
            "item_id": pick.item.id,
            "rank": pick.rank,
            "score": pick.score,
            "title": pick.item.title,
            "pinned": pick.pinned,
            "explanation": None if pick.explanation is None else pick.explanation.text,
            "note": note,
        }
        for pick in picks
    ]


def _histories(state: RecommenderState, users: Sequence[str] | None, part: Part | None) -> list[History]:
    if not state.histories.users:
        raise UsageError(f"no users to recommend to: {NO_HISTORIES}")
    histories = state.histories.histories()
    if part is not None:
        histories = [case.history for case in leave_one_out(state.histories, state.catalog).cases(part)]
    if users is None:
        return histories
    by_user = {history.user: history for history in histories}
    unknown = [user for user in users if user not in by_user]
    if unknown:
        raise DataError(f"{len(unknown)} unknown users, the first is {unknown[0]!r}; give ids of the data")
    return [by_user[user] for user in dict.fromkeys(users)]


def _resume(unfinished: Path, header: Mapping[str, Any]) -> set[str]:
    """Return the users that an interrupted run of the same request has finished; drop a half-written last line.

    From the first line on that is damaged, everything is dropped and asked again.
    """
    if not unfinished.exists():
        return set()
    first, *lines = _whole_lines(unfinished) or [b""]
    if first != json.dumps(header).encode():
        log.warning("%s: is of another request, or damaged; starting from the beginning", unfinished)
        unfinished.unlink()
        return set()
    users: dict[str, None] = {}
    for number, line in enumerate(lines, start=2):
        user = _user_of(line)
        if user is None or user in users:
            log.warning("%s: is damaged in line %d; the users after it are asked again", unfinished, number)
            break
        users[user] = None
    unfinished.write_bytes(b"".join(line + b"\n" for line in (first, *lines[: len(users)])))
    log.warning("resuming after %s users", f"{len(users):,}")
    return set(users)


def _user_of(line: bytes) -> str | None:
    """Return the user of a finished line; None if it is not one."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.keys() != {"user", "picks"}:
        return None
    user, picks = content["user"], content["picks"]
    valid = isinstance(user, str) and isinstance(picks, list) and picks and all(map(_is_pick, picks))
    return user if valid else None


def _is_pick(pick: Any) -> bool:
    if not isinstance(pick, dict):
        return False
    kinds = all(name in _KINDS and (value is None or type(value) is _KINDS[name]) for name, value in pick.items())
    return kinds and (pick.get("rank") is None or 0 < pick["rank"] < 2**31)


def _whole_lines(unfinished: Path) -> list[bytes]:
    """Return the completely written lines; ``str.splitlines`` would also split at characters within a title."""
    return unfinished.read_bytes().split(b"\n")[:-1]


def _finish(unfinished: Path, out: Path, order: Iterable[str | None], layout: Layout) -> None:
    """Turn the finished lines into the requested file, with users in the order of the data."""
    picks = {entry["user"]: entry["picks"] for entry in map(json.loads, _whole_lines(unfinished)[1:])}
    table = pl.DataFrame([{"user_id": user, **pick} for user in order for pick in picks[user]], schema=SCHEMA)
    whole = out.with_name(out.name + ".new")
    if layout == "lenskit":
        write_lists(whole, table.select("user_id", "item_id", "rank", "score"))
    elif out.suffix == ".parquet":
        table.write_parquet(whole)
    else:
        table.write_ndjson(whole)
    whole.replace(out)
    unfinished.unlink()
