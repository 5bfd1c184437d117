import pytest

from eval.accuracy import ease_forms
from eval.bench.cases import Bench


def test_forms_are_compared_on_the_same_cases(bench, run, entry, tmp_path, monkeypatch):
    monkeypatch.setattr(Bench, "open", lambda *_: bench)
    assert run(ease_forms, "--data", "sample", "--cases", 20, "--out", tmp_path) == 0
    content = entry(tmp_path / "ease_forms.json")
    assert list(content) == ["all", "sparse", "ItemKNN", "table"]
    both = [float(content[form]["NDCG@10"]) for form in ("all", "sparse")]
    assert both[0] == pytest.approx(both[1], abs=0.02)  # only items that nobody had together are left out
