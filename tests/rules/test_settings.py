"""Rules: what may be asked for, and what is refused in one line that says how to write it."""

import re

import pytest

from genre_gen import Domain, Rules
from genre_gen.errors import ConfigError, UsageError

SMALL = {
    "name": "books",
    "data": {"path": "."},
    "fields": {"genre": {"type": "list"}, "price": {"type": "number"}},
}


def test_rules_are_few_words():
    rules = Rules(
        boosts={"genre == 'Drama'": 0.5, "price > 20": -1},
        pins={"Emma": 2},
        at_most={"genre": 2, "price > 20": 1},
        at_least={"price < 5": 1},
    )
    assert rules
    assert rules.boosts["price > 20"] == -1
    assert not Rules()
    assert not any(Rules().model_dump().values())


def test_first_is_the_best_rank_that_no_other_pin_has():
    assert Rules(pins=["a", "b"]).pins == {"a": 1, "b": 2}
    assert Rules(pins="Emma").pins == {"Emma": 1}
    assert Rules(pins={"a": "first", "b": 1, "c": "first", "d": 3}).pins == {"a": 2, "b": 1, "c": 4, "d": 3}


def test_rules_join_and_the_later_ones_win():
    first = Rules(boosts={"a > 1": 1, "b > 1": 1}, pins={"x": 1, "y": 2, "z": 3}, at_most={"genre": 2})
    second = Rules(boosts={"a > 1": 2}, pins={"w": 1, "y": 5}, at_most={"genre": 1}, at_least={"c > 1": 1})
    assert first | second == Rules(
        boosts={"a > 1": 2, "b > 1": 1}, pins={"z": 3, "w": 1, "y": 5}, at_most={"genre": 1}, at_least={"c > 1": 1}
    )
    assert first | Rules() == Rules() | first == first


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"boosts": {"a > 1": float("nan")}}, "rules.boosts.a > 1: should be a finite number"),
        ({"boosts": {"a > 1": float("-inf")}}, "rules.boosts.a > 1: should be "),
        ({"boosts": {"a > 1": 101}}, "rules.boosts.a > 1: should be less than or equal to 100"),
        ({"boosts": {"a > 1": "much"}}, "rules.boosts.a > 1: should be a valid number (it is 'much')"),
        ({"boosts": {"a > 1": True}}, "rules.boosts.a > 1: should be a valid number"),
        ({"boosts": [1]}, "rules.boosts: should be a valid dictionary"),
        ({"pins": {"x": 0}}, "rules.pins.x: should be greater than or equal to 1 (it is 0)"),
        ({"pins": {"x": 1.5}}, "rules.pins.x: should be a valid integer"),
        ({"pins": {"x": "last"}}, "rules.pins.x: should be a valid integer (it is 'last')"),
        ({"pins": {"x": 2, "y": 2}}, "rules.pins.y: rank 2 is taken by 'x'; give each pin another rank"),
        ({"pins": ["x", "x"]}, "rules.pins: the same item twice in ['x', 'x']; name each once"),
        ({"pins": 3}, "rules.pins: should be a valid dictionary"),
        ({"pins": [["x"]]}, "rules.pins: should be a valid dictionary"),
        ({"at_most": {"genre": 0}}, "rules.at_most.genre: should be greater than or equal to 1 (it is 0)"),
        ({"at_most": {"genre": 2.0}}, "rules.at_most.genre: should be a valid integer"),
        ({"at_most": {"genre": True}}, "rules.at_most.genre: should be a valid integer"),
        (
            {"at_least": {"genre": 1}},
            "rules.at_least.genre: a field alone; give an expression such as \"genre == '...'\"",
        ),
        ({"at_least": {"a > 1": 3}, "at_most": {"a > 1": 2}}, "rules.at_least.a > 1: 3 is more than at_most, 2"),
        ({"boost": {}}, "rules.boost: unknown key, did you mean 'boosts'?"),
        ({"at_most": {f"f{number}": 1 for number in range(101)}}, "rules.at_most: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(given, problem):
    with pytest.raises(UsageError, match=re.escape(problem)) as caught:
        Rules(**given)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=re.escape(f"books.toml: {problem}")):  # the key stands there once
        Domain.from_settings({**SMALL, "rules": given}, "books.toml")


def test_all_problems_at_once():
    given = {"pins": {"x": 0}, "at_most": {"genre": 0}, "boosts": {"a > 1": "b"}}
    with pytest.raises(UsageError) as caught:
        Rules(**given)
    assert str(caught.value).count("rules.") == 3
    with pytest.raises(ConfigError) as caught:
        Domain.from_settings({**SMALL, "training": {"epochs": 0}, "rules": given})
    assert all(key in str(caught.value) for key in ("training.epochs", "rules.pins.x", "rules.at_most.genre"))


def test_a_domain_has_rules_and_says_which_fields_it_lacks():
    domain = Domain.from_settings({**SMALL, "rules": {"at_most": {"genre": 2}, "pins": ["Emma"]}})
    assert domain.rules == Rules(at_most={"genre": 2}, pins=["Emma"])
    assert Domain.from_settings(domain.settings()) == domain
    assert domain.changed({"rules.at_most": {"price": 1}}).rules.at_most == {"price": 1}
    assert not domain.changed({"rules": None}).rules
    with pytest.raises(
        ConfigError, match=r"rules.at_most.gerne: no such field, did you mean 'genre'\?; there are genre, price"
    ):
        domain.changed({"rules.at_most": {"gerne": 2}})
