"""From item tables to catalogs: ids, titles, amounts and column types."""

import re

import polars as pl
import pytest

from genre_gen.data.readers import load_data
from genre_gen.errors import DataError
from tests.data.readers.reader_files import HEADER, ITEMS, MOVIES, load, typed


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("item_id,title,genre,year\n", "no items"),
        ("item_id,name,genre,year\n1,A,X,1\n", "no column 'title' or 'movie_title' for the title"),
        ("item_id,title,year\n1,A,1\n", "for the field genre; it has item_id, title, year"),
        (ITEMS + "1,C,X,2000\n", "line 4: item id repeated with another title: '1: C'"),
        (ITEMS + ",C,X,2000\n", "line 4: no item id"),
    ],
)
def test_items_refused(tmp_path, items, message):
    with pytest.raises(DataError, match=re.escape(message)):
        load(tmp_path, HEADER + "1,1,5,10\n", items)


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        (["$1,705.85", "$3.10", "V"], [1705.85, 3.1, None]),
        (["1.234,50 €", "-384,84 €", "1.705 €", "7 €"], [1234.5, -384.84, 1705, 7]),
        (["$1,705", "$20"], [1705, 20]),
        (["1'234.50 CHF", "CHF 3"], [1234.5, 3]),
        (["1.705", "20", "0.5"], [1.705, 20, 0.5]),  # plain numbers stay what they are
        (["1.705 €", "384 €", "7"], [None, None, 7]),  # of what decides nothing, plain numbers alone
        (["1,5", "2.5", "3"], [None, 2.5, 3]),
        (["$5", "€5", "5"], [None, None, 5]),
    ],
)
def test_amounts_are_numbers_if_the_separators_are_unambiguous(tmp_path, prices, expected):
    items = "item_id,title,genre,year\n" + "".join(f'{row},T{row},,"{price}"\n' for row, price in enumerate(prices))
    catalog = load(tmp_path, HEADER + "1,1,5,10\n", items).catalog
    assert [item.attributes["year"] for item in catalog] == expected


def test_invalid_numbers_are_unknown_and_reported(tmp_path):
    items = "item_id,title,genre,year\n1,A,X,199x\n2,B,Y,inf\n3,C,Y,\n4,D,Y,unkonwn\n5,E,Y,1990.5\n"
    data = load(tmp_path, HEADER + "1,1,5,10\n", items)
    assert [item.attributes["year"] for item in data.catalog] == [None, None, None, None, 1990.5]
    (problem,) = data.report
    assert str(problem).endswith("year is not a number: 2 taken as unknown, the first in line 2 ('199x')")
    with pytest.raises(DataError, match="line 2: year is not a number: '199x'"):
        load(tmp_path, HEADER + "1,1,5,10\n", items, data__policies__attributes="error")


def test_repeated_items_may_be_dropped(tmp_path):
    items = ITEMS + "1,C,X,2002\n3,D,X,x\n"
    data = load(tmp_path, HEADER + "1,1,5,10\n", items, data__policies__repeated_items="keep_first")
    assert [item.title for item in data.catalog] == ["A (2000)", "B (2001)", "D"]
    assert [(problem.count, problem.location) for problem in data.report] == [(1, "line 4"), (1, "line 5")]


@pytest.mark.parametrize(
    ("title", "year", "shown", "known"),
    [
        ("Alien", "1979", "Alien (1979)", 1979),
        ("Alien (1979)", "1979", "Alien (1979)", 1979),
        ("Alien (1979)", "", "Alien (1979)", 1979),
        ("Alien (1979) (V)", "", "Alien (1979) (V)", 1979),
        ("Seven (Se7en)", "1995", "Seven (Se7en) (1995)", 1995),
        ("Room (237)", "2012", "Room (237) (2012)", 2012),
        ("2001", "", "2001", None),
    ],
)
def test_titles_and_years_agree(tmp_path, title, year, shown, known):
    data = load(tmp_path, HEADER + "1,1,5,10\n", f"item_id,title,genre,year\n1,{title},X,{year}\n")
    assert (data.catalog[0].title, data.catalog[0].attributes["year"]) == (shown, known)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("text", [["a"], ["b"]], "has type List(String), but fields.genre has type 'text'; set fields.genre.type"),
        ("number", [[1], [2]], "fields.genre has type 'number'; set fields.genre.type = \"list\", or name another"),
        ("list", [[["a"]], [["b"]]], "'list'; name another column as fields.genre.columns in domain.toml"),
        ("list", [[b"\xff"], [b"\xfe"]], "'genre' has type List(Binary)"),
        ("text", [b"\xff", b"\xfe"], "'genre' has type Binary, but fields.genre has type 'text'; name another"),
        ("text", [{"a": 1}, {"a": 2}], "'genre' has type Struct({'a': Int64})"),
    ],
)  # fmt: skip
def test_columns_of_other_types_than_their_fields_are_named(tmp_path, kind, values, message):
    domain = MOVIES.changed({"fields.genre": {"type": kind}})
    with pytest.raises(DataError, match=re.escape(message)):
        load_data(domain, typed(tmp_path, {"genre": values}))


def test_bytes_that_are_text_and_categories_are_read(tmp_path):
    names = pl.Series(["One", "Two"], dtype=pl.Categorical)
    data = load_data(MOVIES, typed(tmp_path, {"title": names, "year": [b"1999", b"2001"]}))
    assert [item.title for item in data.catalog] == ["One (1999)", "Two (2001)"]
