import numpy as np
import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.filters import Filters, check_n, rows_of
from genre_gen.data.history import History
from genre_gen.errors import FilterError, UnknownItemError, UsageError

CATALOG = Catalog(
    [Item(f"i{k}", title, {"year": 1990 + k}) for k, title in enumerate(["Alien", "Aliens", "Heat", "Up", "Jaws"])]
)


def seen(*rows):
    return History(np.array(rows, np.int64))


def left(filters, *rows):
    return np.flatnonzero(filters.allowed(seen(*rows)).mask).tolist()


def test_unseen_items_are_allowed_and_seen_ones_if_items_repeat():
    assert left(Filters(CATALOG), 1, 3, 1) == [0, 2, 4]
    assert left(Filters(CATALOG)) == left(Filters(CATALOG, repeat=True), 1, 3) == [0, 1, 2, 3, 4]


def test_filters_act_together():
    filters = Filters(CATALOG, "year >= 1991", exclude=["jaws"], include=["i1", "Heat", "Up", "Jaws"])
    assert left(filters) == [1, 2, 3]
    assert left(filters, 2) == [1, 3]
    assert left(filters) == [1, 2, 3]  # one history leaves nothing behind for the next


def test_an_empty_include_list_allows_no_item_and_an_empty_exclude_list_all():
    assert left(Filters(CATALOG, include=[])) == []
    assert left(Filters(CATALOG, exclude=[])) == [0, 1, 2, 3, 4]


def test_the_reason_counts_the_items_removed_by_each_filter():
    filters = Filters(CATALOG, "year >= 1991", exclude=["Alien", "Jaws"], include=["Alien", "Heat", "Up", "Jaws"])
    assert filters.allowed(seen(2, 0)).reason == (
        "5 in the catalog, less 1 outside 'year >= 1991', 1 not on the list to include, 1 excluded, 1 seen already"
    )
    assert Filters(CATALOG, repeat=True).allowed(seen(1)).reason == "5 in the catalog"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"where": "yeer > 1"}, FilterError, "did you mean year"),
        ({"where": ""}, FilterError, "the expression is empty"),
        ({"exclude": ["Alien", "Alein"]}, UnknownItemError, "no item 'Alein'"),
        ({"include": ["nothing like it"]}, UnknownItemError, "no item 'nothing like it'"),
        ({"exclude": "i1"}, UsageError, "'i1' is not a list"),
        ({"include": "i1"}, UsageError, "'i1' is not a list"),
        ({"exclude": 5}, UsageError, "5 is not a list"),
        ({"exclude": [3]}, UsageError, "3 is not a string"),
        ({"where": 5}, UsageError, "where = 5; give an expression as text"),
    ],
)
def test_unknown_items_and_invalid_lists_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Filters(CATALOG, **arguments)


def test_every_unknown_title_is_named_at_once():
    with pytest.raises(UnknownItemError) as caught:
        rows_of(CATALOG, ["Alein", "Up", "Juws"])
    assert "'Alein'" in str(caught.value)
    assert "'Juws'" in str(caught.value)
    assert rows_of(CATALOG, ["up", "i0"]) == [3, 0]


def test_the_key_distinguishes_requests_by_allowed_items():
    options = ({}, {"repeat": True}, {"where": "year > 1990"}, {"exclude": ["Jaws"]})
    assert len({Filters(CATALOG, **option).key() for option in options}) == len(options)
    assert Filters(CATALOG, "year > 1990").key() == Filters(CATALOG, exclude=["Alien"]).key()


@pytest.mark.parametrize(
    ("n", "message"),
    [(0, "at least one"), (-1, "at least one"), *((n, "give a whole number") for n in (2.5, "3", None, True))],
)
def test_n_must_be_possible(n, message):
    check_n(np.int64(3))
    with pytest.raises(UsageError, match=message):
        check_n(n)


def test_a_history_of_another_catalog_is_refused():
    with pytest.raises(UsageError, match="catalog row 9"):
        Filters(CATALOG).allowed(seen(9))
