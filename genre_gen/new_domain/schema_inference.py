"""Proposing what the columns of two unknown tables mean, from their names and their values.

Names are compared word by word ("customer_id" is a user), values by what they can be (dates, numbers, ids of the item
table, labels between separators). What cannot be told is asked for: a wrong guess costs more than a question.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from genre_gen.data.readers.files import Table, decode, read_parquet, read_text
from genre_gen.data.readers.table import PlainTable
from genre_gen.data.readers.values import is_single, text
from genre_gen.domain import FieldSettings
from genre_gen.errors import DataError, UsageError
from genre_gen.new_domain.column_types import (
    LONG,
    MOSTLY,
    SEPARATORS,
    Role,
    as_field,
    field_name,
    first_of_date,
    is_flag,
    is_plain,
    is_wordy,
    known_numbers,
    mean_length,
    named,
    names_kinds,
    seems_times,
    surely_times,
    time_unit,
    unread_times,
    usual_scale,
)

NONE = "none"
"""What stands for "there is no such column"."""

OPTIONS: dict[Role, str] = {
    "user": "--user",
    "item": "--item",
    "rating": "--rating",
    "time": "--time",
    "item_id": "--item-id",
    "title": "--title",
    "text": "--text",
}
"""Role -> the option of the command line that names its column."""

_OF_LOG: tuple[Role, ...] = ("user", "item", "rating", "time")  # what the interactions hold
_DELIMITERS = (",", ";", "\t", "|")
_FIELDS = 8  # fields that are proposed: more make every description long
_CATEGORIES = 200  # different values up to which a column sorts items into kinds
_CLOSE = 0.25  # difference of two candidates' worth below which nothing is decided
_DIFFERENT = 0.8  # share of different values from which words may be titles


@dataclass(frozen=True)
class Choice:
    """One decision, for people.

    Attributes:
        role: what the column is taken for.
        column: its name.
        why: what speaks for it.
    """

    role: str
    column: str
    why: str


@dataclass(frozen=True)
class Proposal:
    """What two tables seem to hold.

    Attributes:
        columns: role -> column.
        fields: name of an attribute -> its settings, the columns included.
        choices: every decision with its reason, in the order of the files.
        left_out: columns that are not used, with the reason.
        rating_scale: lowest and highest possible rating; None without ratings.
        repeats: share of the interactions that name an item the user had before.
        unknown_items: interactions with an item that the item table lacks.
        time_unit: what numeric times count.
        encoding: of both files.
        delimiter: of both files; None for what their names promise.
    """

    columns: Mapping[Role, str]
    fields: Mapping[str, FieldSettings]
    choices: tuple[Choice, ...]
    left_out: tuple[Choice, ...]
    rating_scale: tuple[float, float] | None
    repeats: float
    unknown_items: int
    time_unit: Literal["s", "ms"]
    encoding: str
    delimiter: str | None

    @property
    def labels(self) -> str | None:
        """Return the first list field, whose labels several tasks are about; None where there is none."""
        return next((name for name, settings in self.fields.items() if settings.type == "list"), None)


def propose(log_file: Path, items_file: Path | None, given: Mapping[Role, str] | None = None) -> Proposal:
    """Look at a table of interactions and one of items, and say what their columns are.

    Args:
        log_file: CSV, TSV or Parquet, one interaction a line.
        items_file: the same, one item a line; None where nothing is known of them.
        given: columns that the user has named himself, ``NONE`` for "there is none".

    Raises:
        DataError: a file that cannot be read, or a column that cannot be told; says which option names it.
        UsageError: a column that was named and does not exist.
    """
    files = [file for file in (log_file, items_file) if file is not None]
    encoding, delimiter = _encoding(files), _common_delimiter(files)
    log = _read(log_file, encoding, delimiter)
    items = None if items_file is None else _read(items_file, encoding, delimiter)
    return _Proposing(log, items, dict(given or {}), encoding, delimiter).proposal()


@dataclass
class _Proposing:
    """The decisions so far."""

    log: Table
    items: Table | None
    given: dict[Role, str]
    encoding: str
    delimiter: str | None
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
        known = None if self.items is None else text(self.items.frame[self.columns["item_id"]])
        unknown = 0 if known is None else int((~pairs["item"].is_in(known.implode())).sum())
        return Proposal(
            self.columns,
            fields,
            tuple(self.choices),
            tuple(self.left_out),
            scale,
            1 - pairs.n_unique() / max(1, len(pairs)),
            unknown,
            self.time_unit,
            self.encoding,
            self.delimiter,
        )

    def _of(self, role: Role) -> pl.Series:
        return self.log.frame[self.columns[role]]

    def _take(self, role: Role, column: str, why: str) -> None:
        self.columns[role] = column
        self.choices.append(Choice(role, column, why))

    def _check_given(self) -> None:
        for role, column in self.given.items():
            table = self.log if role in _OF_LOG else self.items
            if column == NONE and role in ("rating", "time", "text"):
                continue
            if table is None:
                raise UsageError(f"{OPTIONS[role]} {column}: names a column of the item file; give --items too")
            if table is self.log and [*self._given_of_log()].count(column) > 1:
                both = " and ".join(OPTIONS[one] for one in _OF_LOG if self.given.get(one) == column)
                raise UsageError(f"{both} {column}: one column cannot be both; name another for one of them")
            if column not in table.frame.columns:
                raise UsageError(
                    f"{OPTIONS[role]} {column}: no such column in {table.file}; it has {', '.join(table.frame.columns)}"
                )
            if not is_single(table.frame[column]):
                raise UsageError(
                    f"{OPTIONS[role]} {column}: holds {table.frame[column].dtype}, not one text or number a record; "
                    f"name another column of {table.file}"
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
        """Find the columns by which interactions name items: those whose values agree, and whose names do."""
        ids = {name: text(items.frame[name]) for name in _flat(items)}
        if "item_id" in self.given:
            ids = {name: values for name, values in ids.items() if name == self.given["item_id"]}
        ids = {name: values for name, values in ids.items() if values.n_unique() >= MOSTLY * len(values)}
        taken = {self.columns.get("user"), self.given.get("rating"), self.given.get("time")}
        candidates = [self.given["item"]] if "item" in self.given else [c for c in _flat(self.log) if c not in taken]
        found: list[tuple[float, float, str, str]] = []
        for column in candidates:
            values = text(self.log.frame[column]).unique()
            for name, known in ids.items():
                shared = int(values.is_in(known.implode()).sum())
                called = named(column, "item", Path(items.file).stem) + 0.5 * (column == name)
                covered = shared / max(1, known.n_unique())  # ratings from 1 to 5 may be ids too, but of few items
                found.append((2 * called + shared / len(values) + covered, shared / len(values), column, name))
        worth, overlap, column, name = max(found, default=(0.0, 0.0, "", ""))
        rivals = {one[2] for one in found if one[0] > worth - _CLOSE and one[1] > 0}
        if overlap == 0:
            raise DataError(
                f"{self.log.file}: no column has values that are ids in {items.file}; {self._zeros(candidates, ids)}"
                "name the columns with --item and --item-id, or correct the ids"
            )
        if len(rivals) > 1:
            raise self._unclear("item", self.log, sorted(rivals))
        self._take("item", column, f"{overlap:.0%} of its different values are in {name!r} of {Path(items.file).name}")
        self._take("item_id", name, "each value once, and the interactions name items by it")

    def _zeros(self, candidates: Iterable[str], ids: Mapping[str, pl.Series]) -> str:
        """Return what leading zeros hide, where some ids differ by nothing else: 1 in one table, 00001 in the other."""
        for column in sorted(candidates, key=lambda column: -named(column, "item")):
            written = text(self.log.frame[column])
            bare = written.str.strip_chars_start("0")
            for name, values in ids.items():
                known = values.str.strip_chars_start("0")
                same = bare.is_in(known.implode()) & (bare != "")
                if same.any():
                    here, there = written.filter(same)[0], values.filter(known == bare.filter(same)[0])[0]
                    return (
                        f"but for leading zeros {here!r} in {column!r} is {there!r} in {name!r}: write both alike or "
                    )
        return ""

    def _given_of_log(self) -> list[str]:
        return [column for role, column in self.given.items() if role in _OF_LOG and column != NONE]

    def _user_of_the_rest(self) -> None:
        """Take the one column that may name users: values that come back, and are neither times nor measured."""
        candidates = []
        for column in (one for one in self._others() if one not in self._given_of_log()):
            values = self.log.frame[column]
            other = any(named(column, role) for role in ("rating", "time")) or time_unit(values) is not None
            if 1 < text(values).n_unique() < len(values) and is_plain(values) and not other:
                candidates.append(column)
        if len(candidates) != 1:
            raise self._unclear("user", self.log, candidates or self._others())
        self._take("user", candidates[0], "the only other column whose values come back")

    def _time(self) -> None:
        column = self.given.get("time")
        if column == NONE:
            return
        found = {name: unit for name in self._others() if (unit := time_unit(self.log.frame[name])) is not None}
        if column is None:
            scores = {name: named(name, "time") for name in self._others()}
            column = max((name for name in found if scores[name]), key=lambda name: scores[name], default=None)
            column = column or next((name for name in found if surely_times(self.log.frame[name])), None)
            for name, score in scores.items() if column is None else ():
                if score == 1 or (score > 0 and seems_times(self.log.frame[name])):
                    raise self._unread(name)
        if column is None:
            return
        values = self.log.frame[column]
        written = text(values).filter(text(values) != "")
        try:
            few = len(unread_times(values)) <= (1 - MOSTLY) * len(written)
            order = first_of_date(values)
        except DataError as problem:
            raise DataError(f"{self.log.file}: {column!r}: {problem}, or go without: --time {NONE}") from None
        if not few:
            raise self._unread(column)
        self.time_unit = found.get(column, "s")
        why = _why_given("time", self.given) + (f", such as {written[0]!r}" if len(written) else "")
        self._take("time", column, why + (f", read with the {order} first" if order else ""))

    def _unread(self, column: str) -> DataError:
        """Return the error for a column that should be the time and cannot be read."""
        values = self.log.frame[column]
        wrong = values[:0] if values.dtype == pl.Time else unread_times(values)
        example = (wrong if len(wrong) else text(values))[0]
        return DataError(
            f"{self.log.file}: {column!r} seems to be the time, but {example!r} cannot be read; write ISO dates "
            f"(2024-12-31) or seconds since 1970, or go without: --time {NONE}"
        )

    def _rating(self) -> tuple[float, float] | None:
        column = self.given.get("rating") or self._by_name(self.log, "rating", self.columns.values())
        if column in (None, NONE):
            return None
        values, written = known_numbers(self.log.frame[column]), text(self.log.frame[column])
        if len(values) < MOSTLY * int((written != "").sum()) or len(np.unique(values)) == 1:
            if "rating" in self.given:
                raise DataError(f"{self.log.file}: --rating {column}: not numbers, or all of them equal; name another")
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
        return self._with_labels(items, fields)

    def _titles(self, items: Table) -> None:
        others = [column for column in _flat(items) if column != self.columns["item_id"]]
        column = self.given.get("title") or self._by_name(items, "title", (self.columns["item_id"],))
        if column is not None:
            self._take("title", column, _why_given("title", self.given))
            return
        share = {name: text(items.frame[name]).n_unique() / len(items.frame) for name in others}
        likely = [name for name in others if share[name] > _DIFFERENT and is_wordy(items.frame[name])]
        if len(likely) != 1:
            raise self._unclear("title", items, likely or others)
        self._take("title", likely[0], "the only column of words in which items differ")

    def _texts(self, items: Table) -> None:
        used = {self.columns["item_id"], self.columns["title"]}
        column = self.given.get("text")
        if column is None:
            lengths = {name: mean_length(items.frame[name]) for name in _flat(items) if name not in used}
            long = max(lengths, key=lambda name: lengths[name], default=None)
            column = self._by_name(items, "text", used)
            if column is None and long is not None and lengths[long] >= LONG:
                column = long
        if column is not None and column != NONE:
            told = "text" in self.given or named(column, "text")
            self._take("text", column, _why_given("text", self.given) if told else "long texts")

    def _with_labels(self, items: Table, fields: dict[str, FieldSettings]) -> dict[str, FieldSettings]:
        """Make sure that some field holds labels, where one can: what it sorts items into; it comes first."""
        lists = [name for name, settings in fields.items() if settings.type == "list"]
        best = max(lists, key=names_kinds, default=None) or self._sorting_field(items, fields)
        return fields if best is None else {best: fields[best], **fields}

    def _sorting_field(self, items: Table, fields: dict[str, FieldSettings]) -> str | None:
        """Turn the text field that sorts items into kinds into a list of one label; None where there is none."""
        columns = {name: one.columns[0] for name, one in fields.items() if one.type == "text" and one.columns}
        kinds = {name: text(items.frame[column]).n_unique() for name, column in columns.items()}
        most = min(_CATEGORIES, len(items.frame) // 2)
        sorting = [
            name for name, count in kinds.items() if 1 < count <= most and not is_flag(items.frame[columns[name]])
        ]
        best = min(sorting, key=lambda name: (not names_kinds(name), kinds[name]), default=None)
        if best is None:
            return None
        values = text(items.frame[columns[best]])
        absent = (one for one in SEPARATORS if not values.str.contains(one, literal=True).any())
        fields[best] = fields[best].model_copy(update={"type": "list", "separator": next(absent, "\t")})
        why = f"sorts the items into {kinds[best]} kinds, so it is read as a list of one label"
        self.choices = [
            one if one.role != f"field {best}" else Choice(one.role, one.column, why) for one in self.choices
        ]
        return best

    # Helpers

    def _why_not(self, column: str) -> str:
        """Return why a column of the interactions is not used."""
        values = self.log.frame[column]
        if is_flag(values):
            return (
                "says yes or no; every line counts as an interaction, so take those out where it says that there was "
                "none"
            )
        if named(column, "time") and not {"time"} & {*self.columns, *self.given}:
            empty = int((text(values) == "").sum())
            wrong = f"empty in {empty:,} of {len(values):,} lines" if empty else "neither dates nor seconds since 1970"
            return f"is named like times, but {wrong}; {OPTIONS['time']} {column} takes what can be read"
        return "is of the interaction, not of the item"

    def _others(self) -> list[str]:
        used = {column for role, column in self.columns.items() if role in _OF_LOG}
        return [column for column in _flat(self.log) if column not in used]

    def _by_name(self, table: Table, role: Role, used: Iterable[str]) -> str | None:
        """Return the column whose name says most plainly that it is this; None where none says so."""
        taken = set(used)
        scores = {name: named(name, role) for name in _flat(table) if name not in taken}
        best = max(scores, key=lambda name: scores[name], default=None)
        return best if best is not None and scores[best] > 0 else None

    def _unclear(self, role: Role, table: Table, candidates: Collection[str]) -> DataError:
        return DataError(
            f"{table.file}: cannot tell which column is the {role.replace('_', ' ')}; name it with {OPTIONS[role]} "
            f"COLUMN, one of {', '.join(candidates) or 'none that is left'}"
        )


def _flat(table: Table) -> list[str]:
    """Return the columns that are no lists, and no bytes."""
    return [column.name for column in table.frame if is_single(column)]


def _why_given(role: Role, given: Mapping[Role, str]) -> str:
    return f"named by {OPTIONS[role]}" if role in given else "by its name"


# Files


def _read(file: Path, encoding: str, delimiter: str | None) -> Table:
    """Read a table with a header line."""
    if file.name.endswith(".parquet"):
        return read_parquet(file)
    table = read_text(decode(file, encoding), str(file), delimiter or _usual(file))
    if any(_looks_like_data(name) for name in table.frame.columns):
        raise DataError(
            f"{file}, line 1: looks like data ({', '.join(table.frame.columns)[:60]}), not like names of columns; put "
            "a line such as user_id,item_id,rating,timestamp before it"
        )
    if table.frame.is_empty():
        raise DataError(f"{file}: nothing below the line of names; check the file")
    return table


def _looks_like_data(name: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d+([.,]\d+)?|\d{4}-\d\d-\d\d.*", name))


def _usual(file: Path) -> str:
    return "\t" if file.name.endswith(".tsv") else ","


def _encoding(files: Iterable[Path]) -> str:
    """Return an encoding that reads all files, and refuse what is no table."""
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such file; correct the path")
        if not file.name.endswith(PlainTable.suffixes):
            raise DataError(
                f"{file}: not a table; give {', '.join(PlainTable.suffixes)}, or write domain.toml by hand (other "
                "formats: catalogs/README.md)"
            )
        if not file.name.endswith(".parquet"):
            try:
                file.read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                return "latin-1"
    return "utf-8"


def _common_delimiter(files: Iterable[Path]) -> str | None:
    """Return what stands between values, where it is not what the names promise; it has to be the same in all files."""
    found: dict[str, str] = {}
    for file in files:
        if not file.name.endswith(".parquet"):
            header = file.read_bytes().partition(b"\n")[0].decode("latin-1")
            found[file.name] = max(_DELIMITERS, key=lambda one: (header.count(one), one == _usual(file)))
    if all(one == _usual(Path(name)) for name, one in found.items()):
        return None
    if len(set(found.values())) > 1:
        shown = ", ".join(f"{name} by {one!r}" for name, one in found.items())
        raise DataError(f"values are separated in two ways: {shown}; save both files with commas")
    return next(iter(found.values()))
