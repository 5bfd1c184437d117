import json
import sys
from pathlib import Path

import pytest

EVAL = Path(__file__).parent.parent / "eval"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(EVAL))
    import training_curves

    yield training_curves
    sys.modules.pop("training_curves", None)


def points(*values):
    return [{"seconds": 60.0 * place, "ndcg@10": value} for place, value in enumerate(values, 1)]


@pytest.fixture
def results(tmp_path):
    log = [{**point, "step": 1, "losses": {}} for point in points(0.1, 0.3)]
    rows = [
        {"name": "GENRE", "seeds": [0, 1], "notes": [{"log": log}, {"log": log}]},
        {"name": "GENRE, LLM alone", "seeds": [0, 1], "notes": [{"log": log}, {}]},
        {
            "name": "sasrec",
            "seeds": [0],
            "notes": [{"trials": [{"N@10": 0.1, "log": points(0.1)}, {"N@10": 0.2, "log": points(0.1, 0.2)}]}],
        },
        {"name": "ease", "seeds": [0], "notes": [{"trials": []}]},
    ]
    content = {"data": "films", "split": "leave-one-out, test", "rows": rows}
    (tmp_path / "leaderboard_films.json").write_text(json.dumps(content))
    return tmp_path


def test_curves_are_of_each_seed_of_ours_and_of_sasrecs_best_trial(script, results, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", "--data", "films", "--results", str(results)])
    script.main()
    found = json.loads((results / "training_films.json").read_text())
    assert found == {"GENRE, LLM alone, seed 0": points(0.1, 0.3), "sasrec": points(0.1, 0.2)}
    assert (results / "training_films.png").stat().st_size > 1000
    assert "sasrec: best NDCG@10 0.2000 after 2.0 minutes" in capsys.readouterr().out


def test_what_is_missing_is_said_in_one_line(script, results, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["", "--data", "books", "--results", str(results)])
    with pytest.raises(SystemExit, match=r"run eval/leaderboard.py --data books first"):
        script.main()
