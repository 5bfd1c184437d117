"""Make a Catalog of a table of items: the same checks for every format, each counted and reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import polars as pl

from genre_gen.data.catalog import Catalog, Item, Value
from genre_gen.data.ids import all_whole, bare, tied
from genre_gen.data.normal_form import composed
from genre_gen.data.readers.amounts import amounts
from genre_gen.data.readers.files import Problem, Table
from genre_gen.data.readers.items_of_log import items_of_log
from genre_gen.data.readers.lists import elements, is_list
from genre_gen.data.readers.missing import marks_among_labels, marks_among_words
from genre_gen.data.readers.report import LoadReport
from genre_gen.data.readers.values import is_single, labels, text
from genre_gen.data.settings import USUAL_COLUMNS
from genre_gen.domain import Domain
from genre_gen.errors import DataError

_NUMBER_AT_END = re.compile(r"\((\d+)\)(?:\s*\([^()]*\))?$")  # "Alien (1979)" and "Alien (1979) (V)"


def to_catalog(table: Table, domain: Domain, separator: str, report: LoadReport) -> Catalog:
    """Make the catalog of an item table; raises DataError for a missing column, or if records violate the policies."""
    columns = domain.data.columns
    written = text(table.series(columns.title, "title", "data.columns.title")) if columns.title else None
    table, kept = _with_unique_ids(table, domain, written, report)
    ids = text(_ids(table, domain)).to_list()
    words = partial(_words, table=table, domain=domain, report=report)
    titles = [""] * len(ids) if written is None else words(written[kept], name="title").to_list()
    texts = table.optional(columns, "text")
    attributes = {name: _attribute(table, name, domain, separator, report) for name in domain.fields}
    for name, settings in domain.fields.items():
        if settings.in_title:
            titles, attributes[name] = agree(titles, attributes[name])
    rows = zip(*attributes.values(), strict=True) if attributes else [()] * len(titles)
    descriptions = [""] * len(titles) if texts is None else words(texts, name="text").to_list()
    return Catalog(
        (
            Item(item_id, title, dict(zip(attributes, values, strict=True)), description)
            for item_id, title, values, description in zip(ids, titles, rows, descriptions, strict=True)
        ),
        domain.name,
    )


def catalog_of_interactions(table: Table, domain: Domain) -> Catalog:
    """Make a catalog of the item ids in the interactions, for data without an item file."""
    ids = text(table.series(domain.data.columns.item, "item", "data.columns.item")).unique(maintain_order=True)
    ids = ids.filter(~ids.is_in(["", *domain.data.missing]))
    ids = bare(ids).unique(maintain_order=True) if all_whole(ids) else ids
    unknown: dict[str, Value] = {name: () if field.type == "list" else None for name, field in domain.fields.items()}
    return Catalog((Item(item_id, "", unknown) for item_id in ids), domain.name)


def _words(column: pl.Series, table: Table, domain: Domain, report: LoadReport, name: str) -> pl.Series:
    """Return a column as text, "" for missing values and for marks of them, which are reported."""
    written = text(column)
    marked = marks_among_words(written, domain.data.missing)
    _told(table, report, marked.arg_true(), written.filter(marked), name)
    return written.set(marked, "")


def _told(table: Table, report: LoadReport, records: pl.Series, values: pl.Series, name: str) -> None:
    report.check(table, records, values, f"{name} is a mark for missing (data.missing)", "attributes", "unknown")


def items_in_lines(table: Table, domain: Domain) -> Table:
    """Return the items of interactions whose lines describe them, with the columns that the domain names."""
    columns = domain.data.columns
    names = [*columns.title, *(USUAL_COLUMNS["text"] if columns.text is None else columns.text)]
    names += [name for field, settings in domain.fields.items() for name in settings.columns or (field,)]
    return items_of_log(table, _ids(table, domain).name, (name for name in names if name in table.frame.columns))


def settle_item_id(domain: Domain, items: Table, read: Callable[[], Table], report: LoadReport) -> Domain:
    """Return the domain with the item file's column of ids, if several columns have one of the names of the item.

    It is the one with the most ids of the interactions, which ``read`` returns; the first of equally good ones.
    """
    columns = domain.data.columns
    names = [name for name in columns.item if name in items.frame.columns]
    if columns.item_id is not None or len(names) < 2:  # noqa: PLR2004 - two to choose from
        return domain
    called = text(read().series(columns.item, "item", "data.columns.item")).unique()
    ids = {name: text(items.series([name], "item id", "data.columns.item_id")) for name in names}
    known = {name: tied(values, called).is_in(called.implode()) for name, values in ids.items()}
    best = max(names, key=lambda name: int(known[name].sum()))
    if best != names[0]:
        row, count = int(known[best].arg_max() or 0), int(known[best].sum())
        kind = f"ids of the interactions in {best!r}, not in {names[0]!r}"
        report.problems.append(
            Problem(items.file, kind, count, items.locate(row), repr(items.frame[best][row]), "used")
        )
    columns = columns.model_copy(update={"item_id": (best,)})
    return domain.model_copy(update={"data": domain.data.model_copy(update={"columns": columns})})


def _ids(table: Table, domain: Domain) -> pl.Series:
    """Return the column of the items' ids."""
    columns = domain.data.columns
    key = "data.columns.item" if columns.item_id is None else "data.columns.item_id"
    return table.series(columns.item_id or columns.item, "item id", key)


def _with_unique_ids(
    table: Table, domain: Domain, titles: pl.Series | None, report: LoadReport
) -> tuple[Table, pl.Series]:
    """Return the records whose id is neither empty nor repeated, and their numbers in the whole table."""
    policies = domain.data.policies
    ids = text(_ids(table, domain))
    empty, marked, first = ids == "", ids.is_in(list(domain.data.missing)), ids.is_first_distinct()
    absent = empty | marked
    again, other = ~absent & ~first, pl.Series([False]).new_from_index(0, len(ids))
    if titles is not None and again.any():
        known = pl.DataFrame({"id": ids, "title": titles})
        other = again & (titles != known.select(pl.col("title").first().over("id")).to_series()) & (titles != "")
    for wrong, kind, key, policy, values in (
        (empty, "no item id", "missing_ids", policies.missing_ids, ids),
        (marked, "item id is a mark for missing (data.missing)", "missing_ids", policies.missing_ids, ids),
        (again & ~other, "item id repeated", "repeated_items", policies.repeated_items, ids),
        (other, "item id repeated with another title", "repeated_items", policies.repeated_items, _titled(ids, titles)),
    ):
        report.check(table, wrong.arg_true(), values.filter(wrong), kind, key, policy)
    kept = (~absent & first).arg_true()
    return Table(table.frame[kept], table.file, lambda row: table.locate(int(kept[row]))), kept


def _titled(ids: pl.Series, titles: pl.Series | None) -> pl.Series:
    return ids if titles is None else ids + ": " + titles


def _attribute(table: Table, name: str, domain: Domain, separator: str, report: LoadReport) -> list[Value]:
    """Return a field's values, one per record."""
    settings = domain.fields[name]
    names = settings.columns or (name,)
    if settings.in_title and not set(names) & set(table.frame.columns):
        return [None] * len(table.frame)
    column = table.frame[table.column(names, f"field {name}", f"fields.{name}.columns")]
    _check_type(table, column, name, settings.type)
    unknown = set(map(composed, settings.unknown))
    if settings.type == "list":
        lists = labels(column, settings.separator or separator)
        among_labels = marks_among_labels(lists, [mark for mark in domain.data.missing if mark not in settings.unknown])
        _told(table, report, among_labels["record"], among_labels["label"], name)
        unknown |= {*among_labels["label"]}
        return [tuple(label for label in part if label not in unknown) for part in lists.to_list()]
    words = text(column)
    known = words.set(words.is_in(["", *unknown]), "")
    if settings.type == "text":
        known = _words(known, table, domain, report, name)
        return list(known.set(known == "", None))
    marked = known.is_in(list(domain.data.missing))
    _told(table, report, marked.arg_true(), known.filter(marked), name)
    written = known.set(marked | (known == ""), None)
    values = amounts(written)
    wrong = written.is_not_null() & ~values.is_finite().fill_null(False)
    kind, policy = f"{name} is not a number", domain.data.policies.attributes
    report.check(table, wrong.arg_true(), words.filter(wrong), kind, "attributes", policy)
    return [_plain(value) for value in values.set(wrong, None)]


def _check_type(table: Table, column: pl.Series, name: str, kind: str) -> None:
    """Raise DataError for lists in a field of single values, and for values that are neither text nor numbers."""
    listed = is_list(column)
    if not is_single(elements(column) if listed and kind == "list" else column):
        remedy = f'set fields.{name}.type = "list", or name' if listed and kind != "list" else "name"
        raise DataError(
            f"{table.file}: column {column.name!r} has type {column.dtype}, but fields.{name} has type {kind!r}; "
            f"{remedy} another column as fields.{name}.columns in domain.toml"
        )


def _plain(value: float | None) -> Value:
    """Return a whole number as int, so that a year is shown as 1995 and not as 1995.0."""
    return int(value) if value is not None and value.is_integer() else value


def agree(titles: Sequence[str], values: Sequence[Value]) -> tuple[list[str], list[Value]]:
    """Append missing numbers to titles, and fill in missing values from numbers at the end of titles."""
    agreed: list[tuple[str, Value]] = []
    for title, value in zip(titles, values, strict=True):
        number = _NUMBER_AT_END.search(title)
        if value is None:
            agreed.append((title, int(number[1]) if number else None))
        elif not title or (number and number[1] == str(value)):
            agreed.append((title, value))
        else:
            agreed.append((f"{title} ({value})", value))
    return [title for title, _ in agreed], [value for _, value in agreed]
