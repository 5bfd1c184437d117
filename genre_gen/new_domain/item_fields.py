"""What is known of items: the columns of titles and descriptions, and attributes of the other columns."""

from __future__ import annotations

from dataclasses import replace

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import text
from genre_gen.data.settings import FieldSettings
from genre_gen.new_domain.column_types import LONG, SEPARATORS, as_field, is_flag, is_wordy, mean_length
from genre_gen.new_domain.decisions import NONE, Choice, Decisions, flat, why_given
from genre_gen.new_domain.names import field_name, named, names_kinds

_FIELDS = 8  # the largest number of proposed fields, since more make every description long
_CATEGORIES = 200  # the largest number of distinct values of a column that sorts items into kinds
_DIFFERENT = 0.8  # the least share of distinct values of a column of titles


def find_item_fields(known: Decisions, items: Table) -> dict[str, FieldSettings]:
    """Decide on titles, descriptions and attributes; raises DataError if no column can be the title."""
    _titles(known, items)
    _texts(known, items)
    used = {column for role, column in known.columns.items() if role in ("item_id", "title", "text")}
    fields: dict[str, FieldSettings] = {}
    for column in items.frame.columns:
        if column in used:
            continue
        settings, why = as_field(items.frame[column], column)
        name = field_name(column, fields)
        if settings is None or len(fields) == _FIELDS:
            known.left_out.append(Choice("", column, why if settings is None else f"{_FIELDS} fields are enough"))
            continue
        fields[name] = settings
        known.choices.append(Choice(f"field {name}", column, why))
    # One field should have labels if possible, those that items are sorted into; it comes first.
    lists = [name for name, settings in fields.items() if settings.type == "list"]
    best = max(lists, key=names_kinds, default=None) or _sorting_field(known, items, fields)
    return fields if best is None else {best: fields[best], **fields}


def _titles(known: Decisions, items: Table) -> None:
    others = [column for column in flat(items) if column != known.columns["item_id"]]
    column = known.given.get("title") or known.by_name(items, "title", (known.columns["item_id"],))
    if column is not None:
        known.take("title", column, why_given("title", known.given))
        return
    different = (name for name in others if text(items.frame[name]).n_unique() > _DIFFERENT * len(items.frame))
    likely = [name for name in different if is_wordy(items.frame[name])]
    if len(likely) != 1:
        raise known.unclear("title", items, likely or others)
    known.take("title", likely[0], "the only column of words that differ between items")


def _texts(known: Decisions, items: Table) -> None:
    used = {known.columns["item_id"], known.columns["title"]}
    column = known.given.get("text")
    if column is None:
        lengths = {name: mean_length(items.frame[name]) for name in flat(items) if name not in used}
        long = (name for name, length in lengths.items() if length >= LONG)
        column = known.by_name(items, "text", used) or max(long, key=lengths.__getitem__, default=None)
    if column is not None and column != NONE:
        told = "text" in known.given or named(column, "text")
        known.take("text", column, why_given("text", known.given) if told else "long texts")


def _sorting_field(known: Decisions, items: Table, fields: dict[str, FieldSettings]) -> str | None:
    """Turn a text field that sorts items into kinds into a list of one label; None if there is none."""
    columns = {name: each.columns[0] for name, each in fields.items() if each.type == "text" and each.columns}
    kinds = {name: text(items.frame[column]).n_unique() for name, column in columns.items()}
    most = min(_CATEGORIES, len(items.frame) // 2)
    sorting = [name for name, count in kinds.items() if 1 < count <= most and not is_flag(items.frame[columns[name]])]
    best = min(sorting, key=lambda name: (not names_kinds(name), kinds[name]), default=None)
    if best is None:
        return None
    values = text(items.frame[columns[best]])
    absent = (mark for mark in SEPARATORS if not values.str.contains(mark, literal=True).any())
    fields[best] = fields[best].model_copy(update={"type": "list", "separator": next(absent, "\t")})
    why = f"sorts the items into {kinds[best]} kinds, so it is read as a list of one label"
    known.choices = [replace(choice, why=why) if choice.role == f"field {best}" else choice for choice in known.choices]
    return best
