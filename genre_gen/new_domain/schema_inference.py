"""Schema inference: the meaning of the columns of two unknown tables, by their names and values.

Names are compared word by word ("customer_id" is a user), values by their type (dates, numbers, ids of the item table,
labels between separators). If the data does not decide, an error asks for the column: a wrong guess costs more.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import is_single, read_dates, text
from genre_gen.data.settings import FieldSettings
from genre_gen.errors import DataError, UsageError
from genre_gen.new_domain.column_types import (
    LONG,
    MOSTLY,
    SEPARATORS,
    Role,
    as_field,
    field_name,
    is_flag,
    is_numeric,
    is_wordy,
    known_numbers,
    mean_length,
    named,
    names_kinds,
    share,
    time_unit,
    unread_times,
    usual_scale,
)

NONE = "none"  # means "there is no such column"
_OF_INTERACTIONS: tuple[Role, ...] = ("user", "item", "rating", "time")
_OF_ITEMS: tuple[Role, ...] = ("item_id", "title", "text")
_OPTIONAL: tuple[Role, ...] = ("rating", "time", "text")
_FIELDS = 8  # the largest number of proposed fields, since more make every description long
_CATEGORIES = 200  # the largest number of distinct values of a column that sorts items into kinds
_CLOSE = 0.25  # with a smaller difference between the scores of two candidates, neither is chosen
_DIFFERENT = 0.8  # the least share of distinct values of a column of titles


@dataclass(frozen=True)
class Choice:
    """One decision, for display: the role of a column, and the reason."""

    role: str
    column: str
    why: str


@dataclass(frozen=True)
class Proposal:
    """The inferred schema of two tables."""

    columns: Mapping[Role, str]  # role -> column
    fields: Mapping[str, FieldSettings]  # name of an attribute -> its settings, the columns included
    choices: tuple[Choice, ...]  # every decision with its reason, in the order of the files
    left_out: tuple[Choice, ...]  # columns that are not used, with the reason
    rating_scale: tuple[float, float] | None  # lowest and highest possible rating; None without ratings
    repeats: float  # share of repeated interactions of a user with an item
    unknown_items: int  # interactions with an item that the item table lacks
    time_unit: Literal["s", "ms"]  # the unit of numeric times

    @property
    def labels(self) -> str | None:
        """Return the first list field, whose labels several tasks use; None if there is none."""
        return next((name for name, settings in self.fields.items() if settings.type == "list"), None)


def propose(interactions: Table, items: Table | None, given: Mapping[str, str | None] | None = None) -> Proposal:
    """Infer the columns of a table of interactions and optionally one of items.

    ``given`` is role -> column, for roles that would be inferred wrongly; ``NONE`` (or None) for "there is no such
    column".

    Raises:
        DataError: a column cannot be inferred; the message names the role to give.
        UsageError: a role or column does not exist.
    """
    return _Inference(interactions, items, _roles(given or {})).proposal()


def _roles(given: Mapping[str, str | None]) -> dict[Role, str]:
    """Return named columns by role; raises UsageError for a role that does not exist."""
    roles: dict[str, Role] = {role: role for role in (*_OF_INTERACTIONS, *_OF_ITEMS)}
    for name in given:
        if name not in roles:
            close = difflib.get_close_matches(name, roles, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(roles)}"
            raise UsageError(f"columns: no role {name!r}; {hint}")
    return {roles[name]: NONE if column is None else column for name, column in given.items()}


def role_key(role: Role, column: str | None = None) -> str:
    """Return how to name a role's column, for messages: ``columns["user"]`` or ``columns["user"]="reader"``."""
    return f'columns["{role}"]' + (f'="{column}"' if column is not None else "")


@dataclass
class _Inference:
    """The decisions so far."""

    log: Table
    items: Table | None
    given: dict[Role, str]
    columns: dict[Role, str] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)
    left_out: list[Choice] = field(default_factory=list)
    time_unit: Literal["s", "ms"] = "s"

    def proposal(self) -> Proposal:
        """Decide everything."""
        self._check_given()
        self._user_and_item()
        self._time()
        scale = self._rating()
        for column in self._others():
            if not any(choice.column == column for choice in self.left_out):
                self.left_out.append(Choice("", column, self._why_not(column)))
        fields = {} if self.items is None else self._item_fields(self.items)
        pairs = pl.DataFrame({"user": text(self._of("user")), "item": text(self._of("item"))})
        ids = pairs["item"] if self.items is None else text(self.items.frame[self.columns["item_id"]])
        return Proposal(
            self.columns,
            fields,
            tuple(self.choices),
            tuple(self.left_out),
            scale,
            1 - pairs.n_unique() / max(1, len(pairs)),
            int((~pairs["item"].is_in(ids.implode())).sum()),
            self.time_unit,
        )

    def _of(self, role: Role) -> pl.Series:
        return self.log.frame[self.columns[role]]

    def _take(self, role: Role, column: str, why: str) -> None:
        self.columns[role] = column
        self.choices.append(Choice(role, column, why))

    def _check_given(self) -> None:
        for role, column in self.given.items():
            table = self.log if role in _OF_INTERACTIONS else self.items
            if column == NONE and role in _OPTIONAL:
                continue
            key = role_key(role, column)
            if table is None:
                raise UsageError(f"{key}: names a column of the items; give a table of items too")
            if table is self.log and self._given_of_log().count(column) > 1:
                both = " and ".join(role_key(other) for other in _OF_INTERACTIONS if self.given.get(other) == column)
                raise UsageError(f'{both} are both "{column}"; name another column for one of them')
            if column not in table.frame.columns:
                raise UsageError(f"{key}: no such column in {table.file}; it has {', '.join(table.frame.columns)}")
            if not is_single(table.frame[column]):
                raise UsageError(
                    f"{key}: type {table.frame[column].dtype}, not one string or number a record; name another column "
                    f"of {table.file}"
                )

    # Users, items, times and ratings

    def _user_and_item(self) -> None:
        user = self.given.get("user") or self._by_name(self.log, "user", self._given_of_log())
        if user is not None:
            self._take("user", user, _why_given("user", self.given))
        if self.items is None:
            taken = (*self.columns.values(), *self._given_of_log())
            item = self.given.get("item") or self._by_name(self.log, "item", taken)
            if item is None:
                raise self._unclear("item", self.log, self._others())
            self._take("item", item, _why_given("item", self.given))
        else:
            self._match(self.items)
        if user is None:
            self._user_of_the_rest()

    def _match(self, items: Table) -> None:
        """Find the item columns of both tables: those with the same values and similar names."""
        ids = {name: text(items.frame[name]) for name in _flat(items)}
        if "item_id" in self.given:
            ids = {name: values for name, values in ids.items() if name == self.given["item_id"]}
        ids = {name: values for name, values in ids.items() if values.n_unique() >= MOSTLY * len(values)}
        taken = {self.columns.get("user"), self.given.get("rating"), self.given.get("time")}
        candidates = [self.given["item"]] if "item" in self.given else [c for c in _flat(self.log) if c not in taken]
        matches: list[tuple[float, float, str, str]] = []
        for column in candidates:
            values = text(self.log.frame[column]).unique()
            for name, keys in ids.items():
                shared = int(values.is_in(keys.implode()).sum())
                called = named(column, "item", Path(items.file).stem) + 0.5 * (column == name)
                covered = shared / max(1, keys.n_unique())  # ratings from 1 to 5 may match ids too, but only few
                matches.append((2 * called + shared / len(values) + covered, shared / len(values), column, name))
        worth, overlap, column, name = max(matches, default=(0.0, 0.0, "", ""))
        rivals = {rival for value, shared, rival, _ in matches if value > worth - _CLOSE and shared > 0}
        if overlap == 0:
            raise DataError(
                f"{self.log.file}: no column has values that are ids in {items.file}; {self._zeros(candidates, ids)}"
                f"name the columns as {role_key('item')} and {role_key('item_id')}, or correct the ids"
            )
        if len(rivals) > 1:
            raise self._unclear("item", self.log, sorted(rivals))
        self._take("item", column, f"{overlap:.0%} of its different values are in {name!r} of {Path(items.file).name}")
        self._take("item_id", name, "each value once, and the interactions name items by it")

    def _zeros(self, candidates: Iterable[str], ids: Mapping[str, pl.Series]) -> str:
        """Return a hint if some ids differ only by leading zeros: 1 in one table, 00001 in the other."""
        for column in sorted(candidates, key=lambda column: -named(column, "item")):
            written = text(self.log.frame[column])
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

    def _given_of_log(self) -> list[str]:
        return [column for role, column in self.given.items() if role in _OF_INTERACTIONS and column != NONE]

    def _user_of_the_rest(self) -> None:
        """Take the only column that may be user ids: repeated values that are neither times nor measurements."""
        candidates = []
        for column in (name for name in self._others() if name not in self._given_of_log()):
            values = self.log.frame[column]
            other = any(named(column, role) for role in ("rating", "time")) or time_unit(values) is not None
            whole = bool((known_numbers(values) % 1 == 0).all())
            if 1 < text(values).n_unique() < len(values) and whole and not other:
                candidates.append(column)
        if len(candidates) != 1:
            raise self._unclear("user", self.log, candidates or self._others())
        self._take("user", candidates[0], "the only other column with repeated values")

    def _time(self) -> None:
        column = self.given.get("time")
        if column == NONE:
            return
        units = {name: unit for name in self._others() if (unit := time_unit(self.log.frame[name])) is not None}
        if column is None:
            scores = {name: named(name, "time") for name in self._others()}
            column = max((name for name in units if scores[name]), key=scores.__getitem__, default=None)
            column = column or next((name for name in units if self._surely_times(name)), None)
            for name, score in scores.items() if column is None else ():
                if score == 1 or (score > 0 and self._nearly_times(name)):
                    raise self._unread(name)
        if column is None:
            return
        values = self.log.frame[column]
        written = text(values).filter(text(values) != "")
        try:
            few = len(unread_times(values)) <= (1 - MOSTLY) * len(written)
            order = "" if is_numeric(values) or values.dtype.is_temporal() else read_dates(text(values)).order
        except DataError as problem:
            raise DataError(
                f"{self.log.file}: {column!r}: {problem}, or go without: {role_key('time', NONE)}"
            ) from None
        if not few:
            raise self._unread(column)
        self.time_unit = units.get(column, "s")
        why = _why_given("time", self.given) + (f", such as {written[0]!r}" if len(written) else "")
        self._take("time", column, why + (f", read with the {order} first" if order else ""))

    def _surely_times(self, column: str) -> bool:
        """Tell whether values are certainly times, with any name: dates, or numbers that are nearly all distinct."""
        values = self.log.frame[column]
        return not is_numeric(values) or text(values).n_unique() > len(values) // 10

    def _nearly_times(self, column: str) -> bool:
        """Tell whether values look like times that cannot be parsed: not numbers, but nearly all with digits."""
        values = self.log.frame[column]
        return not is_numeric(values) and share(text(values).str.contains(r"\d")) >= MOSTLY

    def _unread(self, column: str) -> DataError:
        """Return the error for a column that seems to be the time and cannot be parsed."""
        values = self.log.frame[column]
        wrong = values[:0] if values.dtype == pl.Time else unread_times(values)
        example = (wrong if len(wrong) else text(values))[0]
        return DataError(
            f"{self.log.file}: {column!r} seems to be the time, but {example!r} cannot be read; write ISO dates "
            f"(2024-12-31) or seconds since 1970, or go without: {role_key('time', NONE)}"
        )

    def _rating(self) -> tuple[float, float] | None:
        column = self.given.get("rating") or self._by_name(self.log, "rating", self.columns.values())
        if column in (None, NONE):
            return None
        values, written = known_numbers(self.log.frame[column]), text(self.log.frame[column])
        if len(values) < MOSTLY * int((written != "").sum()) or len(np.unique(values)) == 1:
            if "rating" in self.given:
                raise DataError(
                    f"{self.log.file}: {role_key('rating', column)}: not numbers, or all of them equal; name another"
                )
            self.left_out.append(Choice("", column, "no rating: not numbers, or all of them equal"))
            return None
        low, high = float(values.min()), float(values.max())
        scale = usual_scale(low, high)
        shown = f"from {low:g} to {high:g}, so the scale is {scale[0]:g} to {scale[1]:g}"
        self._take("rating", column, f"{_why_given('rating', self.given)}, {shown}")
        return scale

    # What is known of items

    def _item_fields(self, items: Table) -> dict[str, FieldSettings]:
        self._titles(items)
        self._texts(items)
        used = {column for role, column in self.columns.items() if role in ("item_id", "title", "text")}
        fields: dict[str, FieldSettings] = {}
        for column in items.frame.columns:
            if column in used:
                continue
            settings, why = as_field(items.frame[column], column)
            name = field_name(column, fields)
            if settings is None or len(fields) == _FIELDS:
                self.left_out.append(Choice("", column, why if settings is None else f"{_FIELDS} fields are enough"))
                continue
            fields[name] = settings
            self.choices.append(Choice(f"field {name}", column, why))
        # One field should have labels if possible, those that items are sorted into; it comes first.
        lists = [name for name, settings in fields.items() if settings.type == "list"]
        best = max(lists, key=names_kinds, default=None) or self._sorting_field(items, fields)
        return fields if best is None else {best: fields[best], **fields}

    def _titles(self, items: Table) -> None:
        others = [column for column in _flat(items) if column != self.columns["item_id"]]
        column = self.given.get("title") or self._by_name(items, "title", (self.columns["item_id"],))
        if column is not None:
            self._take("title", column, _why_given("title", self.given))
            return
        different = (name for name in others if text(items.frame[name]).n_unique() > _DIFFERENT * len(items.frame))
        likely = [name for name in different if is_wordy(items.frame[name])]
        if len(likely) != 1:
            raise self._unclear("title", items, likely or others)
        self._take("title", likely[0], "the only column of words that differ between items")

    def _texts(self, items: Table) -> None:
        used = {self.columns["item_id"], self.columns["title"]}
        column = self.given.get("text")
        if column is None:
            lengths = {name: mean_length(items.frame[name]) for name in _flat(items) if name not in used}
            long = (name for name, length in lengths.items() if length >= LONG)
            column = self._by_name(items, "text", used) or max(long, key=lengths.__getitem__, default=None)
        if column is not None and column != NONE:
            told = "text" in self.given or named(column, "text")
            self._take("text", column, _why_given("text", self.given) if told else "long texts")

    def _sorting_field(self, items: Table, fields: dict[str, FieldSettings]) -> str | None:
        """Turn a text field that sorts items into kinds into a list of one label; None if there is none."""
        columns = {name: each.columns[0] for name, each in fields.items() if each.type == "text" and each.columns}
        kinds = {name: text(items.frame[column]).n_unique() for name, column in columns.items()}
        most = min(_CATEGORIES, len(items.frame) // 2)
        sorting = [
            name for name, count in kinds.items() if 1 < count <= most and not is_flag(items.frame[columns[name]])
        ]
        best = min(sorting, key=lambda name: (not names_kinds(name), kinds[name]), default=None)
        if best is None:
            return None
        values = text(items.frame[columns[best]])
        absent = (mark for mark in SEPARATORS if not values.str.contains(mark, literal=True).any())
        fields[best] = fields[best].model_copy(update={"type": "list", "separator": next(absent, "\t")})
        why = f"sorts the items into {kinds[best]} kinds, so it is read as a list of one label"
        self.choices = [
            replace(choice, why=why) if choice.role == f"field {best}" else choice for choice in self.choices
        ]
        return best

    def _why_not(self, column: str) -> str:
        """Return why a column of the interactions is not used."""
        values = self.log.frame[column]
        if is_flag(values):
            return (
                "has yes/no values; every line counts as an interaction, so remove the lines that mean that there was "
                "none"
            )
        if named(column, "time") and not {"time"} & {*self.columns, *self.given}:
            empty = int((text(values) == "").sum())
            wrong = f"empty in {empty:,} of {len(values):,} lines" if empty else "neither dates nor seconds since 1970"
            return f"has a name like times, but {wrong}; {role_key('time', column)} reads the valid ones"
        return "belongs to the interaction, not to the item"

    def _others(self) -> list[str]:
        used = {column for role, column in self.columns.items() if role in _OF_INTERACTIONS}
        return [column for column in _flat(self.log) if column not in used]

    def _by_name(self, table: Table, role: Role, used: Iterable[str]) -> str | None:
        """Return the column whose name indicates a role most clearly, or None."""
        taken = set(used)
        scores = {name: named(name, role) for name in _flat(table) if name not in taken}
        return max((name for name in scores if scores[name] > 0), key=scores.__getitem__, default=None)

    def _unclear(self, role: Role, table: Table, candidates: Collection[str]) -> DataError:
        return DataError(
            f"{table.file}: cannot tell which column is the {role.replace('_', ' ')}; name it as "
            f"{role_key(role)}, one of {', '.join(candidates) or 'none, all are used'}"
        )


def _flat(table: Table) -> list[str]:
    """Return the columns that are neither lists nor bytes."""
    return [column.name for column in table.frame if is_single(column)]


def _why_given(role: Role, given: Mapping[Role, str]) -> str:
    return "as named" if role in given else "by its name"
