from dataclasses import replace

import pytest

from eval.accuracy import trade_off
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE
from genre_gen.recommender.recommender import Recommender


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


def test_weight_0_gives_the_evaluated_ranks(mixed, dataset, monkeypatch):
    monkeypatch.setattr(trade_off, "METHODS", ("mmr",))
    monkeypatch.setattr(trade_off, "WEIGHTS", (0.0,))
    split = dataset.leave_one_out()
    lists = trade_off.measured(mixed.state, split, "validation")["rows"][0]
    report = mixed.evaluate(split, part="validation", baselines=False)
    assert lists["N@10"] == pytest.approx(report[GENRE].figure("N@10"))  # no ties, which lists cannot count half


def trained_on(recommender, interactions):
    return Recommender.from_state(replace(recommender.state, trained_on=interactions))


def test_the_part_that_was_not_learned_from_is_asked(mixed, dataset, capsys):
    split = dataset.leave_one_out()
    assert trade_off.fair_part(mixed.state, split) == "validation"
    assert not capsys.readouterr().err
    assert trade_off.fair_part(trained_on(mixed, split.train_and_validation).state, split) == "test"
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(UsageError, match="evaluate with the split that it was trained for"):
        trade_off.measured(trained_on(mixed, dataset.interactions).state, split, "test")


def test_wrong_use_gives_a_short_error(saved, mixed, dataset, tmp_path, run, capsys):
    trained_on(mixed, dataset.interactions).save_pretrained(tmp_path / "all")
    for arguments, code in (([tmp_path / "none"], 1), ([saved, "--split", "by-colour"], 2), ([tmp_path / "all"], 2)):
        assert run(trade_off, *arguments, "--out", tmp_path / "out") == code
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
