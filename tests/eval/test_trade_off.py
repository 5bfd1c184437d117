import json
import sys
from pathlib import Path

import pytest

from genre_gen.blending.rerank import METHODS
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE, evaluate_recommender

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trade_off(monkeypatch):
    import trade_off

    return trade_off


def test_figures_table_and_picture(trade_off, saved, tmp_path, monkeypatch, capsys):
    file = tmp_path / "new" / "trade_off.json"
    monkeypatch.setattr(sys, "argv", ["trade_off.py", str(saved), "--part", "test", "--json", str(file)])
    trade_off.main()
    content = json.loads(file.read_text())
    assert (content["users"], content["items"], content["labels"], content["part"]) == (30, 40, "genre", "test")
    assert 0 < content["history_diversity"] < 1
    rows = content["rows"]
    assert [(row["method"], row["weight"]) for row in rows] == [(m, w / 10) for m in METHODS for w in range(10)]
    for row in rows:
        assert {"R@10", "N@10", "diversity", "calibration", "coverage", "gini", "popularity_lift"} < set(row)
    first = {method: next(row for row in rows if row["method"] == method) for method in METHODS}
    last = {row["method"]: row for row in rows}
    assert first["mmr"]["N@10"] == first["calibration"]["N@10"]
    assert last["mmr"]["diversity"] > first["mmr"]["diversity"]
    assert last["calibration"]["calibration"] < first["calibration"]["calibration"]
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert len(capsys.readouterr().out.splitlines()) == 4 + len(rows)


def test_weight_0_is_what_is_evaluated_elsewhere(trade_off, mixed):
    split = mixed.histories.leave_one_out()
    lists = trade_off.measured(mixed, split, "validation")["rows"][0]
    report = evaluate_recommender(mixed, split, "validation", peers=False)
    assert lists["N@10"] == pytest.approx(report[GENRE].figure("N@10"))  # no ties, which lists cannot count half


def test_a_recommender_that_has_seen_the_answers_is_refused(trade_off, mixed):
    mixed.trained_on = mixed.histories
    with pytest.raises(UsageError, match="evaluate with the split that it was trained for"):
        trade_off.measured(mixed, mixed.histories.leave_one_out(), "test")


def test_the_part_that_was_not_learned_from_is_asked(trade_off, mixed, capsys):
    split = mixed.histories.leave_one_out()
    assert trade_off.fair_part(mixed, split) == "validation"
    mixed.trained_on = split.train_and_validation
    assert not capsys.readouterr().err
    assert trade_off.fair_part(mixed, split) == "test"
    assert capsys.readouterr().err.count("\n") == 1


def test_by_default_a_recommender_as_the_command_line_trains_it_is_measured(
    trade_off, mixed, tmp_path, monkeypatch, capsys
):
    mixed.trained_on = mixed.histories.leave_one_out().train_and_validation
    mixed.save_pretrained(tmp_path / "run")
    file = tmp_path / "trade_off.json"
    monkeypatch.setattr(trade_off, "METHODS", ("mmr",))
    monkeypatch.setattr(trade_off, "WEIGHTS", (0.0, 0.5))
    monkeypatch.setattr(sys, "argv", ["trade_off.py", str(tmp_path / "run"), "--json", str(file)])
    trade_off.main()
    assert json.loads(file.read_text())["part"] == "test"
    assert "validation items" in capsys.readouterr().err


def test_no_recommender_there_is_told_in_one_line(trade_off, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["trade_off.py", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as end:
        trade_off.main()
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_wrong_use_is_told_in_one_line(trade_off, saved, mixed, tmp_path, monkeypatch, capsys):
    mixed.trained_on = mixed.histories
    mixed.save_pretrained(tmp_path / "run")
    for arguments in ([str(saved), "--split", "by-colour"], [str(tmp_path / "run")]):
        monkeypatch.setattr(sys, "argv", ["trade_off.py", *arguments, "--json", str(tmp_path / "t.json")])
        with pytest.raises(SystemExit) as end:
            trade_off.main()
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
