"""Whatever a request holds, it is answered or refused in one line, at once."""

import copy
import pickle
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from effort import bounded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genre_gen import Recommender
from genre_gen.errors import GenreGenError, UsageError

BIG, HUGE = 10**400, 10**5000  # no float has the first; Python refuses to write the second
ALIEN = "Alien (1979)"


def number(value):
    """Return a test's number as its name: pytest would write the values, which Python refuses."""
    return "case"


@pytest.mark.parametrize(
    ("who", "message"),
    [
        ([(ALIEN, BIG)], r"the rating of 'Alien \(1979\)' is too large a number"),
        ([(ALIEN, HUGE)], r"the rating of 'Alien \(1979\)' is too large a number"),
        ([(ALIEN, True)], r"the rating True of 'Alien \(1979\)' is not a number"),
        ([(ALIEN, 4j)], "is not a number"),
        ([(ALIEN, "4 stars")], "is not a number"),
        ([(ALIEN, float("inf"))], "is not finite"),
        ([(ALIEN, 4, BIG)], "is not a moment"),
        ([(ALIEN, 4, HUGE)], "is not a moment"),
        ([(ALIEN, 4, float("nan"))], "nan is not a moment"),
        (HUGE, "who is too large a number; give a user id, or a list"),
        (True, "who is a truth value"),
        (1.5, "the history is 1.5; give a user id"),
        (b"1", "the history contains 49"),
        ({"a": 1}, "the history is {'a': 1}"),
        ({ALIEN}, r"the history is {'Alien \(1979\)'}"),  # a set has no order
        ([[[ALIEN]]], "the history contains"),
        (["\ud800"], r"no item '\\ud800' in movies"),
        (["x" * 10**6], "no item 'xxx"),
        (["(" * 80_000], r"no item '\(\(\("),
    ],
    ids=number,
)
def test_a_malformed_history_is_refused(tiny_recommender, who, message):
    for ask in (tiny_recommender.recommend, lambda who: tiny_recommender.predict(who, ALIEN)):
        with pytest.raises(GenreGenError, match=message) as refused:
            ask(who)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 2500


@pytest.mark.parametrize(
    "who", ["\ud800", "\0", "\x1b[2J", "x" * 10**6, [ALIEN] * 20_000, [(ALIEN, Decimal(4))], [(ALIEN, np.float32(4))]]
)
def test_an_unusual_but_valid_history_is_answered(tiny_recommender, who):
    picks = tiny_recommender.recommend(who, n=3)
    assert len(picks) == 3
    assert all(len(note) < 300 for note in picks.notes)
    assert all(note.isprintable() for note in picks.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": True}, "n = True; give a whole number"),
        ({"n": 3.0}, r"n = 3\.0; give a whole number"),
        ({"n": None}, "n = None"),
        ({"n": HUGE}, "n is beyond"),
        ({"n": -HUGE}, "n is beyond"),
        ({"n": 0}, "ask for at least one item"),
        ({"at": BIG}, "is not a moment"),
        ({"at": HUGE}, "is not a moment"),
        ({"at": True}, "is not a moment"),
        ({"at": "1" * 10**6}, "is not a moment"),
        ({"at": "\ud800"}, "is not a moment"),
        ({"query": 3}, "give it as text"),
        ({"query": "horror " * 10**5}, "at most 500 are read"),
        ({"where": 3}, "give an expression as text"),
        ({"where": "year > 1 and " * 10**5}, "at most 2000 are allowed"),
        ({"where": "year > " + "9" * 500}, "where"),
        ({"where": "(" * 900 + "year > 1" + ")" * 900}, "where"),
        ({"where": "year\0"}, "where"),
        ({"exclude": ALIEN}, "is not a list"),
        ({"exclude": [3]}, "is not a string"),
        ({"include": ["\ud800"]}, "no item"),
    ],
    ids=number,
)
def test_an_option_that_cannot_be_meant_is_refused(tiny_recommender, options, message):
    with bounded(), pytest.raises(GenreGenError, match=message) as refused:
        tiny_recommender.recommend("17", **options)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 2500


@pytest.mark.parametrize(
    "options",
    [
        {"n": np.int64(3)},
        {"n": 10**15},
        {"at": date(2024, 1, 1)},
        {"at": np.datetime64("2024-01-01")},
        {"query": "\ud800 films"},
        {"query": "(" * 500},
        {"query": "after 1" + "0" * 400},
        {"where": "year > " + "9" * 300},
    ],
    ids=number,
)
def test_an_option_that_may_be_meant_is_answered(tiny_recommender, options):
    assert tiny_recommender.recommend("17", **options) is not None


@pytest.mark.parametrize(
    "changes", [{"training.epochs": BIG}, {"training.seed": HUGE}, {"training.seed": 2**32}], ids=number
)
def test_a_setting_that_is_too_large_is_refused(tiny_domain, changes):
    with pytest.raises(GenreGenError, match="should be") as refused:
        Recommender(tiny_domain, settings=changes)
    assert "\n" not in str(refused.value)


def test_a_recommender_is_copied_and_not_pickled(tiny_recommender):
    expected = tiny_recommender.recommend("17", explain=True)
    for copied in (copy.deepcopy(tiny_recommender), copy.copy(tiny_recommender)):
        assert copied.state is tiny_recommender.state
        assert copied.recommend("17", explain=True) == expected
    assert copy.deepcopy(tiny_recommender.state) is copy.copy(tiny_recommender.state) is tiny_recommender.state
    for value in (tiny_recommender, tiny_recommender.state, [tiny_recommender]):
        with pytest.raises(UsageError, match="is not pickled; use save_pretrained and from_pretrained"):
            pickle.dumps(value)


WORD = st.text(max_size=12) | st.sampled_from(
    [ALIEN, "Toy Story (1995)", "17", "(", ")", "\ud800", "not", "after", "1980", "ﷺ"]
)
VALUE = st.none() | st.booleans() | st.integers() | st.floats() | WORD | st.binary(max_size=4) | st.just(HUGE)
EVENT = WORD | st.tuples(WORD, VALUE) | st.tuples(WORD, VALUE, VALUE) | VALUE


def check_random_requests(recommender, examples):
    """Ask for anything: an answer, or one line."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=[*HealthCheck])
    @given(
        st.lists(EVENT, max_size=4) | VALUE,
        st.fixed_dictionaries(
            {},
            optional={
                "n": VALUE | st.integers(1, 9),
                "query": VALUE | st.lists(WORD, max_size=6).map(" ".join),
                "where": VALUE | st.lists(WORD, max_size=6).map(" ".join),
                "exclude": st.lists(WORD, max_size=2) | VALUE,
                "include": st.lists(WORD, max_size=2) | VALUE,
                "at": VALUE,
            },
        ),
    )
    def ask(who, options):
        try:
            picks = recommender.recommend(who, **options)
        except GenreGenError as problem:
            message = str(problem)
            assert message
            assert "\n" not in message.strip()
            return
        assert len({pick.item.id for pick in picks}) == len(picks)
        assert all(np.isfinite(pick.score) for pick in picks)

    ask()


def test_random_requests_are_answered_or_refused(tiny_recommender):
    check_random_requests(tiny_recommender, 300)


@pytest.mark.slow
def test_many_random_requests_are_answered_or_refused(tiny_recommender):
    check_random_requests(tiny_recommender, 10_000)
