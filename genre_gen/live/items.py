"""What comes as an item while serving, checked and cleaned as the readers do with the records of an item file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from genre_gen.data.arguments import check_type
from genre_gen.data.catalog import Catalog, Item, Value
from genre_gen.data.normal_form import composed
from genre_gen.domain import Domain
from genre_gen.errors import DataError, UnknownItemError, quoted

REMEDIES = {
    "list": 'a list of texts, such as ["Drama"], or null',
    "text": "text, or null",
    "number": "a finite number, such as 1995, or null",
}
"""What a field of each type takes."""


def checked_item(item: Item, catalog: Catalog, domain: Domain) -> Item:
    """Return an item with the fields of a catalog, in their order, ready to be added to it or to replace one.

    Texts and labels are stripped, in one form, and without what the domain says is unknown; fields that are not given
    are unknown; a number that belongs into the title is written there. The id of an item that is in the catalog, also
    in another form (``12.0`` for ``12``), becomes that item's own.

    Example:
        >>> checked_item(Item("x", " Up ", {"year": "2009"}), catalog, domain)
        Item(id='x', title='Up (2009)', attributes={'genre': (), 'year': 2009}, text='')

    Raises:
        DataError: an id, a title, a text or a field that no item can have; the message names it and what it takes.
        UsageError: something else than an item.
    """
    check_type(item, Item, "an item", "Item(id, title, attributes, text)")
    for name in ("id", "title", "text"):
        if not isinstance(getattr(item, name), str):
            raise DataError(f"{catalog.name}: the {name} of item {quoted(item.id)} is not text; make it text")
    item_id = item.id.strip()
    if not item_id:
        raise DataError(f"{catalog.name}: item id {quoted(item.id)} is empty; give an id of at least one character")
    if item_id in domain.data.missing:
        raise DataError(f"{catalog.name}: item id {quoted(item_id)} is a mark for missing (data.missing); give another")
    attributes = _attributes(item, catalog, domain)
    title = item.title.strip()
    for name, field in domain.fields.items():
        if field.in_title and name in attributes and not title.endswith(f"({attributes[name]})"):
            from genre_gen.data.readers.to_catalog import agree

            (title,), (attributes[name],) = agree([title], [attributes[name]])
    return Item(_known_id(item_id, catalog), title, attributes, item.text.strip())


def _known_id(item_id: str, catalog: Catalog) -> str:
    try:
        return catalog[catalog.row(item_id)].id
    except UnknownItemError:
        return item_id


def _attributes(item: Item, catalog: Catalog, domain: Domain) -> dict[str, Value]:
    """Return the values of the catalog's fields, in its order."""
    given = item.attributes
    if not isinstance(given, Mapping):
        raise DataError(f"{catalog.name}: the fields of item {quoted(item.id)} are not an object; give values by name")
    if unknown := [name for name in given if name not in catalog.fields]:
        raise DataError(
            f"{catalog.name}: item {quoted(item.id)} has the field {quoted(unknown[0])}; its fields can be "
            f"{', '.join(catalog.fields) or 'none'}"
        )
    values: dict[str, Value] = {}
    for name in catalog.fields:
        kind, field = _kind(name, catalog, domain), domain.fields.get(name)
        unknown_values = set(map(composed, field.unknown)) if field else set()
        value = given.get(name)
        value = value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
        if value is None:
            values[name] = () if kind == "list" else None
        elif kind == "list":
            values[name] = _labels(value, name, item, catalog, unknown_values)
        elif isinstance(value, str):
            written = composed(value.strip())
            known = None if written == "" or written in unknown_values else written
            values[name] = _number(known, name, item, catalog) if kind == "number" and known is not None else known
        elif kind == "number":
            values[name] = _number(value, name, item, catalog)
        else:
            _refuse(value, name, "text", item, catalog)
    return values


def _kind(name: str, catalog: Catalog, domain: Domain) -> str:
    """Return the type of a field: that of the domain, or what the items of the catalog have."""
    if name in domain.fields:
        return domain.fields[name].type
    known = next((each.attributes[name] for each in catalog if each.attributes[name] is not None), "")
    return "list" if isinstance(known, tuple) else "text" if isinstance(known, str) else "number"


def _labels(value: Any, name: str, item: Item, catalog: Catalog, unknown: set[str]) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(label, str) for label in value):
        _refuse(value, name, "list", item, catalog)
    labels = dict.fromkeys(composed(label.strip()) for label in value)
    return tuple(label for label in labels if label and label not in unknown)


def _number(value: Any, name: str, item: Item, catalog: Catalog) -> Value:
    """Return a number, or that which a text writes; NaN is unknown."""
    if isinstance(value, str):
        import polars as pl

        from genre_gen.data.readers.amounts import amounts

        value = amounts(pl.Series([value]))[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value in (math.inf, -math.inf):
        _refuse(item.attributes.get(name), name, "number", item, catalog)
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() and abs(value) < 2**53 else value
    if abs(value) >= 2**63:
        _refuse(value, name, "number", item, catalog)
    return value


def _refuse(value: Any, name: str, kind: str, item: Item, catalog: Catalog) -> NoReturn:
    raise DataError(f"{catalog.name}: item {quoted(item.id)} has {name} = {quoted(value)}; give {REMEDIES[kind]}")
