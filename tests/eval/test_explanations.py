"""The evaluation of explanations: its measures on lists in which the answer is known, and a run from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch):
    import explanations

    return explanations


def test_features_shared_by_pairs_are_counted(script):
    a, b = ("genre", "Action"), ("genre", "Drama")
    assert script.shared([frozenset([a]), frozenset([a]), frozenset([a])]) == 1
    assert script.shared([frozenset([a]), frozenset([b])]) == 0
    assert script.shared([frozenset([a, b]), frozenset([a, b]), frozenset()]) == pytest.approx(2 / 3)
    assert script.shared([frozenset([a])]) == 0


def test_distinct_ngrams_are_a_share_of_all(script):
    assert script.distinct([["a", "b"], ["a", "c"]]) == 0.75
    assert script.distinct([]) == 0


def test_the_ratio_has_an_interval_over_users_and_knows_infinity(script):
    found = script.ratio(np.full(20, 3.0), np.full(20, 1.5))
    assert found == {"mean": 2, "low": 2, "high": 2}
    assert script.ratio(np.ones(5), -np.ones(5)) == {"mean": None, "low": None, "high": None}
    wide = script.ratio(np.ones(40), np.tile([0.1, 1.9], 20))
    assert wide["low"] < 1 < wide["high"]


def test_a_measure_that_a_control_reaches_is_not_reported(script):
    held = script.judged("m", {"own": np.array([1.0, 0.8]), "shuffled": 0.1}, ("shuffled",))
    assert held["value"] == pytest.approx(0.9)
    assert held["interval"][0] <= 0.9 <= held["interval"][1]
    lost = script.judged("m", {"own": 0.5, "shuffled": 0.5}, ("shuffled",))
    assert (lost["value"], lost["reported"]) == (None, False)
    assert script.judged("m", {"own": 0.1, "generic": 0.5}, ("generic",), less=True)["value"] == 0.1


def test_it_runs_from_end_to_end(script, saved, tmp_path, monkeypatch, capsys):
    out = tmp_path / "explanations.json"
    monkeypatch.setattr("sys.argv", ["explanations.py", str(saved), "--users", "6", "-n", "2", "--json", str(out)])
    script.main()
    found = json.loads(out.read_text())
    assert found["picks"] == 12
    assert found["grounding"]["true"] == 12
    assert all(len(shown) == 2 for way, shown in found["grounding"]["noticed"].items())
    named = {one["measure"]: one for one in found["measures"]}
    assert named["grounding precision"]["value"] == 1
    assert named["stability, same request"]["controls"].keys() == {"swapped"}
    lost = found["dependence"]["blend_score"]
    assert lost["removed_cited"]["mean"] > 0
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert "explanations a second" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [([], 1, "no such folder"), (["--users", "0"], 2, "--users 0"), (["-n", "-1"], 2, "-n -1")],
)
def test_wrong_use_is_told_in_one_line(script, tmp_path, monkeypatch, capsys, more, code, named):
    monkeypatch.setattr("sys.argv", ["explanations.py", str(tmp_path / "none"), *more])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert named in error
    assert error.count("\n") == 1
