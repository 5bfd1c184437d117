"""The attacks of eval/robustness, small: answers and one-line errors only. ``-m slow`` tries ten times as many."""

import logging
import warnings
from collections import Counter

import pytest
from effort import SECONDS

from eval.robustness import folders, hostile_values

KINDS = sorted([*hostile_values.SEEDS, *hostile_values.MADE])


@pytest.fixture(autouse=True)
def quiet(caplog, monkeypatch):
    caplog.set_level(logging.ERROR, "genre_gen")
    monkeypatch.setattr(hostile_values, "SECONDS", SECONDS)  # the scripts' own limits are claims on speed
    monkeypatch.setattr(folders, "SLOW", SECONDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_values(tiny_recommender, kind, capsys):
    cases = 1000
    counts = hostile_values.attack(tiny_recommender, kind, cases, 0, {})
    assert not counts.get("broken"), capsys.readouterr()
    assert sum(counts.values()) == cases
    assert counts["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_hostile_values(tiny_recommender, kind, capsys):
    assert not hostile_values.attack(tiny_recommender, kind, 10_000, 1, {}).get("broken"), capsys.readouterr()


def test_a_stopped_attack_continues(tiny_recommender):
    whole = hostile_values.attack(tiny_recommender, "filters", 60, 0, {})
    part = hostile_values.attack(tiny_recommender, "filters", 20, 0, {})
    assert hostile_values.attack(tiny_recommender, "filters", 60, 0, part) == whole


def test_what_is_broken_is_counted(tiny_recommender, monkeypatch, capsys):
    users = hostile_values._users

    def broken(recommender, folder):
        return users(recommender, folder) | {"filters": lambda text: 1 / 0}

    monkeypatch.setattr(hostile_values, "_users", broken)
    assert hostile_values.attack(tiny_recommender, "filters", 3, 0, {}) == Counter(broken=3)


def test_damages(saved, capsys):
    counts = folders.damages(saved, 60)
    assert not counts.get("broken"), capsys.readouterr()
    assert counts["refused"] > 30
