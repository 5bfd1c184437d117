import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch):
    import new_items

    return new_items


def test_items_are_held_out_twice_and_every_length_is_measured(script, tiny_domain, tmp_path, monkeypatch, capsys):
    domain = tiny_domain.changed({"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}})
    bench = script.Bench("sample", domain, "leave-one-out", tmp_path)
    monkeypatch.setattr(script.Bench, "open", lambda *_: bench)
    fitted = []
    fit = script.Recommender.fit
    monkeypatch.setattr(script.Recommender, "fit", lambda self, *data: fitted.append(data[1]) or fit(self, *data))
    placed, place = [], script.place_cold_items

    def watched(llm, data):
        placed.append(data.domain.codes.cold_start_scale)
        place(llm, data)

    monkeypatch.setattr(script, "place_cold_items", watched)
    script.main(["--data", "sample", "--lengths", "1", "0", "--known", "10", "--out", str(tmp_path)])
    content = json.loads((tmp_path / "new_items_sample.json").read_text())
    tested = {case.target for case in script.new_items(bench, 0).cases["all"]}
    assert not tested & set(fitted[0].rows.tolist())
    assert content["without_interactions"] > content["held_out"] >= 1
    assert list(content["lengths"]) == ["0", "1"]
    assert placed == [0, 1, bench.domain.codes.cold_start_scale]
    assert list(content["blends"]) == ["the blend", "the blend, new items at the score of nothing"]
    assert content["cases"]["known"] == 10
    assert "| left at texts |" in capsys.readouterr().out


def test_figures_are_recall_and_ndcg(script, sample):
    cases = sample[1].leave_one_out().test[:4]

    def score(histories):
        scores = np.zeros((len(histories), 40), np.float32)
        for row, history in enumerate(histories):
            target = next(case.target for case in cases if case.history is history)
            scores[row, target] = 1 if row % 2 else -1
        return scores

    found = script.figures(score, {"new": cases}, 40, False)["new"]
    assert found["R@10"] == 0.5
    assert found["N@10"] == 0.5
    assert found["interval"] == [0.0, 1.0]
