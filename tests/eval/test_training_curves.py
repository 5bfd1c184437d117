import json
import shutil
import sys
from pathlib import Path

import pytest

EVAL = Path(__file__).parents[2] / "eval"


@pytest.fixture
def script(monkeypatch):
    import training_curves

    yield training_curves
    sys.modules.pop("training_curves", None)


def points(*values):
    return [{"seconds": 60.0 * place, "ndcg@10": value} for place, value in enumerate(values, 1)]


@pytest.fixture
def content():
    log = [{**point, "step": 1, "losses": {}} for point in points(0.1, 0.3)]
    log[1:] = [{**log[1], "run": 2}, {**log[1], "averaged": 2}]
    trials = [{"N@10": 0.1, "settings": {"dim": 4}}, {"N@10": 0.2, "settings": {"dim": 8, "max_epochs": 2}}]
    rows = [
        {"name": "GENRE", "seeds": [0, 1], "notes": [{"log": log}, {"log": log}]},
        {"name": "GENRE, LLM alone", "seeds": [0, 1], "notes": [{"log": log}, {}]},
        {"name": "sasrec", "seeds": [0], "notes": [{"trials": trials}]},
        {"name": "ease", "seeds": [0], "notes": [{"trials": []}]},
    ]
    return {"data": "films", "split": "leave-one-out, test", "rows": rows}


@pytest.fixture
def run(script, tmp_path, monkeypatch, tiny_domain):
    import leaderboard

    domain = tiny_domain.changed({"training.validation_users": 4})
    monkeypatch.setattr(
        leaderboard.Bench,
        "open",
        lambda data, split, runs: leaderboard.Bench(data, domain, split, runs),
    )

    def run(content):
        (tmp_path / "leaderboard_films.json").write_text(json.dumps(content))
        monkeypatch.setattr(sys, "argv", ["", "--data", "films", "--results", str(tmp_path)])
        script.main()

    return run


def test_sasrec_is_trained_on_the_users_that_ours_was_validated_on(run, content, tmp_path, capsys, monkeypatch):
    from genre_gen.collaborative import sasrec

    asked, ranks = [], sasrec.case_ranks

    def spied(score, cases, *more):
        asked.append([case.history.user for case in cases])
        return ranks(score, cases, *more)

    monkeypatch.setattr(sasrec, "case_ranks", spied)
    run(content)
    found = json.loads((tmp_path / "training_films.json").read_text())
    assert found["curves"]["GENRE, LLM alone, seed 0"] == points(0.1, 0.3)
    assert set(found["curves"]) == {"GENRE, LLM alone, seed 0", "sasrec"}
    assert len(found["curves"]["sasrec"]) == 2  # the epochs of the best trial's settings
    assert (found["validation_users"], found["clock"]) == (4, "wall")
    assert len(asked[0]) == 4
    assert all(users == asked[0] for users in asked)
    assert (tmp_path / "training_films.png").stat().st_size > 1000
    assert "GENRE, LLM alone, seed 0: best NDCG@10 0.3000 after 2.0 minutes" in capsys.readouterr().out


def test_axes_name_the_users_and_the_clock(script, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.extend(figure.axes))
    script.draw({"sasrec": points(0.1)}, 5000, "films", tmp_path / "new.png")
    assert "clock" in drawn[0].get_xlabel()
    assert "5,000 validation users" in drawn[0].get_ylabel()


def nothing(content, folder):
    shutil.rmtree(folder)
    return "run eval/leaderboard.py --data films first"


def no_curve(content, folder):
    content["rows"][1]["notes"][0].pop("log")
    return "lacks a curve"


def no_peer(content, folder):
    content["rows"].pop(2)
    return "lacks a curve"


@pytest.mark.parametrize("spoil", [nothing, no_curve, no_peer])
def test_what_is_missing_is_said_in_one_line(script, content, tmp_path, monkeypatch, capsys, spoil):
    folder = tmp_path / "results"
    folder.mkdir()
    named = spoil(content, folder)
    if folder.is_dir():
        (folder / "leaderboard_films.json").write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["", "--data", "films", "--results", str(folder)])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert named in error
    assert error.count("\n") == 1
    assert not list(folder.glob("training_*"))
