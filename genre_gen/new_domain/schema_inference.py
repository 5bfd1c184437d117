"""Schema inference: the meaning of the columns of two unknown tables, by their names and values.

Names are compared word by word ("customer_id" is a user), values by their type (dates, numbers, ids of the item table,
labels between separators). If the data does not decide, an error asks for the column: a wrong guess costs more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from genre_gen.data.readers.dates import Unit
from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import text
from genre_gen.data.settings import FieldSettings
from genre_gen.errors import DataError
from genre_gen.new_domain.column_types import is_flag, known_texts
from genre_gen.new_domain.decisions import NONE, Choice, Decisions, enumerated, role_key
from genre_gen.new_domain.events import ProposedEvents, find_events
from genre_gen.new_domain.given import check_given, roles_of
from genre_gen.new_domain.ids import check_order, count_unknown, find_user_and_item
from genre_gen.new_domain.item_fields import find_item_fields
from genre_gen.new_domain.names import Role, named
from genre_gen.new_domain.one_table import items_in
from genre_gen.new_domain.ratings import Ratings, find_ratings
from genre_gen.new_domain.times import find_times

_OF_LINES: tuple[Role, ...] = ("rating", "time", "event")
_FEW_REPEATS = 0.1  # with a smaller share, it does not matter whether they are of one moment


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
    time_unit: Unit  # the unit of numeric times
    not_rated: tuple[float, ...] = ()  # ratings that mean "not rated"
    items_in_log: bool = False  # the lines of the interactions describe their items too
    events: ProposedEvents | None = None  # the kinds of events; None if the log has one kind

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

    time_unit: Unit = "s"
    ratings: Ratings = field(default_factory=lambda: Ratings(None))
    events: ProposedEvents | None = None

    def proposal(self) -> Proposal:
        """Decide everything."""
        check_order(self)
        check_given(self)
        find_user_and_item(self)
        for role in _OF_LINES:
            usual = self.by_name(self.log, role, self.columns.values()) if self.given.get(role) == NONE else None
            if usual is not None:
                self.leave_out(usual, f"{role_key(role, NONE)} leaves it out")
        fields, one_table = dict[str, FieldSettings](), self.items is None
        with self.asking():
            self.events = find_events(self)
        with self.asking():
            self.time_unit = find_times(self)
        with self.asking():
            self.ratings = find_ratings(self)
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
        return self._proposal(fields, one_table)

    def _proposal(self, fields: dict[str, FieldSettings], one_table: bool) -> Proposal:
        pairs = pl.DataFrame({"user": text(self.of("user")), "item": text(self.of("item"))})
        ids = pairs["item"] if self.items is None else text(self.items.frame[self.columns["item_id"]])
        return Proposal(
            self.columns,
            fields,
            tuple(self.choices),
            tuple(self.left_out),
            self.ratings.scale,
            self._repeats(pairs),
            count_unknown(pairs["item"], ids),
            self.time_unit,
            self.ratings.not_rated,
            one_table and self.items is not None,
            self.events,
        )

    def _repeats(self, pairs: pl.DataFrame) -> float:
        """Return the share of measured interactions with an item that the user had at another time."""
        if self.events is not None:
            pairs = pairs.filter([*map(self.events.is_measured, text(self.of("event")))])
        different = pairs.n_unique()
        share = 1 - different / max(1, len(pairs))
        if share <= _FEW_REPEATS or "time" not in self.columns or self.events is not None:
            return share
        moments = pairs.with_columns(time=text(self.of("time"))).n_unique()  # several lines may have one, such as tags
        return 1 - different / moments

    def _why_not(self, column: str) -> str:
        """Return why a column of the interactions is not used."""
        values = self.log.frame[column]
        if is_flag(values):
            return (
                "has yes/no values; every line counts as an interaction, so remove the lines that mean that there was "
                "none"
            )
        if named(column, "time") and not {"time"} & {*self.columns, *self.given}:
            empty = len(values) - len(known_texts(values))
            wrong = f"empty in {empty:,} of {len(values):,} lines" if empty else "neither dates nor seconds since 1970"
            return f"has a name like times, but {wrong}; {role_key('time', column)} reads the valid ones"
        return "belongs to the interaction, not to the item"
