"""The columns of users and items: by their names, and by the ids that both tables share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import text
from genre_gen.errors import DataError
from genre_gen.new_domain.column_types import MOSTLY, known_numbers, time_unit
from genre_gen.new_domain.decisions import Decisions, flat, role_key, why_given
from genre_gen.new_domain.names import named

_CLOSE = 0.25  # with a smaller difference between the scores of two candidates, neither is chosen


def find_user_and_item(known: Decisions) -> None:
    """Decide which columns identify users and items; raises DataError if the tables do not tell."""
    user = known.given.get("user") or known.by_name(known.log, "user", known.given_of_log())
    if user is not None:
        known.take("user", user, why_given("user", known.given))
    if known.items is None:
        taken = (*known.columns.values(), *known.given_of_log())
        item = known.given.get("item") or known.by_name(known.log, "item", taken)
        if item is None:
            raise known.unclear("item", known.log, known.others())
        known.take("item", item, why_given("item", known.given))
    else:
        _match(known, known.items)
    if user is None:
        _user_of_the_rest(known)


def _match(known: Decisions, items: Table) -> None:
    """Find the item columns of both tables: those with the same values and similar names."""
    ids = {name: text(items.frame[name]) for name in flat(items)}
    if "item_id" in known.given:
        ids = {name: values for name, values in ids.items() if name == known.given["item_id"]}
    ids = {name: values for name, values in ids.items() if values.n_unique() >= MOSTLY * len(values)}
    taken = {known.columns.get("user"), known.given.get("rating"), known.given.get("time")}
    candidates = [known.given["item"]] if "item" in known.given else [c for c in flat(known.log) if c not in taken]
    matches: list[tuple[float, float, str, str]] = []
    for column in candidates:
        values = text(known.log.frame[column]).unique()
        for name, keys in ids.items():
            shared = int(values.is_in(keys.implode()).sum())
            called = named(column, "item", Path(items.file).stem) + 0.5 * (column == name)
            covered = shared / max(1, keys.n_unique())  # ratings from 1 to 5 may match ids too, but only few
            matches.append((2 * called + shared / len(values) + covered, shared / len(values), column, name))
    worth, overlap, column, name = max(matches, default=(0.0, 0.0, "", ""))
    rivals = {rival for value, shared, rival, _ in matches if value > worth - _CLOSE and shared > 0}
    if overlap == 0:
        raise DataError(
            f"{known.log.file}: no column has values that are ids in {items.file}; {_zeros(known, candidates, ids)}"
            f"name the columns as {role_key('item')} and {role_key('item_id')}, or correct the ids"
        )
    if len(rivals) > 1:
        raise known.unclear("item", known.log, sorted(rivals))
    known.take("item", column, f"{overlap:.0%} of its different values are in {name!r} of {Path(items.file).name}")
    known.take("item_id", name, "each value once, and the interactions name items by it")


def _zeros(known: Decisions, candidates: Iterable[str], ids: Mapping[str, pl.Series]) -> str:
    """Return a hint if some ids differ only by leading zeros: 1 in one table, 00001 in the other."""
    for column in sorted(candidates, key=lambda column: -named(column, "item")):
        written = text(known.log.frame[column])
        bare = written.str.strip_chars_start("0")
        for name, values in ids.items():
            keys = values.str.strip_chars_start("0")
            same = bare.is_in(keys.implode()) & (bare != "")
            if same.any():
                ours, theirs = written.filter(same)[0], values.filter(keys == bare.filter(same)[0])[0]
                return (
                    f"{ours!r} in {column!r} and {theirs!r} in {name!r} differ in leading zeros: "
                    "write both the same way or "
                )
    return ""


def _user_of_the_rest(known: Decisions) -> None:
    """Take the only column that may be user ids: repeated values that are neither times nor measurements."""
    candidates = []
    for column in (name for name in known.others() if name not in known.given_of_log()):
        values = known.log.frame[column]
        other = any(named(column, role) for role in ("rating", "time")) or time_unit(values) is not None
        whole = bool((known_numbers(values) % 1 == 0).all())
        if 1 < text(values).n_unique() < len(values) and whole and not other:
            candidates.append(column)
    if len(candidates) != 1:
        raise known.unclear("user", known.log, candidates or known.others())
    known.take("user", candidates[0], "the only other column with repeated values")
