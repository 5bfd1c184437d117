"""Points of growth are measured within limits, kept, and summed up as exponents."""

import json
from contextlib import suppress

import pytest

from eval import growth
from eval.bench import points, stages
from eval.bench.points import Checkout, Limits, Point, Runs, exponent
from eval.bench.script import ROOT
from genre_gen.errors import UsageError

WIDE = Limits(60, 10_000)
HERE = Checkout("new", ROOT)


def test_exponents_are_those_of_the_largest_sizes():
    sizes = [10, 100, 1_000, 10_000, 100_000]
    slope, used = exponent(sizes, [5.0, 5.0, *(2e-3 * size**1.5 for size in sizes[2:])])
    assert (slope, used) == (pytest.approx(1.5), 3)
    assert exponent(sizes, [1.0, 2.0, None, 200.0, None]) == (pytest.approx(0.8003, abs=1e-4), 3)
    assert exponent(sizes, [3.0, None, 0.0, None, None]) is None
    assert exponent([], []) is None


@pytest.fixture
def no_log(monkeypatch):
    """Write no logs, for points that are not measured."""
    monkeypatch.setattr(points, "write_log", lambda *_: None)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Return what replaces the process of a point by other code."""

    def write(code):
        file = tmp_path / "stages.py"
        file.write_text(f"import json, sys, time\nprint(json.dumps({{'begins': 'reading'}}), flush=True)\n{code}")
        monkeypatch.setattr(points, "STAGES", file)

    return write


@pytest.mark.parametrize(
    ("code", "limits", "ended"),
    [
        ("time.sleep(60)", Limits(0.4, 10_000), "not within 0 s"),
        ("held = bytearray(300_000_000)\ntime.sleep(60)", Limits(60, 200), "not within 0 GB"),
        ("raise ValueError('wrong data')", WIDE, "ValueError: wrong data"),
        ("sys.exit(3)", WIDE, "exit code 3"),
    ],
)
def test_a_process_that_does_not_finish_is_reported(tmp_path, script, code, limits, ended):
    script(code)
    result = HERE.run({}, limits, 1, tmp_path / "log")
    assert (result["ended"], result["stage"]) == (ended, "reading")
    assert result["total"] < 30


def test_figures_of_a_process_are_kept_when_its_output_is_cut(tmp_path, script):
    script("print(json.dumps({'seconds': {'reading': 2.5}, 'megabytes': 7}))\nprint('{\"step\": 0.')")
    result = HERE.run({}, WIDE, 1, tmp_path / "log")
    assert (result["seconds"], result["megabytes"], result["ended"]) == ({"reading": 2.5}, 7, None)


def test_the_package_of_the_checkout_is_measured(tmp_path, script):
    script("print(json.dumps({'package': '/elsewhere/genre_gen/__init__.py'}))")
    with pytest.raises(UsageError, match="another checkout's package was imported"):
        HERE.run({}, WIDE, 1, tmp_path / "log")


def test_every_stage_has_a_function_in_this_version():
    present = set()
    for path, name in stages.STAGES.items():
        with suppress(ImportError, AttributeError):
            stages.found(path)
            present.add(name)
    assert present == {*stages.STAGES.values()}  # otherwise change its path, and keep the old one for other versions


def test_a_grid_is_measured_once(tmp_path, monkeypatch, tiny_model, run, entry, in_this_process, capsys):
    small = {"interactions": [Point(60, n, 10) for n in (200, 400)], "items": [Point(60, 200, 10)]}
    monkeypatch.setattr(growth, "QUICK", small)
    arguments = ("--quick", "--steps", 2, "--out", tmp_path, "--set", f"model.llm={tiny_model}")
    assert run(growth, *arguments) == 0
    assert in_this_process == [("new", "train"), ("new", "answer")] * 2
    content = entry(tmp_path / "growth.json")
    for found in content["points"].values():
        for size in (200, 400):
            point = found[f"60 items, {size} interactions, 10 each"]
            assert (point["items"], point["interactions"], point["ended"]) == (60, size, None)
            assert all(value is not None and value >= 0 for value in point["quantities"].values())
            assert {"ease", "sequential_rules", "svd"} <= point["members"].keys()
            assert "llm" in point["folder"]
    value, used = content["exponents"]["folder"]["interactions"]["new"]
    assert (0 < value < 1, used) == (True, 2)
    assert "| folder | " in content["table"]
    assert (tmp_path / "growth_quick_2_threads.png").stat().st_size > 10_000
    assert not list((tmp_path / "growth" / "data").iterdir())

    capsys.readouterr()
    assert run(growth, *arguments) == 0  # nothing is measured again
    assert len(in_this_process) == 4
    assert content["table"] in capsys.readouterr().out


def test_larger_points_are_not_tried_after_one_that_did_not_finish(tmp_path, monkeypatch, no_log):
    asked = []

    def run(checkout, order, limits, threads, log):
        asked.append(checkout.label)
        ended = "not within 1 s" if checkout.label == "old" else None
        return {"seconds": {"reading": 1.0}, "ended": ended, "stage": "tuning" if ended else None, "total": 1.0}

    monkeypatch.setattr(Checkout, "run", run)
    versions = growth.checkouts(ROOT)
    axes = {"interactions": [Point(60, n, 10) for n in (200, 400)]}
    results = growth.measured(Runs(tmp_path, WIDE, 1, 2, {}), versions, axes)
    assert asked == ["old", "new", "new", "new", "new"]  # two processes for each point that finished
    assert [len(found) for found in results.values()] == [1, 2]
    table = growth.markdown(axes, results, "few")
    assert "not within 1 s (tuning)" in table


def test_a_limit_that_was_too_low_is_tried_again_when_it_is_raised(tmp_path, monkeypatch, no_log):
    ended = iter(["not within 1 s", "not within 1 s", None, None])
    monkeypatch.setattr(Checkout, "run", lambda *_: {"seconds": {}, "ended": next(ended), "stage": None, "total": 1.0})
    point = Point(60, 200, 10)
    for limits, finished in (
        (Limits(1, 10), False),
        (Limits(1, 10), False),
        (Limits(2, 10), False),
        (Limits(3, 9), True),
    ):
        result = Runs(tmp_path, limits, 1, 2, {}).measure(HERE, point)
        assert (result["ended"] is None) == finished
    assert Runs(tmp_path, Limits(1, 1), 1, 2, {}).measure(HERE, point)["ended"] is None
    assert Runs(tmp_path, WIDE, 1, 3, {}).kept(HERE, point) is None  # of other settings
    assert next(ended, "all used") == "all used"
    assert json.loads(Runs(tmp_path, WIDE, 1, 2, {}).file(HERE, point).read_text())["ended"] is None


def test_what_cannot_be_measured_is_refused(tmp_path, run, capsys):
    assert run(growth, "--old", tmp_path, "--out", tmp_path) == 2
    assert run(growth, "--points", "no such", "--out", tmp_path) == 2
    assert "no checkout of the project" in capsys.readouterr().err
