"""Filters: their grammar, what they mean, and what they refuse."""

import logging
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.filter_expression import MAX_LENGTH, evaluate
from genre_gen.errors import FilterError


def film(item_id: str, title: str, genre: tuple[str, ...] | None, year: float | None, place: str | None = None) -> Item:
    return Item(item_id, title, {"genre": genre, "year": year, "place": place})


CATALOG = Catalog(
    [
        film("a", "Alien (1979)", ("Horror", "Sci-Fi"), 1979, "Space"),
        film("b", "Big (1988)", ("Comedy",), 1988, "New York"),
        film("c", "Coco = 2017", ("Comedy", "Animation"), 2017),
        film("d", "Unlabelled", (), None),
        film("e", "Unknown", None, 1990.5, "space"),
    ]
)


def ids(expression: str) -> str:
    mask = evaluate(expression, CATALOG)
    assert mask.dtype == np.bool_
    assert mask.shape == (len(CATALOG),)
    return "".join(CATALOG[int(row)].id for row in np.flatnonzero(mask))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("year == 1988", "b"),
        ("year = 1988", "b"),
        ("year != 1988", "ace"),
        ("year < 1988", "a"),
        ("year <= 1988", "ab"),
        ("year > 1988", "ce"),
        ("year >= 1988", "bce"),
        ("1988 < year", "ce"),
        ("1988 = year", "b"),
        ("1979 <= year < 1990.5", "ab"),
        ("2020 > year > 1979 != year", "bce"),
        ("year in [1979, 2017, 3000]", "ac"),
        ("year in (1979,)", "a"),
        ("year not in [1979]", "bce"),
        ("year in []", ""),
        ("year > -1", "abce"),
        ("year > +1", "abce"),
        ("not year > 1988", "ab"),  # d has no year: neither it nor its opposite
        ("not (1979 < year < 2000)", "ac"),
        ("not (year > 1988 and genre == 'Comedy')", "abd"),  # d: unknown and false is false; e: true and unknown
        ("year > 1988 or genre == 'Horror'", "ace"),
        ("genre == 'Comedy'", "bc"),
        ("genre = 'comedy'", "bc"),
        ("'COMEDY' in genre", "bc"),
        ("'Comedy' not in genre", "ad"),
        ("genre != 'Comedy'", "ad"),  # an empty list does not hold it; an unknown one might
        ("genre in ['Horror', 'Animation']", "ac"),
        ("genre not in ['Horror', 'Animation']", "bd"),
        ("genre == 'Comedy' and not genre == 'Animation'", "b"),
        ("place == 'SPACE'", "ae"),
        ("place != 'space'", "b"),
        ("place < 'P'", "b"),
        ("'york' in place", "b"),
        ("'york' not in place", "ae"),
        ("place in {'space', 'New York'}", "abe"),
        ("title == 'alien (1979)'", "a"),
        ("title = 'Coco = 2017'", "c"),
        ("'big' in title or 'un' in title", "bde"),
        ("id == 'a' or id in ['b', 'E']", "ab"),  # ids are exact
        ("((year) == (1988))", "b"),
        (" year == 1988 ", "b"),
        ("(year == 1988\n or year == 1979)", "ab"),
    ],
)
def test_meaning(expression, expected):
    assert ids(expression) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("year >", "cannot be read"),
        ("year == 1988 AND year > 3", "cannot be read"),
        ("genre == 'Comedy", "cannot be read"),
        ("year == 19\x0088", "cannot be read"),
        ("(" * 500 + "year == 1" + ")" * 500, "cannot be read"),
        ("not " * 400 + "year == 1", "deeper"),
        ("year == " + "-" * 1000 + "1", "deeper"),
        ("year == 1" + " or year == 1" * MAX_LENGTH, "shorten"),
        ("yaer > 3", "no field yaer; there are genre, year, place, id, title; did you mean year"),
        ("genre == Comedy", "no field Comedy"),
        ("Comedy in genre", "Comedy is not a value; text needs quotes"),
        ("year == place", "is not a value"),
        ("year == '1988'", "year is a number"),
        ("year in [1988, '1989']", "year is a number"),
        ("'1988' in year", "year is a number; 'in' needs text or a list"),
        ("genre == 3", "genre holds text; write it in quotes: '3'"),
        ("id == 3", "id holds text"),
        ("genre < 'Drama'", "genre is a list"),
        ("genre == ['Comedy']", "neither text in quotes nor a number"),
        ("year == True", "neither"),
        ("year == None", "neither"),
        ("year == 1j", "neither"),
        ("title == b'x'", "neither"),
        ("title == f'{year}'", "neither"),
        ("year == 10 ** 10", "neither"),
        ("year == 1e999", "neither"),
        ("year == 1" + "0" * 400, "neither"),
        ("year == -'a'", "neither"),
        ("year in 1988", "in needs a list"),
        ("year in range(3)", "in needs a list"),
        ("1 == 1", "one side must be a field"),
        ("year is 3", "use == and !="),
        ("year", "not a comparison"),
        ("year + 1 == 3", "one side must be a field"),
        ("__import__('os').system('true')", "not a comparison"),
        ("year.real == 3", "one side must be a field"),
        ("(lambda: year)() == 3", "one side must be a field"),
        ("[x for x in year]", "not a comparison"),
        ("(y := 3) == year", "neither"),
        ("year == 3 if year else year", "not a comparison"),
    ],
)
def test_refused(expression, message):
    with pytest.raises(FilterError) as caught:
        evaluate(expression, CATALOG)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_word_that_no_item_has_is_pointed_out(caplog):
    with caplog.at_level(logging.WARNING):
        assert ids("genre == 'Comdy'") == ""
        assert ids("genre == 'comedy'") == "bc"
    assert [record.getMessage() for record in caplog.records] == ["no item has genre 'Comdy'; the closest is 'Comedy'"]


def test_a_field_of_mixed_types_or_without_any_value():
    mixed = Catalog([Item("1", "A", {"x": 1, "y": None}), Item("2", "B", {"x": "one", "y": None})])
    with pytest.raises(FilterError, match="mixes int, str"):
        evaluate("x == 1", mixed)
    assert not evaluate("y == 1 or not y == 1", mixed).any()


def test_the_mask_belongs_to_the_caller():
    evaluate("year == 1988", CATALOG)[:] = True
    assert ids("year == 1988") == "b"


# Expressions, each with what it says of a genre list and a year: 1 for true, -1 for false, 0 where it is not known.

YEARS = st.one_of(st.none(), st.integers(1900, 1905))
GENRES = st.lists(st.sampled_from(["A", "B", "C"]), unique=True).map(tuple)
HOW = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def of_year(how: str, than: int):
    return f"year {how} {than}", lambda genres, year: 0 if year is None else 2 * HOW[how](year, than) - 1


def of_genre(how: str, label: str):
    return f"genre {how} '{label}'", lambda genres, year: 2 * ((label in genres) == (how == "==")) - 1


def joined(word: str, choose, left, right):
    return f"({left[0]} {word} {right[0]})", lambda *item: choose(left[1](*item), right[1](*item))


EXPRESSIONS = st.recursive(
    st.one_of(
        st.builds(of_year, st.sampled_from([*HOW]), st.integers(1899, 1906)),
        st.builds(of_genre, st.sampled_from(["==", "!="]), st.sampled_from("ABC")),
    ),
    lambda inner: st.one_of(
        st.builds(joined, st.just("and"), st.just(min), inner, inner),
        st.builds(joined, st.just("or"), st.just(max), inner, inner),
        inner.map(lambda part: (f"(not {part[0]})", lambda *item: -part[1](*item))),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS, st.lists(st.tuples(GENRES, YEARS), min_size=1, max_size=6))
def test_agrees_with_evaluating_item_by_item(expression, values):
    catalog = Catalog(
        Item(str(row), f"T{row}", {"genre": genre, "year": year}) for row, (genre, year) in enumerate(values)
    )
    text, truth = expression
    assert evaluate(text, catalog).tolist() == [truth(*value) == 1 for value in values]
