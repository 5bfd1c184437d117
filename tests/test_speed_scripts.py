"""eval/quantization.py and eval/request_time.py, whole, on a tiny recommender."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "eval"))


def test_quantizations_are_compared(saved, tmp_path, monkeypatch, capsys):
    import quantization

    file = tmp_path / "new" / "quantization.json"
    arguments = ["quantization.py", str(saved), "--quick", "--threads", "1", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--settings", "int8", "nf4"])
    quantization.main()
    content = json.loads(file.read_text())
    assert set(content["size"]) == set(content["quality"]) == {"none", "int8", "nf4"}
    assert content["size"]["nf4"]["all"] < content["size"]["int8"]["all"] < content["size"]["none"]["all"]
    assert content["disk"]["base"] > content["disk"]["recommender"] > 0
    for kind in ("request", "batch", "text"):
        assert content["speed"][kind]["none"]["times"] == 1
        assert content["speed"][kind]["int8"]["ms"] > 0
    for part in ("validation", "test"):
        assert content["quality"]["none"][part]["furthest"] == 0
        assert content["quality"]["int8"][part]["furthest"] > 0
        assert content["quality"]["int8"][part]["users"] == 30
    monkeypatch.setattr(sys, "argv", [*arguments, "--settings", "bf16", "--parts", "size"])
    quantization.main()  # what is there stays
    assert set(json.loads(file.read_text())["size"]) == {"none", "int8", "nf4", "bf16"}
    assert "| bf16 |" in capsys.readouterr().out
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_quality_is_compared_on_the_same_users():
    import quantization

    exact = {
        "GENRE": np.array([1.0, 2.0, 30.0]), "GENRE, LLM alone": np.array([1.0, 1.0, 1.0]),
        "scores": np.zeros((3, 2)), "best": np.array([[0, 1], [0, 1], [0, 1]]),
    }  # fmt: skip
    found = {
        "GENRE": np.array([1.0, 1.0]), "GENRE, LLM alone": np.array([1.0, 11.0]),
        "scores": np.array([[0.0, 0.5], [0.0, 0.0]]), "best": np.array([[0, 1], [0, 2]]),
    }  # fmt: skip
    row = quantization.compared(found, exact)
    assert (row["users"], row["furthest"], row["alike@10"]) == (2, 0.5, 1.5)
    assert row["GENRE"]["difference"] == pytest.approx((1 - 1 / np.log2(3)) / 2)
    assert row["GENRE, LLM alone"]["difference"] == -0.5


def test_a_request_is_measured_beside_its_floors(saved, tmp_path, monkeypatch, capsys):
    import request_time

    file = tmp_path / "new" / "request.json"
    arguments = ["request_time.py", str(saved), "--quick", "--threads", "1", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", arguments)
    request_time.main()
    rows = json.loads(file.read_text())["rows"]
    assert [row["setting"] for row in rows] == ["none", "bf16", "int8"] * 3
    short, long = rows[0], rows[6]
    assert short["tokens"] <= long["tokens"]
    assert long["floor"]["operations"] > short["floor"]["operations"] > 0
    layer = 64 * 2 * (64 + 32) + 3 * 64 * 128  # of the tiny model, which has two layers up to the exit
    assert short["floor"]["bytes"] == 4 * (2 * layer + 40 * 64 + 64 * (short["tokens"] - short["kept"]))
    assert all(sum(row["shares"].values()) == pytest.approx(1) for row in rows)
    assert file.with_suffix(".md").read_text() in capsys.readouterr().out


def test_ways_to_read_are_compared(saved, tmp_path, monkeypatch, capsys):
    import compiled

    file = tmp_path / "new" / "compiled.json"
    monkeypatch.setenv("PYTHONPATH", str(Path(compiled.__file__).parent))  # for the processes that it starts
    arguments = ["compiled.py", str(saved), "--quick", "--threads", "1", "--lengths", "5", "9", "--json", str(file)]
    monkeypatch.setattr(
        sys, "argv", [*arguments, "--ways", compiled.PLAIN, compiled.PACKED]
    )  # a compiler may be lacking
    compiled.main()
    plain, packed = json.loads(file.read_text())["rows"]
    assert plain["apart"] == 0
    assert packed["apart"] < 1e-4
    assert all(ms > 0 for row in (plain, packed) for ms in row["ms"])
    assert file.with_suffix(".md").read_text() in capsys.readouterr().out


def test_one_model_is_asked_in_both_ways(saved, tmp_path, monkeypatch, capsys):
    import usual_way

    file = tmp_path / "new" / "usual.json"
    arguments = ["usual_way.py", str(saved), "--users", "5", "--beams", "12", "--threads", "1", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", arguments)
    usual_way.main()
    exact, beams, usual = json.loads(file.read_text())["rows"]
    assert exact["alike@10"] == beams["alike@10"] == usual["alike@10"] == 10
    assert exact["same_order"] == beams["same_order"] == 5
    assert exact["ndcg@10"] == usual["ndcg@10"]
    assert file.with_suffix(".md").read_text() in capsys.readouterr().out


def test_places_count_from_one():
    import usual_way

    cases = [type("Case", (), {"target": target}) for target in (4, 9)]
    assert usual_way.places([np.array([7, 4]), np.array([7, 4])], cases).tolist() == [2.0, np.inf]
