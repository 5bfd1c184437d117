"""eval/quantization.py and eval/request_time.py, whole, on a tiny recommender."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from genre_gen.errors import UsageError


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
    monkeypatch.setattr(sys, "argv", [*arguments, "--settings", "bf16", "--parts", "size", "speed"])
    quantization.main()  # what is there stays
    again = json.loads(file.read_text())
    for found in (again["size"], *again["speed"].values()):
        assert set(found) == {"none", "int8", "nf4", "bf16"}
    assert again["speed"]["text"]["int8"] == content["speed"]["text"]["int8"]
    assert again["quality"] == content["quality"]
    assert "| bf16 |" in capsys.readouterr().out
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Return a function that begins with a file of these parts and settings, for these that are asked for."""
    import quantization

    file = tmp_path / "quantization.json"
    machine = {"threads": 2, "torch": quantization.torch.__version__, "flags": ["avx"]}
    monkeypatch.setattr(quantization, "examine_machine", lambda: SimpleNamespace(cpu_flags=("avx",)))

    def begun(parts, settings, threads=2, **other):
        content = {
            "recommender": "a",
            "machine": machine,
            "size": {"none": 1, "nf4": 2},
            "speed": {"text": {"int8": 3}},
        }
        file.write_text(json.dumps({key: value for key, value in (content | other).items() if value}))
        options = SimpleNamespace(parts=parts, settings=settings, threads=threads, json=file)
        return quantization.begun(options, "a")

    return begun


def test_figures_of_one_recommender_and_machine_stay(measured):
    assert measured(["size"], ["none"])["speed"] == {"text": {"int8": 3}}


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"recommender": "b"}, "recommender"),
        ({"recommender": None}, "recommender"),  # of before that was written down
        ({"threads": 1}, "number of threads"),
    ],
)
def test_figures_of_others_are_not_mixed_in(measured, other, named):
    with pytest.raises(UsageError, match=rf"has of size, speed would stay.*another {named}, or.*--json") as error:
        measured(["size"], ["none"], **other)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="has of speed would stay"):
        measured(["size", "speed"], ["none", "nf4"], **other)
    anew = measured(["size", "speed"], ["none", "int8", "nf4"], **other)
    assert set(anew) == {"recommender", "machine"}
    assert (anew["recommender"], anew["machine"]["threads"]) == ("a", other.get("threads", 2))


def test_a_setting_that_was_only_timed_has_a_row(monkeypatch):
    import quantization

    row = {"ms": 5.0, "times": 1.5}
    text = quantization.table({"machine": {"threads": 2}, "speed": {"request": {"int8": row}}})
    *_, head, _, line = text.splitlines()
    assert line.startswith("| int8 |  |  |  | 5.0 (1.50x) |")
    assert line.count("|") == head.count("|")


def test_the_change_of_quality_is_drawn_with_its_interval(tmp_path, monkeypatch):
    import quantization
    from matplotlib.axes import Axes

    drawn = []
    monkeypatch.setattr(Axes, "barh", lambda self, names, values, **how: drawn.append((names, values, how.get("xerr"))))
    blend = {"difference": 0.1, "error": 0.2}
    quantization.draw({"quality": {"int8": {"test": {"GENRE": blend}}}}, tmp_path / "new.png")
    assert drawn[2] == (["int8"], [0.1], [0.2])
    assert "less" in quantization.DIFFERENCE


def test_no_recommender_there_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    import quantization

    monkeypatch.setattr(sys, "argv", ["quantization.py", str(tmp_path / "none"), "--json", str(tmp_path / "q.json")])
    with pytest.raises(SystemExit) as end:
        quantization.main()
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


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
