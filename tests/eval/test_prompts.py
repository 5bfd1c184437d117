from dataclasses import replace

import pytest

from eval.accuracy import prompts
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import LLM_ALONE
from genre_gen.recommender.recommender import Recommender


def test_each_prompt_is_compared_with_the_served_one(saved, tmp_path, run, entry):
    words, other = tmp_path / "words", tmp_path / "other"
    for folder in (words, other):
        Recommender.from_pretrained(saved).state.book.save(folder)
    (other / "next_item.system.jinja").write_text("Say what comes next.")
    arguments = ["--lengths", 2, 999, "--templates", words, other, "--out", tmp_path]
    assert run(prompts, saved, *arguments) == 0
    content = entry(tmp_path / "prompts.json")
    rows = {row["name"]: row for row in content["rows"]}
    assert list(rows) == ["as served", "last 2 items", "templates words", "templates other"]
    # The same words give the same figures; other words and less history do not.
    served, shorter = rows["as served"], rows["last 2 items"]
    assert rows["templates words"]["N@10"] == served["N@10"]
    assert rows["templates words"]["p_holm"] == 1
    assert rows["templates other"]["N@10"] != served["N@10"]
    assert shorter["difference"] == pytest.approx(shorter["N@10"] - served["N@10"])
    assert len(content["table"].splitlines()) == 4 + len(rows)


def test_the_served_prompt_gives_the_evaluated_ranks(mixed, dataset):
    split, state = dataset.leave_one_out(), mixed.state
    rows = prompts.measured(state, split, "test", prompts.variants(state, [], []))["rows"]
    report = mixed.evaluate(split, baselines=False)
    assert rows[0]["N@10"] == pytest.approx(report[LLM_ALONE].figure("N@10"))
    with pytest.raises(UsageError, match="evaluate with the split that it was trained for"):
        prompts.measured(replace(state, trained_on=dataset.interactions), split, "test", {})
