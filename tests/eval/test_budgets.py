"""Trainings under budgets are made once, judged, and compared with the next smaller budget."""

import numpy as np
import pytest

from eval.bench.points import Checkout, Point
from eval.training import budgets

RISING = [{"epoch": 1.0, "ndcg@10": 0.1}, {"epoch": 2.0, "ndcg@10": 0.2}]
LEVEL = [*RISING, {"epoch": 3.0, "ndcg@10": 0.15}]


def trained(minutes, share, log, ndcg):
    values = {"training": 60 * minutes * share, "log": log, "test": float(np.mean(ndcg)), "megabytes": 900.0}
    return {**values, "minutes": minutes, "ended": None, "about": {"commit": "abc"}, "ndcg": np.array(ndcg)}


@pytest.mark.parametrize(
    ("share", "log", "verdict"),
    [
        (1.1, RISING, "kept"),
        (1.2, RISING, "too long"),
        (0.7, RISING, "not used"),
        (0.3, LEVEL, "kept"),
        (0.2, [], "kept"),
    ],
)
def test_a_budget_is_kept_and_used(share, log, verdict):
    (one,) = budgets.compared([trained(2, share, log, [0.0, 1.0])])
    assert one["verdict"] == verdict
    assert one["share"] == pytest.approx(share)


def test_a_larger_budget_is_compared_with_the_smaller_one_that_finished():
    random = np.random.default_rng(0)
    small = random.random(200)
    late = {"minutes": 5, "ended": "not within 30 s", "about": {"commit": "abc"}}
    results = [trained(2, 1, RISING, small), late, trained(20, 1, RISING, small - 0.1 * random.random(200))]
    first, missing, last = budgets.compared(results)
    assert "difference" not in first
    assert (missing["verdict"], missing["share"]) == ("not within 30 s", None)
    assert (last["verdict"], last["difference"]) == ("worse", pytest.approx(-0.05, abs=0.01))
    assert budgets.compared([*results[:2], trained(20, 1, RISING, small)])[2]["verdict"] == "kept"
    rows = budgets.markdown("csv", [first, missing, last]).splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == ["2", "5", "20"]
    assert rows[2].rstrip(" |").endswith("worse")


def test_trainings_are_made_once(tmp_path, monkeypatch, tiny_settings, in_this_process, run, entry, capsys):
    monkeypatch.setitem(budgets.DATA, "csv", Point(60, 300, 10))
    changes = [f"--set={key}={tiny_settings[key]}" for key in ("model.llm", "model.exit_layer")]
    arguments = ("--data", "csv", "--budgets", 3, "--quick", "--out", tmp_path, *changes, "--set=training.epochs=1")
    assert run(budgets, *arguments) == 0
    (one,) = entry(tmp_path / "budgets.json")["budgets"]
    assert (one["minutes"], one["ended"]) == (0.05, None)
    assert one["share"] == pytest.approx(one["seconds"] / 3)
    assert one["seconds"] > 0
    assert 0 <= one["test"] <= 1
    assert len(np.load(tmp_path / "budgets" / "csv-0.05.npy")) == 30
    printed = capsys.readouterr().out
    assert run(budgets, *arguments) == 0
    assert in_this_process == [("new", "budget")]
    assert capsys.readouterr().out == printed

    monkeypatch.setattr(Checkout, "run", lambda *_: {"seconds": {}, "ended": "no memory", "stage": None, "total": 1.0})
    assert run(budgets, *arguments, "--set=training.seed=1") == 1
    assert "no memory" in capsys.readouterr().out
    assert run(budgets, *arguments[:2], "--budgets", -1, "--out", tmp_path) == 2
