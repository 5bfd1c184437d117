from types import SimpleNamespace

import pytest

from eval.accuracy import training_curves
from eval.bench.cases import Bench
from eval.bench.results import record
from genre_gen.collaborative import sasrec


def points(*values):
    return [{"seconds": 60.0 * number, "ndcg@10": value} for number, value in enumerate(values, 1)]


@pytest.fixture
def rows():
    log = [{**point, "step": 1, "losses": {}} for point in points(0.1, 0.3)]
    trials = [{"N@10": 0.1, "settings": {"dim": 4}}, {"N@10": 0.2, "settings": {"dim": 8, "max_epochs": 2}}]
    return [
        {"name": "GENRE", "seeds": [0, 1], "notes": [{"log": log}, {"log": log}]},
        {"name": "GENRE, LLM alone", "seeds": [0, 1], "notes": [{"log": log}, {}]},
        {"name": "sasrec", "seeds": [0], "notes": [{"trials": trials}]},
        {"name": "ease", "seeds": [0], "notes": [{"trials": []}]},
    ]


@pytest.fixture
def draw_curves(tmp_path, monkeypatch, tiny_domain, run):
    domain = tiny_domain.changed({"training.validation_users": 4})
    monkeypatch.setattr(Bench, "open", lambda data: Bench(data, domain, "leave-one-out", tmp_path))

    def call(rows):
        if rows is not None:
            record(tmp_path, "leaderboard", "films, leave-one-out", {"rows": rows}, "table")
        return run(training_curves, "--data", "films", "--results", tmp_path, "--out", tmp_path / "out")

    return call


def test_sasrec_is_trained_on_the_users_that_ours_was_validated_on(draw_curves, rows, tmp_path, monkeypatch, entry):
    asked, ranks = [], sasrec.case_ranks

    def spied(score, cases, *more):
        asked.append([case.history.user for case in cases])
        return ranks(score, cases, *more)

    monkeypatch.setattr(sasrec, "case_ranks", spied)
    assert draw_curves(rows) == 0
    content = entry(tmp_path / "out" / "training.json")
    assert content["curves"]["GENRE, LLM alone, seed 0"] == points(0.1, 0.3)
    assert set(content["curves"]) == {"GENRE, LLM alone, seed 0", "sasrec"}
    assert len(content["curves"]["sasrec"]) == 2  # the epochs of the best trial's settings
    assert (content["validation_users"], content["clock"]) == (4, "wall")
    assert len(asked[0]) == 4
    assert all(users == asked[0] for users in asked)
    assert (tmp_path / "out" / "training_films.png").stat().st_size > 1000
    assert "| GENRE, LLM alone, seed 0 | 0.3000 | 2.0 |" in content["table"]


def test_axes_name_the_users_and_the_clock(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(training_curves, "save", lambda figure, _: drawn.extend(figure.axes))
    training_curves.draw({"sasrec": points(0.1)}, 5000, "films", tmp_path / "new.png")
    assert "clock" in drawn[0].get_xlabel()
    assert "5,000 validation users" in drawn[0].get_ylabel()


def no_curve(rows):
    rows[1]["notes"][0].pop("log")
    return rows


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda rows: None, "has no entry 'films, leave-one-out'; run the leaderboard first"),
        (no_curve, "lacks a curve"),
        (lambda rows: rows[:2], "lacks a curve"),
    ],
)
def test_missing_arguments_give_a_short_error(draw_curves, rows, tmp_path, capsys, spoil, named):
    assert draw_curves(spoil(rows)) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert named in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_row_without_trials_has_no_settings():
    assert training_curves.best_settings([vars(SimpleNamespace(name="sasrec", notes=[{"trials": []}]))]) is None
