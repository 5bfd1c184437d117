import pytest

from eval.accuracy import trade_off
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE, evaluate_recommender


def test_figures_table_and_picture(saved, tmp_path, run, entry, monkeypatch):
    weights = (0.0, 0.4, 0.9)
    monkeypatch.setattr(trade_off, "WEIGHTS", weights)
    assert run(trade_off, saved, "--part", "test", "--out", tmp_path) == 0
    content = entry(tmp_path / "trade_off.json")
    assert (content["users"], content["items"], content["labels"], content["part"]) == (30, 40, "genre", "test")
    assert 0 < content["history_diversity"] < 1
    rows = {(row["method"], row["weight"]): row for row in content["rows"]}
    assert list(rows) == [(method, weight) for method in trade_off.METHODS for weight in weights]
    for row in rows.values():
        assert {"R@10", "N@10", "diversity", "calibration", "coverage", "gini", "popularity_lift"} < set(row)
    assert rows["mmr", 0]["N@10"] == rows["calibration", 0]["N@10"]
    assert rows["mmr", 0.9]["diversity"] > rows["mmr", 0]["diversity"]
    assert rows["calibration", 0.9]["calibration"] < rows["calibration", 0]["calibration"]
    assert (tmp_path / f"trade_off_{saved.name}.png").read_bytes().startswith(b"\x89PNG")
    assert len(content["table"].splitlines()) == 4 + len(rows)


def test_weight_0_is_what_is_evaluated_elsewhere(mixed, monkeypatch):
    monkeypatch.setattr(trade_off, "METHODS", ("mmr",))
    monkeypatch.setattr(trade_off, "WEIGHTS", (0.0,))
    split = mixed.histories.leave_one_out()
    lists = trade_off.measured(mixed, split, "validation")["rows"][0]
    report = evaluate_recommender(mixed, split, "validation", peers=False)
    assert lists["N@10"] == pytest.approx(report[GENRE].figure("N@10"))  # no ties, which lists cannot count half


def test_the_part_that_was_not_learned_from_is_asked(mixed, capsys):
    split = mixed.histories.leave_one_out()
    assert trade_off.fair_part(mixed, split) == "validation"
    mixed.trained_on = split.train_and_validation
    assert not capsys.readouterr().err
    assert trade_off.fair_part(mixed, split) == "test"
    assert capsys.readouterr().err.count("\n") == 1
    mixed.trained_on = mixed.histories
    with pytest.raises(UsageError, match="evaluate with the split that it was trained for"):
        trade_off.measured(mixed, split, "test")


def test_wrong_use_is_one_line(saved, mixed, tmp_path, run, capsys):
    mixed.trained_on = mixed.histories
    mixed.save_pretrained(tmp_path / "all")
    for arguments, code in (([tmp_path / "none"], 1), ([saved, "--split", "by-colour"], 2), ([tmp_path / "all"], 2)):
        assert run(trade_off, *arguments, "--out", tmp_path / "out") == code
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
