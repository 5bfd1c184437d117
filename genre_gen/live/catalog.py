"""A catalog that changes while it serves: items come, are described otherwise, and are withdrawn.

Each change makes a new view; requests that run keep theirs. What the training gave stays as it is: a new item is placed
by its description, next to the items that are described most like it, and a catalog that grew in steps answers as one
that was put together at once, see :func:`rebuild`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from genre_gen.data.arguments import check_type
from genre_gen.data.catalog import Item
from genre_gen.errors import DataError, UsageError, quoted
from genre_gen.live.items import checked_item
from genre_gen.live.live_state import grown
from genre_gen.live.view import View
from genre_gen.recommender.state import RecommenderState


def with_items(view: View, items: Sequence[Item]) -> View:
    """Return a view with more items behind the present ones, and with new descriptions of those that are there.

    An item with the id of another takes its row, and stays withdrawn if that was. The model was not trained on what is
    new: a further item gets a code next to those of the items described most like it, and models that count
    interactions have no score for it. A trained item that is described otherwise keeps its code; filters, requests in
    words and explanations go by the new description.

    Example:
        >>> more = with_items(view, [Item("new", "Up (2009)", {"genre": ("Animation",)})])
        >>> len(more.state.catalog) - len(view.state.catalog), more.number - view.number
        (1, 1)

    Args:
        view: the present view, which stays as it is.
        items: in the order of their rows; the last one counts where an id is repeated.

    Raises:
        DataError: an item that the readers would refuse, or one with which the domain's rules no longer say which items
            they mean.
        ConfigError: this recommender has no codes for further items.
    """
    check_type(items, Sequence, "items", "a list of Item(...)")
    domain, state = view.state.domain, view.state
    state = grown(state, [checked_item(item, state.catalog, domain) for item in items])
    if state is view.state:
        return view
    try:
        state.rule_book.compiled(None)
    except UsageError as problem:
        raise DataError(
            f"{state.catalog.name}: with these items the domain's rules are no longer clear: {problem}; write ids in "
            "the rules, or give the items other titles"
        ) from None
    available = view.available
    if available is not None:
        available = np.append(available, np.ones(len(state.catalog) - len(available), bool))
        available.flags.writeable = False
    return replace(view, number=view.number + 1, state=state, available=available)


def with_available(view: View, changes: Mapping[str, bool]) -> View:
    """Return a view in which items are withdrawn or available again; a withdrawn one is never recommended.

    Histories may hold it, and requests that are about it are answered. Only the mask is another one.

    Example:
        >>> with_available(view, {view.state.catalog[3].id: False}).available.tolist()[2:5]
        [True, False, True]

    Args:
        view: the present view, which stays as it is.
        changes: item id -> whether it is available afterwards.

    Raises:
        UnknownItemError: there is no such item.
        UsageError: a value that is not true or false.
    """
    check_type(changes, Mapping, "changes", "true or false by item id")
    catalog, present = view.state.catalog, view.available
    mask = np.ones(len(catalog), bool) if present is None else present.copy()
    for item_id, is_available in changes.items():
        if not isinstance(is_available, (bool, np.bool_)):
            raise UsageError(f"available = {quoted(is_available)} for item {quoted(item_id)}; give true or false")
        mask[catalog.row(item_id)] = is_available
    if present is not None and np.array_equal(mask, present):
        return view
    mask.flags.writeable = False
    available = None if mask.all() else mask
    return view if available is present else replace(view, number=view.number + 1, available=available)


def rebuild(
    state: RecommenderState, items: Iterable[Item], availability: Mapping[str, bool], *, number: int = 0
) -> View:
    """Return the view of a trained state with items that were stored, equal to the one that served when they came.

    Example:
        >>> rebuild(recommender.state, [Item("new", "Up (2009)")], {"new": False}).available.tolist()[-1]
        False

    Args:
        state: as it was trained.
        items: as they were last put, in the order in which they first came; trained items may be among them.
        availability: item id -> whether it is available; items that are not named are.
        number: of the view.

    Raises:
        DataError, ConfigError: see :func:`with_items`.
        UnknownItemError: see :func:`with_available`.
    """
    view = with_available(with_items(View.of(state), list(items)), availability)
    return replace(view, number=number)
