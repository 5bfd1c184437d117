"""What is known of items: the columns of titles and descriptions, and attributes of the other columns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import text
from genre_gen.data.settings import FieldSettings
from genre_gen.new_domain.column_types import (
    LONG,
    MOSTLY,
    SEPARATORS,
    are_titles,
    as_field,
    is_flag,
    is_numeric,
    is_prose,
    is_wordy,
    mean_length,
    share,
)
from genre_gen.new_domain.decisions import NONE, Choice, Decisions, flat, role_key, why_given
from genre_gen.new_domain.names import field_name, named, names_kinds, word_rank
from genre_gen.new_domain.no_attributes import is_code, no_attributes

_FIELDS = 8  # the largest number of proposed fields, since more make every description long
_CATEGORIES = 200  # the largest number of distinct values of a column that sorts items into kinds
_DIFFERENT = 0.8  # the least number of distinct values of a column of titles, for each item
_VARIED = 0.3  # with more than this, a column of words may still be one of titles, so it is asked for


def find_item_fields(known: Decisions, items: Table) -> dict[str, FieldSettings]:
    """Decide on titles, descriptions and attributes, or ask."""
    before = len(known.left_out)
    useless = dict(no_attributes(items.frame, {known.columns.get("item_id", "")}))
    with known.asking():
        _title(known, items, {name for names in useless for name in names})
    _text(known, items)
    used = {column for role, column in known.columns.items() if role in ("item_id", "title", "text")}
    used |= {choice.column for choice in known.left_out[before:]}
    for names, why in useless.items():
        if not used & {*names}:
            known.leave_out(names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}", why)
        used.update(names)
    fields: dict[str, FieldSettings] = {}
    for column in items.frame.columns:
        if column in used:
            continue
        settings, why = as_field(items.frame[column], column)
        if settings is None or len(fields) == _FIELDS:
            known.leave_out(column, why if settings is None else f"{_FIELDS} fields are enough")
            continue
        if settings.type == "number" and is_code(column):
            settings, why = settings.model_copy(update={"type": "text"}), "codes of kinds, not amounts"
        name = field_name(column, fields)
        fields[name] = settings
        known.choices.append(Choice(f"field {name}", column, why))
    # One field should have labels if possible, those that items are sorted into; it comes first.
    lists = [name for name, settings in fields.items() if settings.type == "list"]
    best = max(lists, key=names_kinds, default=None) or _sorting_field(known, items, fields)
    return fields if best is None else {best: fields[best], **fields}


def _title(known: Decisions, items: Table, useless: Collection[str]) -> None:
    column = known.given.get("title")
    if column == NONE:
        if usual := next(iter(_called_titles(known, items)), None):
            known.leave_out(usual, f"{role_key('title', NONE)} leaves it out")
    elif column is not None:
        known.take("title", column, why_given("title", known.given))
    elif (ids := known.columns.get("item_id")) and named(ids, "title") and is_wordy(items.frame[ids]):
        known.take("title", ids, "the ids are titles")
    elif called := _called_titles(known, items):
        rivals = [name for name in called[1:] if named(name, "title") == named(called[0], "title")]
        other = f"; {role_key('title', rivals[0])} takes the other one" if rivals else ""
        known.take("title", called[0], why_given("title", known.given) + other)
    else:
        _title_by_values(known, items, useless)


def _called_titles(known: Decisions, items: Table) -> list[str]:
    """Return the columns whose names say that they are titles, the best one first: by name, then by variety."""
    called = known.named(items, "title", (known.columns.get("item_id", ""),))
    called = [name for name in called if not is_numeric(items.frame[name])]
    kinds = {name: text(items.frame[name]).n_unique() for name in called}
    return sorted(called, key=lambda name: (-named(name, "title"), word_rank(name, "title"), -kinds[name]))


def _title_by_values(known: Decisions, items: Table, useless: Collection[str]) -> None:
    """Take the only column of words that differ between items, or ids that are titles; ask if there are several."""
    id_column = known.columns.get("item_id")
    count = text(items.frame[id_column]).n_unique() if id_column else len(items.frame)
    kinds = {name: text(items.frame[name]).n_unique() for name in flat(items) if name not in {id_column, *useless}}
    wordy = [name for name in kinds if kinds[name] > _DIFFERENT * count and is_wordy(items.frame[name])]
    likely = wordy or [
        name
        for name in kinds
        if kinds[name] > _VARIED * count and share(text(items.frame[name]).str.contains(r"^\pL")) > MOSTLY
    ]
    if len(wordy) == 1:
        known.take("title", wordy[0], "the only column of words that differ between items")
    elif likely:
        raise known.unclear("title", items, likely)
    elif id_column and are_titles(items.frame[id_column]):
        known.take("title", id_column, "the ids are titles")


def _text(known: Decisions, items: Table) -> None:
    column = known.given.get("text")
    used = {known.columns.get("item_id", ""), known.columns.get("title", "")}
    free = [name for name in flat(items) if name not in used and is_prose(items.frame[name])]
    lengths = {name: mean_length(items.frame[name]) for name in free}
    long = (name for name, length in lengths.items() if length >= LONG)
    called = next((name for name in known.named(items, "text", used) if name in free), None)
    usual = called or max(long, key=lengths.__getitem__, default=None)
    if column == NONE:
        if usual is not None:
            known.leave_out(usual, f"{role_key('text', NONE)} leaves it out")
    elif column is not None:
        known.take("text", column, why_given("text", known.given))
    elif usual is not None:
        known.take("text", usual, why_given("text", known.given) if called else "long texts")


def _sorting_field(known: Decisions, items: Table, fields: dict[str, FieldSettings]) -> str | None:
    """Turn a text field that sorts items into kinds into a list of one label; None if there is none."""
    columns = {name: each.columns[0] for name, each in fields.items() if each.type == "text" and each.columns}
    kinds = {name: text(items.frame[column]).n_unique() for name, column in columns.items()}
    most = min(_CATEGORIES, len(items.frame) // 2)
    sorting = [
        name
        for name, count in kinds.items()
        if 1 < count <= most
        and not is_flag(items.frame[columns[name]])
        and (names_kinds(columns[name]) or not is_code(columns[name]))
    ]
    best = min(sorting, key=lambda name: (not names_kinds(name), kinds[name]), default=None)
    if best is None:
        return None
    values = text(items.frame[columns[best]])
    absent = (mark for mark in SEPARATORS if not values.str.contains(mark, literal=True).any())
    fields[best] = fields[best].model_copy(update={"type": "list", "separator": next(absent, "\t")})
    why = f"sorts the items into {kinds[best]} kinds, so it is read as a list of one label"
    known.choices = [replace(choice, why=why) if choice.role == f"field {best}" else choice for choice in known.choices]
    return best
