"""A catalog that gets more items is the one that is built of all of them at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen import Catalog, Item
from genre_gen.data.titles import TitleIndex
from genre_gen.errors import DataError, UnknownItemError

TITLES = (
    "Up",
    "up",
    "Up (2009)",
    "UP [a]",
    "Up [b]",
    "Godfather, The (1972)",
    "The Godfather",
    "",
    "item a",
    "Ὀδύσσεια",
)
items = st.builds(
    lambda name, title, year: Item(name, title, {"year": year}),
    st.sampled_from("abcdef"),
    st.sampled_from(TITLES),
    st.sampled_from([None, 1972, 2009]),
)


def shown(catalog: Catalog) -> dict[str, object]:
    """Return all that a catalog answers about names."""
    asked = (*TITLES, "godfather", "the godfather", "uppp", *(item.title for item in catalog), *"abcdef")
    return {
        "items": list(catalog),
        "given": [catalog.given(row) for row in range(len(catalog))],
        "named": {name: catalog.named(name) for name in asked},
        "meant": {name: catalog.meant(name) for name in asked},
        "close": {name: catalog._titles.close(name) for name in asked},
        "where": catalog.where("year >= 1980 or 'up' in title").tolist(),
        "fingerprint": catalog.fingerprint(),
    }


@settings(max_examples=150, deadline=None)
@given(st.lists(items, min_size=1, max_size=4), st.lists(st.lists(items, max_size=3), max_size=5), st.booleans())
def test_added_and_changed_in_steps_equals_built_at_once(first, steps, indexed):
    unique = list({item.id: item for item in first}.values())
    catalog, newest = Catalog(unique), {item.id: item for item in unique}
    for step in steps:
        if indexed:  # then the indexes are carried on, and otherwise made anew
            shown(catalog)
        before = list(catalog)
        larger = catalog.with_items(step)
        assert list(catalog) == before
        newest.update((item.id, item) for item in step)
        catalog = larger
    assert shown(catalog) == shown(Catalog(newest.values()))


def test_an_item_that_gave_way_gets_its_title_back():
    catalog = Catalog([Item("a", "Up"), Item("b", "Up")])
    assert [item.title for item in catalog] == ["Up", "Up [b]"]
    assert [item.title for item in catalog.with_items([Item("a", "Down")])] == ["Down", "Up"]


def test_items_are_checked_as_the_constructor_checks_them():
    catalog = Catalog([Item("a", "Up", {"year": 2009})])
    for wrong, said in (
        (Item("", "x", {"year": 1}), "empty"),
        (Item("b", "x"), "expected"),
        (Item("b", "x", {"year": b"1"}), "give text"),
        (Item("b\ud800", "x", {"year": 1}), "not valid text"),
        (Item("b", 7, {"year": 1}), "make it text"),
    ):
        with pytest.raises(DataError, match=said):
            catalog.with_items([wrong])
    more = catalog.with_items([Item("b", "a\ud800" + "z" * 10_000, {"year": float("nan")})])
    assert more[1].title.startswith("a�z")
    assert (len(more[1].title), more[1].attributes["year"]) == (500, None)
    with pytest.raises(UnknownItemError):
        catalog.row("b")


def test_an_index_of_titles_follows_changes():
    old = TitleIndex(["Up (2009)", "Heat (1995)"])
    assert (old.named("up"), old.close("Hea")) == ((0,), [1])
    new = old.changed(["Cold (2009)", "Heat (1995)", "Up (1999)"], [0, 2])
    assert (new.named("up"), new.named("cold"), new.close("Hea")) == ((2,), (0,), [1])
    assert (old.named("up"), old.named("cold")) == ((0,), ())
