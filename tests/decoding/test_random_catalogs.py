"""A hundred thousand places in lists from catalogs and requests at random; eval/random_catalogs.py checks a million."""

import json
import sys

import numpy as np
import pytest

from genre_gen.decoding.base import Subset
from genre_gen.ranking import Ranking


@pytest.fixture
def script(monkeypatch):
    import random_catalogs

    return random_catalogs


def test_a_hundred_thousand_places_without_one_that_is_wrong(script):
    found = script.run(100_000)
    assert found["places"] >= 100_000
    assert {name: found[name] for name in script.WRONG} == dict.fromkeys(script.WRONG, 0)
    assert 0 < found["refused"] < found["rounds"] / 2


def test_every_kind_of_wrong_list_is_counted(script):
    there, allowed = np.array([True, True, True, False]), np.array([True, True, False, True])
    bad = Ranking(np.array([0, 0, 2, 3, 9]), np.array([1, 2, np.nan, 0, 0], np.float32))
    assert script.checked(bad, 2, there & allowed, allowed, there) == {
        "lists": 1, "places": 5, "invalid": 2, "duplicate": 1, "filtered": 1, "wrong_length": 1, "not_finite": 1,
        "disordered": 1,
    }  # fmt: skip


def test_a_search_that_lets_a_filtered_item_through_is_found(script, monkeypatch, tmp_path):
    count = Subset.count
    monkeypatch.setattr(Subset, "count", lambda self, *given: count(self, *given) + 1)
    file = tmp_path / "x" / "random.json"
    monkeypatch.setattr(sys, "argv", ["random_catalogs.py", "--places", "2000", "--json", str(file)])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 1
    content = json.loads(file.read_text())
    assert content["filtered"] > 0
    assert content["broken"] >= content["filtered"]
