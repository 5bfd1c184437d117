"""Schema inference: the meaning of the columns of two unknown tables, by their names and values.

Names are compared word by word ("customer_id" is a user), values by their type (dates, numbers, ids of the item table,
labels between separators). If the data does not decide, an error asks for the column: a wrong guess costs more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import read_dates, text
from genre_gen.data.settings import FieldSettings
from genre_gen.errors import DataError
from genre_gen.new_domain.column_types import (
    MOSTLY,
    is_flag,
    is_numeric,
    known_numbers,
    share,
    time_unit,
    unread_times,
    usual_scale,
)
from genre_gen.new_domain.decisions import NONE, Choice, Decisions, enumerated, role_key, why_given
from genre_gen.new_domain.given import check_given, roles_of
from genre_gen.new_domain.ids import check_order, find_user_and_item
from genre_gen.new_domain.item_fields import find_item_fields
from genre_gen.new_domain.names import Role, named
from genre_gen.new_domain.one_table import items_in

_OF_LINES: tuple[Role, ...] = ("rating", "time")


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
    items_in_log: bool = False  # the lines of the interactions describe their items too

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
    return _Inference(interactions, items, roles_of(given or {})).proposal()


@dataclass
class _Inference(Decisions):
    """The decisions, one after the other."""

    time_unit: Literal["s", "ms"] = "s"

    def proposal(self) -> Proposal:
        """Decide everything."""
        check_order(self)
        check_given(self)
        find_user_and_item(self)
        for role in _OF_LINES:
            usual = self.by_name(self.log, role, self.columns.values()) if self.given.get(role) == NONE else None
            if usual is not None:
                self.leave_out(usual, f"{role_key(role, NONE)} leaves it out")
        scale, fields, one_table = None, dict[str, FieldSettings](), self.items is None
        with self.asking():
            self._time()
        with self.asking():
            scale = self._rating()
        if one_table and "item" in self.columns:
            self.items = items_in(self)
            self.columns["item_id"] = self.columns["item"]
        own = {*self.items.frame.columns} if one_table and self.items is not None else set[str]()
        own |= {choice.column for choice in self.left_out}
        for column in self.others():
            if column not in own:
                self.leave_out(column, self._why_not(column))
        if self.items is not None:
            fields = find_item_fields(self, self.items)
        if self.questions:
            raise DataError(enumerated(self.questions))
        return self._proposal(fields, scale, one_table)

    def _proposal(
        self, fields: dict[str, FieldSettings], scale: tuple[float, float] | None, one_table: bool
    ) -> Proposal:
        pairs = pl.DataFrame({"user": text(self.of("user")), "item": text(self.of("item"))})
        ids = pairs["item"] if self.items is None else text(self.items.frame[self.columns["item_id"]])
        return Proposal(
            self.columns,
            fields,
            tuple(self.choices),
            tuple(self.left_out),
            scale,
            1 - pairs.n_unique() / max(1, len(pairs)),
            int((~pairs["item"].is_in(ids.implode()) & (pairs["item"] != "")).sum()),
            self.time_unit,
            one_table and self.items is not None,
        )

    def _time(self) -> None:
        column = self.given.get("time")
        if column == NONE:
            return
        units = {name: unit for name in self.others() if (unit := time_unit(self.log.frame[name])) is not None}
        if column is None:
            scores = {name: named(name, "time") for name in self.others()}
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
        why = why_given("time", self.given) + (f", such as {written[0]!r}" if len(written) else "")
        self.take("time", column, why + (f", read with the {order} first" if order else ""))

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
        column = self.given.get("rating") or self.by_name(self.log, "rating", self.columns.values())
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
        self.take("rating", column, f"{why_given('rating', self.given)}, {shown}")
        return scale

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
