"""Scripts that time a recommender, whole, on a tiny one."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from eval_data import InThisProcess
from matplotlib.axes import Axes

from eval.bench.results import read, record
from eval.decoding import usual_way
from eval.serving import catalog_parts, compiled, late_items, quantization, request_time
from genre_gen.errors import UsageError


def test_quantizations_are_compared(saved, tmp_path, run):
    common = [saved, "--quick", "--threads", 1, "--out", tmp_path, "--settings"]
    assert run(quantization, *common, "int8", "nf4") == 0
    content = read(tmp_path / "quantization.json")[saved.name]
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
    assert run(quantization, *common, "bf16", "--parts", "size", "speed") == 0  # what is there stays
    again = read(tmp_path / "quantization.json")[saved.name]
    for figures in (again["size"], *again["speed"].values()):
        assert set(figures) == {"none", "int8", "nf4", "bf16"}
    assert again["speed"]["text"]["int8"] == content["speed"]["text"]["int8"]
    assert again["quality"] == content["quality"]
    assert "| bf16 |" in "\n".join(again["table"])
    assert (tmp_path / "quantization.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Return a function that begins with a file of these parts and settings, for these that are asked for."""
    machine = {"threads": 2, "torch": quantization.torch.__version__, "flags": ["avx"]}
    monkeypatch.setattr(quantization, "examine_machine", lambda: SimpleNamespace(cpu_flags=("avx",)))

    def begun(parts, settings, threads=2, **other):
        speed = {"text": {"int8": 3}}
        content = {"recommender": "a", "machine": machine, "size": {"none": 1, "nf4": 2}, "speed": speed} | other
        record(tmp_path, "quantization", "run", {key: value for key, value in content.items() if value}, "")
        options = SimpleNamespace(parts=parts, settings=settings, threads=threads, out=tmp_path, run=tmp_path / "run")
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
    with pytest.raises(UsageError, match=rf"its size, speed would remain, but has another {named}, or.*--out") as error:
        measured(["size"], ["none"], **other)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="its speed would remain"):
        measured(["size", "speed"], ["none", "nf4"], **other)
    anew = measured(["size", "speed"], ["none", "int8", "nf4"], **other)
    assert set(anew) == {"recommender", "machine"}
    assert (anew["recommender"], anew["machine"]["threads"]) == ("a", other.get("threads", 2))


def test_a_setting_that_was_only_timed_has_a_row():
    row = {"ms": 5.0, "times": 1.5}
    text = quantization.markdown({"machine": {"threads": 2}, "speed": {"request": {"int8": row}}})
    *_, head, _, line = text.splitlines()
    assert line.startswith("| int8 |  |  |  | 5.0 (1.50x) |")
    assert line.count("|") == head.count("|")


def test_the_change_of_quality_is_drawn_with_its_interval(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Axes, "barh", lambda self, names, values, **how: drawn.append((names, values, how.get("xerr"))))
    blend = {"difference": 0.1, "error": 0.2}
    quantization.draw({"quality": {"int8": {"test": {"GENRE": blend}}}}, tmp_path / "new.png")
    assert drawn[2] == (["int8"], [0.1], [0.2])
    assert "less" in quantization.DIFFERENCE


@pytest.mark.parametrize("script", [quantization, request_time, usual_way])
def test_a_missing_recommender_is_one_line(script, tmp_path, run, capsys):
    assert run(script, tmp_path / "none", "--out", tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_quality_is_compared_on_the_same_users():
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


def test_a_request_is_measured_next_to_its_floors(saved, tmp_path, run, entry):
    assert run(request_time, saved, "--quick", "--threads", 1, "--out", tmp_path) == 0
    rows = entry(tmp_path / "request_time.json")["rows"]
    assert [row["setting"] for row in rows] == ["none", "bf16", "int8"] * 3
    short, long = rows[0], rows[6]
    assert short["tokens"] <= long["tokens"]
    assert long["floor"]["operations"] > short["floor"]["operations"] > 0
    layer = 64 * 2 * (64 + 32) + 3 * 64 * 128  # of the tiny model, which has two layers up to the exit
    assert short["floor"]["bytes"] == 4 * (2 * layer + 40 * 64 + 64 * (short["tokens"] - short["kept"]))
    assert all(sum(row["shares"].values()) == pytest.approx(1) for row in rows)


def test_ways_to_read_are_compared(saved, tmp_path, run, entry, monkeypatch):
    monkeypatch.setattr(compiled, "Limited", InThisProcess)
    arguments = ["--quick", "--threads", 1, "--lengths", 5, 9, "--out", tmp_path]
    # A compiler may be lacking.
    assert run(compiled, saved, *arguments, "--ways", compiled.PLAIN, compiled.PACKED) == 0
    plain, packed = entry(tmp_path / "compiled.json")["rows"]
    assert plain["apart"] == 0
    assert packed["apart"] < 1e-4
    assert all(ms > 0 for row in (plain, packed) for ms in row["ms"])


def test_one_model_is_measured_with_both_ways(saved, tmp_path, run, entry):
    arguments = ["--users", 5, "--beams", 12, "--threads", 1, "--out", tmp_path]
    assert run(usual_way, saved, *arguments) == 0
    exact, beams, usual = entry(tmp_path / "usual_way.json")["rows"]
    assert exact["alike@10"] == beams["alike@10"] == usual["alike@10"] == 10
    assert exact["same_order"] == beams["same_order"] == 5
    assert exact["ndcg@10"] == usual["ndcg@10"]


def test_places_count_from_one():
    cases = [type("Case", (), {"target": target}) for target in (4, 9)]
    assert usual_way.places([np.array([7, 4]), np.array([7, 4])], cases).tolist() == [2.0, np.inf]


def test_parts_that_grow_with_the_catalog_are_timed(tmp_path, tiny_model, run, entry):
    assert run(catalog_parts, "--quick", "--threads", 1, "--llm", tiny_model, "--out", tmp_path) == 0
    found = entry(tmp_path / "catalog_parts.json")
    timed = {f"{name}{kind}" for name in ("language model", "together") for kind in ("", ", 4 tokens")}
    assert {*found["50"]} == {*found["100"]} == {*catalog_parts.PARTS, *timed}
    assert found["50"]["together, 4 tokens"] > found["50"]["language model, 4 tokens"] > 0


def test_codes_of_several_tokens_are_distinct_and_each_level_has_its_own():
    codes = catalog_parts.codes_of(300, 4).codes
    assert len(np.unique(codes, axis=0)) == 300
    assert all(set(first).isdisjoint(second) for first, second in itertools.pairwise(codes.T.tolist()))
    assert catalog_parts.codes_of(5, 1).codes.ravel().tolist() == [0, 1, 2, 3, 4]


def test_what_added_items_cost(tiny_model, tmp_path, run, entry):
    assert run(late_items, "--quick", "--llm", tiny_model, "--out", tmp_path) == 0
    found = entry(tmp_path / "late_items.json")
    assert {"first", "one", "then a list", "5 at once", "one withdrawn"} < {*found["60"]} == {*found["90"]}
    assert min(found["90"].values()) > 0
