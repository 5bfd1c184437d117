"""Catalog: what is in it, how items are found, and how it is kept."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre_gen.data.catalog import Catalog, Item
from genre_gen.errors import DataError, UnknownItemError, UsageError


def make(*titles: str) -> Catalog:
    return Catalog([Item(str(number), title) for number, title in enumerate(titles, start=1)], "films")


def test_rows_ids_and_items():
    catalog = make("A", "B")
    assert (len(catalog), catalog[1].title, catalog[-1].title) == (2, "B", "B")
    assert [item.id for item in catalog[0:1]] == ["1"]
    assert "2" in catalog
    assert "3" not in catalog
    assert catalog.row("2") == 1
    with pytest.raises(UnknownItemError, match=r"no item with id '3' in films \(2 items\)"):
        catalog.row("3")


def test_an_item_cannot_be_changed_and_can_be_hashed():
    item = Item("1", "A", {"year": 1990})
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.title = "B"
    assert {item, Item("1", "A", {"year": 1990})} == {item}


def test_describe_leaves_out_unknown_attributes():
    item = Item("1", "A", {"genre": ("X", "Y"), "year": None, "tags": (), "length": 90})
    assert item.describe() == "A | genre: X, Y | length: 90"


def test_find_by_title_or_id():
    catalog = make("Godfather, The (1972)", "Sabrina (1954)", "Sabrina (1995)", "7", "Alien (1979)", "2")
    assert catalog.find("the godfather") == 0
    assert catalog.find(" 1 ") == 0
    assert catalog.find("2") == 5  # a title as it is written comes before an id
    assert catalog.find("sabrina (1995)") == 2
    with pytest.raises(
        UnknownItemError, match=r"ambiguous in films; write one of 'Sabrina \(1954\)', 'Sabrina \(1995\)'"
    ):
        catalog.find("Sabrina")
    with pytest.raises(UnknownItemError, match=r"no item 'Alein \(1979\)' in films; did you mean 'Alien \(1979\)'"):
        catalog.find("Alein (1979)")
    with pytest.raises(UnknownItemError, match="no title is close"):
        catalog.find("xyzzy")
    with pytest.raises(UsageError, match="1 is not a string; name an item by title or id"):
        catalog.find(1)
    assert Catalog([Item("x", "187 (1997)"), Item("187", "Other")]).find("187") == 1  # an id before a shortened title


def test_a_name_that_fits_two_items_is_told_with_their_ids(caplog):
    films = Catalog([Item("5", "Emma (1996)"), Item("9", "Emma (1996)"), Item("187", "Other"), Item("x", "187 (1997)")])
    assert (films.find("emma (1996)"), films.find("187"), films.find("Other")) == (0, 2, 2)
    assert [record.message for record in caplog.records] == [
        "'emma (1996)' is 'Emma (1996)' (id 5); it names 'Emma (1996) [9]' (id 9) too: write the id for that item",
        "'187' is 'Other' (id 187); it names '187 (1997)' (id x) too: write the id for that item",
    ]
    assert films.named("Emma (1996)") == films.meant("Emma (1996)") == (0, 1)
    caplog.clear()
    assert [films.find(name) for name in ("5", "9", "Emma (1996) [9]", "x", "187 (1997)")] == [0, 1, 1, 3, 3]
    assert not caplog.records
    books = Catalog([Item("1", "1984"), Item("1984", "Emma")])
    assert books.find("1984") == 0
    assert "names 'Emma' (id 1984) too" in caplog.text


def test_the_choices_are_written_with_their_own_letters():
    catalog = make("می\u200cخواهم (1995)", "می\u200cخواهم (1996)")
    with pytest.raises(UnknownItemError, match="write one of 'می\u200cخواهم \\(1995\\)'"):
        catalog.find("می\u200cخواهم")


def test_titles_are_made_unique():
    catalog = make("Twice", "twice ", "", "Twice [2]", "item 3")
    assert [item.title for item in catalog] == ["Twice", "twice [2]", "item 3", "Twice [2] [4]", "item 3 [5]"]
    assert [item.title for item in make("X", "X [3]", "X")] == ["X", "X [3]", "X [3] [3]"]


@given(st.lists(st.text("aA [1]", max_size=6), min_size=1, max_size=12))
def test_every_item_can_be_found_by_its_title(titles):
    catalog = make(*titles)
    assert [catalog.find(item.title) for item in catalog] == list(range(len(catalog)))


UNFIT = (float("inf"), {"a": 1}, ["X", 3], object())


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "no items"),
        ([Item("", "A")], "is empty"),
        ([Item("1", "A"), Item("1", "B")], "'1' is repeated"),
        ([Item("1", "A", {"x": 1}), Item("2", "B", {"y": 1})], "item '2' has fields"),
        *(([Item("1", "A", {"year": value})], "item '1' has year = .*; give text, a finite number") for value in UNFIT),
    ],
)
def test_items_that_make_no_catalog(items, message):
    with pytest.raises(DataError, match=message):
        Catalog(items)


def test_attributes_of_tables_become_plain_values(tmp_path):
    catalog = Catalog(
        [
            Item("1", "A", {"genre": ["X", "Y"], "year": np.int64(1990), "score": np.float32(0.5), "place": "P"}),
            Item("2", "B", {"genre": np.array(["X"]), "year": float("nan"), "score": np.float64("nan"), "place": None}),
        ]
    )
    assert [dict(item.attributes) for item in catalog] == [
        {"genre": ("X", "Y"), "year": 1990, "score": 0.5, "place": "P"},
        {"genre": ("X",), "year": None, "score": None, "place": None},
    ]
    assert catalog.where("genre == 'Y' and year > 1980").tolist() == [True, False]
    catalog.save(tmp_path / "items.jsonl")
    assert list(Catalog.from_file(tmp_path / "items.jsonl")) == list(catalog)
    plain = Item("1", "A", {"genre": ("X",), "year": None})
    assert Catalog([plain])[0] is plain


def test_saving_keeps_all_items(tmp_path):
    catalog = Catalog(
        [
            Item("1", "Amélie\n", {"genre": ("A", "B"), "year": 2001, "score": 1.5, "place": "Paris"}, "Text.\u2028x"),
            Item("2", 'Say "hi"', {"genre": (), "year": None, "score": None, "place": None}),
        ],
        "films",
    )
    path = tmp_path / "items.jsonl"
    path.write_text("something older and longer " * 100)
    catalog.save(path)
    again = Catalog.from_file(path, "films")
    assert list(again) == list(catalog)
    assert again.fingerprint() == catalog.fingerprint()
    assert [file.name for file in tmp_path.iterdir()] == ["items.jsonl"]
    assert len(path.read_text(encoding="utf-8").split("\n")) == 3


@pytest.mark.parametrize("line", ["{", "3", '{"id": "2"}', json.dumps({"id": "2", "title": "B", "attributes": 3})])
def test_a_damaged_file_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "items.jsonl"
    make("A").save(path)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match="line 2: not an item"):
        Catalog.from_file(path)


def test_the_fingerprint_notices_changes():
    valued = (Catalog([Item("1", "A", {"x": 1}), Item("2", "B", {"x": x})]) for x in (2, 3))
    prints = {catalog.fingerprint() for catalog in (make("A", "B"), make("B", "A"), *valued)}
    assert len(prints) == 4
    assert make("A", "B").fingerprint() in prints


def test_what_is_too_long_to_show_is_cut_and_said(caplog):
    items = [Item("1", "x" * 900, {"genre": ("y" * 900, "War"), "year": 1}), Item("2", "z", {"genre": (), "year": 2})]
    catalog = Catalog(items, "films")
    assert [len(catalog[0].title), len(catalog[0].attributes["genre"][0])] == [500, 200]
    assert catalog[0].title.endswith("x…")
    assert "films: 1 titles of more than 500 characters are cut, the first is that of item '1'" in caplog.text
    assert catalog.find("x" * 900) == catalog.find(catalog[0].title) == 0


def test_surrogates_without_a_pair_are_replaced(tmp_path):
    catalog = Catalog([Item("1", "a\ud800", {"genre": ("b\udfff",), "by": "c\ud800"}, "d\ud800")])
    (item,) = catalog
    assert (item.title, item.attributes["genre"], item.attributes["by"], item.text) == ("a�", ("b�",), "c�", "d�")
    catalog.save(tmp_path / "c.jsonl")
    assert Catalog.from_file(tmp_path / "c.jsonl")[0] == item


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Item("\ud800", "a"), "not valid text; give another"),
        (Item("x" * 10_000, "a"), "is too long"),
        (Item(3, "a"), "an id, a title or a text that is not text"),
        (Item("1", None), "an id, a title or a text that is not text"),
        (Item("1", "a", {"year": 10**400}), "year = 1000"),
        (Item("1", "a", {"year": 10**5000}), "year = <int>"),
        (Item("1", "a", {"year": float("inf")}), "year = inf"),
    ],
    ids=lambda _: "case",
)
def test_values_that_no_file_can_hold_are_refused(item, message):
    with pytest.raises(DataError, match=message) as refused:
        Catalog([item])
    assert "\n" not in str(refused.value)
