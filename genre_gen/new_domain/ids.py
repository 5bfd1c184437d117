"""The columns of users and items: by their names, and by the ids that both tables share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from genre_gen.data.ids import tied
from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import text
from genre_gen.data.settings import MISSING
from genre_gen.errors import DataError
from genre_gen.new_domain.column_types import MOSTLY, known_numbers, share, time_unit
from genre_gen.new_domain.decisions import Decisions, flat, role_key, why_given
from genre_gen.new_domain.events import seem_events
from genre_gen.new_domain.names import Role, named
from genre_gen.new_domain.no_attributes import numbers_rows
from genre_gen.new_domain.one_table import is_own

_CLOSE = 0.25  # with a smaller difference between the scores of two columns of the interactions, neither is chosen
_REPEATED = 0.5  # taken off the score of a column of the items in which ids are repeated
_BY_CHANCE = 0.5  # the least share of matching lines where the names do not say that columns have ids of items
_FEW = 0.1  # the same where they do

_FORMS: Mapping[str, Callable[[pl.Series], pl.Series]] = {
    "leading zeros": lambda ids: ids.str.strip_chars_start("0"),
    "case": lambda ids: ids.str.to_lowercase(),
    "spaces or marks": lambda ids: ids.str.replace_all(r"[^\pL\pN]+", "").str.to_lowercase(),
}
"""Differences between ids that are the same to a reader -> what makes such ids equal."""


class _Match(NamedTuple):
    """Two columns that share ids; the best one has the largest score."""

    score: float
    overlap: float  # share of the different values of the interactions' column that are ids of the items
    column: str  # of the interactions
    name: str  # of the items


def find_user_and_item(known: Decisions) -> None:
    """Decide which columns identify users and items, or ask."""
    user = known.given.get("user") or known.by_name(known.log, "user", known.given_of_log())
    if user is not None:
        known.take("user", user, _why_named(known, "user", user))
    with known.asking():
        if known.items is None:
            _item_by_name(known)
        else:
            _match(known, known.items)
    if user is None:
        with known.asking():
            _user_of_the_rest(known)


def count_unknown(names: pl.Series, ids: pl.Series) -> int:
    """Return how many of the items' names in the interactions are not among ids; missing ones do not count."""
    return int((~tied(names, ids).is_in(ids.implode()) & ~names.is_in(["", *MISSING])).sum())


def check_order(known: Decisions) -> None:
    """Raise DataError if the table of items has the interactions, and the other one the items."""
    if known.items is None:
        return
    users = known.by_name(known.items, "user", ()) and not known.by_name(known.log, "user", ())
    titles = known.by_name(known.log, "title", ()) and not known.by_name(known.items, "title", ())
    if not users and not titles:
        return
    for column in flat(known.log):
        ids = text(known.log.frame[column])
        if ids.n_unique() < MOSTLY * len(ids):
            continue
        for name in flat(known.items):
            values = text(known.items.frame[name])
            if values.n_unique() < len(values) and share(values.is_in(ids.implode())) > _BY_CHANCE:
                raise DataError(
                    f"{known.log.file} has one line for each {column!r}, and {known.items.file} repeats them "
                    f"as {name!r}, so the items were given as the interactions; give the files the other way round"
                )


def _why_named(known: Decisions, role: Role, column: str) -> str:
    """Return why a column was taken, with the next one whose name is as clear."""
    if role in known.given:
        return why_given(role, known.given)
    rivals = [name for name in known.named(known.log, role, known.given_of_log()) if name != column]
    rival = next((name for name in rivals if named(name, role) == named(column, role)), None)
    return why_given(role, known.given) + (f"; {role_key(role, rival)} takes the other one" if rival else "")


def _item_by_name(known: Decisions) -> None:
    """Decide on the item of interactions without a table of items."""
    taken = (*known.columns.values(), *known.given_of_log())
    item = known.given.get("item")
    for name in known.named(known.log, "item", taken) if item is None else ():
        values = text(known.log.frame[name])
        if named(name, "item") < 1 and 2 < values.n_unique() == len(values):  # noqa: PLR2004 - it numbers the lines
            known.leave_out(name, f"another value in every line; {role_key('item', name)} takes it as the item")
        else:
            item = name
            break
    if item is None:
        for name in flat(known.log):
            if text(known.log.frame[name]).str.starts_with("[{").all():
                raise DataError(
                    f"{known.log.file}: each line has a list of records in {name!r}, such as "
                    f"{text(known.log.frame[name])[0]:.60}; write a line for each of them, with the user"
                )
        raise known.unclear("item", known.log, known.others())
    known.take("item", item, _why_named(known, "item", item))


def _match(known: Decisions, items: Table) -> None:
    """Find the item columns of both tables: those with the same values and similar names."""
    candidates = [known.given["item"]] if "item" in known.given else _likely_items(known)
    ids = {name: text(items.frame[name]) for name in flat(items) if known.given.get("item_id", name) == name}
    matches = _matches(known, items, candidates, ids)
    best = max(matches, key=lambda match: match.score, default=None)
    called = [name for name in candidates if named(name, "item", Path(items.file).stem) == 1]
    if best is None or best.overlap == 0 or (called and not named(best.column, "item", Path(items.file).stem)):
        raise _no_match(known, items, called or candidates, ids)  # a quantity may have the numbers of ids by chance
    shared = [match for match in matches if match.overlap > 0]
    rivals = {match.column for match in shared if match.score > best.score - _CLOSE}
    if len(rivals) > 1:
        raise known.unclear("item", known.log, sorted(rivals))
    _check_share(known, items, best)
    _take_match(known, items, best, [match for match in shared if match.column == best.column and match != best])


def _likely_items(known: Decisions) -> list[str]:
    """Return the columns of the interactions that may be ids of items."""
    taken = {known.columns.get("user"), known.given.get("rating"), known.given.get("time")}
    free = [
        name for name in flat(known.log) if name not in taken and not numbers_rows(name, text(known.log.frame[name]))
    ]
    other = [name for name in free if not any(named(name, role) == 1 for role in ("user", "rating", "time"))]
    return other or free


def _matches(known: Decisions, items: Table, candidates: Iterable[str], ids: Mapping[str, pl.Series]) -> list[_Match]:
    stem = Path(items.file).stem
    matches = []
    for column in candidates:
        values = text(known.log.frame[column]).unique()
        values = values.filter(~values.is_in(["", *MISSING]))
        called = named(column, "item", stem) or 0.1 * ("item" in known.given)
        for name, keys in ids.items():
            once, same_name = keys.n_unique() >= MOSTLY * len(keys), column == name
            also = max(0.5 * same_name, 0.25 * named(name, "item", stem))
            if not once and "item_id" not in known.given and not (called and also):
                continue  # ratings from 1 to 5 occur in both tables too
            shared = int(tied(values, keys).is_in(keys.implode()).sum())
            overlap, covered = shared / max(1, len(values)), shared / max(1, keys.n_unique())
            matches.append(
                _Match(2 * called + also + overlap + covered - _REPEATED * (not once), overlap, column, name)
            )
    return matches


def _check_share(known: Decisions, items: Table, best: _Match) -> None:
    """Raise DataError if so few lines match that the columns are not those of the items."""
    column, name = best.column, best.name
    keys = text(items.frame[name])
    lines = share(tied(text(known.log.frame[column]), keys).is_in(keys.implode()))
    stem = Path(items.file).stem
    clear = named(column, "item", stem) and (column == name or named(name, "item", stem))
    if lines < (_FEW if clear else _BY_CHANCE) and not {"item", "item_id"} <= {*known.given}:
        raise DataError(
            f"{known.log.file}: {column!r} fits best to the ids in {items.file}, but only {lines:.0%} of the lines "
            f"have an id that is in {name!r}; correct the ids, or name both columns to drop the other lines: "
            f"{role_key('item', column)} {role_key('item_id', name)}"
        )


def _take_match(known: Decisions, items: Table, best: _Match, others: Iterable[_Match]) -> None:
    values, keys = text(known.log.frame[best.column]), text(items.frame[best.name])
    why = f"{best.overlap:.0%} of its different values are in {best.name!r} of {Path(items.file).name}"
    values = values.filter(~values.is_in(["", *MISSING])).unique(maintain_order=True)
    same = tied(values, keys)
    if (changed := same != values).any():
        why += f"; {values.filter(changed)[0]!r} is read as {same.filter(changed)[0]!r}"
    unknown = values.filter(~same.is_in(keys.implode()))
    if near := _near(unknown, keys):
        why += f"; {near[0]!r} and {near[1]!r} differ in {near[2]}"
    known.take("item", best.column, why)
    again = int((~keys.is_first_distinct() & ~keys.is_in(["", *MISSING])).sum())
    why = "each value once, and the interactions name items by it"
    _check_lines(items, best.name, keys, again)
    if again:
        why = f"the interactions name items by it; {again:,} lines repeat an id, and the first line of each is used"
    if second := max(others, key=lambda match: match.overlap, default=None):
        why += f"; only {second.overlap:.0%}" if second.overlap < best.overlap else f"; {second.overlap:.0%}"
        why += f" are in {second.name!r}"
    known.take("item_id", best.name, why)


def _check_lines(items: Table, name: str, keys: pl.Series, again: int) -> None:
    """Raise DataError if many ids are repeated and the lines of an item have nothing in common."""
    others = (column for column in items.frame if column.name != name)
    if again > (1 - MOSTLY) * len(keys) and not any(is_own(keys, column) for column in others):
        raise DataError(
            f"{items.file}: several lines for an item ({again:,} repeat an id of {name!r}), and no other column has "
            "the same value in all of them; write one line an item with a column for each property, or leave it out"
        )


def _no_match(known: Decisions, items: Table, candidates: list[str], ids: Mapping[str, pl.Series]) -> DataError:
    """Return the error for tables without common ids, with an example of each and how they differ."""
    stem = Path(items.file).stem
    ours = sorted(candidates, key=lambda name: -named(name, "item", stem))
    theirs = sorted(ids, key=lambda name: -max(named(name, "item", stem), 0.25 * (name in candidates)))
    text_of = {column: text(known.log.frame[column]).filter(text(known.log.frame[column]) != "") for column in ours}
    example = ""
    for column in ours:
        for name in theirs:
            if not example and (near := _near(text_of[column], ids[name])):
                shown = f"{near[0]!r} in {column!r} and {near[1]!r} in {name!r} differ in {near[2]}"
                example = f"{shown}: write both the same way"
    if not example:
        shown = f"{_first(text_of, ours)} there, and {_first(ids, theirs)} here: correct the ids"
        named_both = {"item", "item_id"} <= {*known.given}
        example = shown + (
            "" if named_both else f", or name the columns as {role_key('item')} and {role_key('item_id')}"
        )
    return DataError(f"{known.log.file}: no column has values that are ids in {items.file}; {example}")


def _first(columns: Mapping[str, pl.Series], names: Iterable[str]) -> str:
    """Return the first value of the first column that has one, for a message."""
    return next((f"{columns[name][0]!r:.40} in {name!r}" for name in names if len(columns[name])), "nothing")


def _near(values: pl.Series, keys: pl.Series) -> tuple[str, str, str] | None:
    """Return a value and a key that a reader would take for the same, and how they differ; None if there are none."""
    for difference, form in _FORMS.items():
        ours, theirs = form(values), form(keys)
        same = ours.is_in(theirs.implode()) & (ours != "") & ~values.is_in(keys.implode())
        if same.any():
            return values.filter(same)[0], keys.filter(theirs == ours.filter(same)[0])[0], difference
    return None


def _user_of_the_rest(known: Decisions) -> None:
    """Take the only column that may be user ids: repeated values that are neither times nor measurements."""
    candidates = []
    for column in (name for name in known.others() if name not in known.given_of_log()):
        values = known.log.frame[column]
        other = any(named(column, role) for role in ("rating", "time")) or time_unit(values) is not None
        whole = bool((known_numbers(values) % 1 == 0).all())
        if 1 < text(values).n_unique() < len(values) and whole and not other and not _is_event(column, values):
            candidates.append(column)
    if "item" not in known.columns or len(candidates) != 1:
        raise known.unclear("user", known.log, candidates or known.others())
    known.take("user", candidates[0], "the only other column with repeated values")


def _is_event(column: str, values: pl.Series) -> bool:
    return named(column, "event") > 0 and seem_events(values)
