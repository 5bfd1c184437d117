import json
import sys
from pathlib import Path

import pytest

from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import LLM_ALONE, evaluate_recommender

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch):
    import prompt_ablation

    return prompt_ablation


def test_each_way_to_ask_stands_beside_the_one_that_serves(script, saved, tmp_path, monkeypatch, capsys):
    words = tmp_path / "words"
    words.mkdir()
    for file in (ROOT / "prompts" / "movies").glob("next_item.*.jinja"):
        (words / file.name).write_text(file.read_text())
    monkeypatch.setattr(
        sys, "argv", ["", str(saved), "--lengths", "2", "999", "--templates", str(words), "--out", str(tmp_path)]
    )
    script.main()
    rows = {row["name"]: row for row in json.loads((tmp_path / "prompt_ablation.json").read_text())["rows"]}
    assert list(rows) == ["as served", "phrasing 2", "phrasing 3", "last 2 items", "templates words"]
    # The same words give the same figures; other words and less history do not.
    assert rows["templates words"]["N@10"] == rows["as served"]["N@10"]
    assert rows["templates words"]["p_holm"] == 1
    assert rows["phrasing 2"]["N@10"] != rows["as served"]["N@10"]
    served, shorter = rows["as served"], rows["last 2 items"]
    assert shorter["difference"] == pytest.approx(shorter["N@10"] - served["N@10"])
    assert len(capsys.readouterr().out.splitlines()) == 4 + len(rows)


def test_as_served_is_what_is_evaluated_elsewhere(script, mixed):
    split = mixed.histories.leave_one_out()
    rows = script.measured(mixed, split, "test", script.variants(mixed, [], []))["rows"]
    report = evaluate_recommender(mixed, split, "test", peers=False)
    assert rows[0]["N@10"] == pytest.approx(report[LLM_ALONE].figure("N@10"))


def test_a_recommender_that_has_seen_the_answers_is_refused(script, mixed):
    mixed.trained_on = mixed.histories
    with pytest.raises(UsageError, match="evaluate with the split that it was trained for"):
        script.measured(mixed, mixed.histories.leave_one_out(), "test", {})
