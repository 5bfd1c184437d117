"""The script about soft targets measures both ways on one log, and finds that they agree."""

import json

import numpy as np
import pytest

from eval.training import soft_targets


def test_both_ways_are_compared(tmp_path, capsys):
    shape = ["--users", "30", "--items", "200", "--interactions", "400"]
    soft_targets.main([*shape, "--sample", "50", "--out", str(tmp_path)])
    figures = json.loads((tmp_path / "soft_targets.json").read_text())["ratio"]
    assert figures["rows"] > 0.99
    assert figures["share"] < 2e-3
    assert figures["times"] == pytest.approx(figures["alone"] / figures["once"])
    assert "| 30, 200, 400 |" in capsys.readouterr().out


def test_the_exponent_of_growth_is_a_slope(monkeypatch):
    ticks = iter(np.cumsum([0, 1, 0, 2, 0, 4]).astype(float))
    monkeypatch.setattr(soft_targets.time, "process_time", lambda: next(ticks))
    monkeypatch.setattr(soft_targets, "teacher_of", lambda data: lambda interactions: None)
    figures = soft_targets.growth({"users": [(30, 100, 200), (60, 100, 400), (120, 100, 800)]})
    assert figures["users"]["seconds"] == [1.0, 2.0, 4.0]
    assert figures["users"]["exponent"] == pytest.approx(1.0)
