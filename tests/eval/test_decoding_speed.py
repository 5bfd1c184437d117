import time
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from eval_data import InThisProcess
from matplotlib.figure import Figure

from eval.bench.limited import GaveUpError, Limited
from eval.decoding import speed
from eval.decoding.peers import GENERATORS
from eval.decoding.report import curves
from eval.decoding.stores import STORES


class Subject:
    """What a limited process may hold; asked to misbehave."""

    def __init__(self, fail=""):
        self.kept = []
        self.behave(fail)

    def behave(self, how):
        if how == "slow":
            time.sleep(60)
        if how == "large":
            self.kept.append(np.ones(100_000_000))
            time.sleep(60)
        if how == "die":
            raise SystemExit(3)
        if how == "raise":
            raise ValueError("what went wrong\nand details")
        return how


def limited(how=""):
    return Limited(Subject, how, seconds=60, megabytes=800, threads=1)


@pytest.mark.parametrize(
    ("how", "why"), [("large", r"gave up after 0\.8 GB"), ("die", "ended with code 3"), ("slow", "gave up after 1 s")]
)
def test_limits_are_kept_and_reported(how, why):
    process = limited()
    if how == "slow":
        with pytest.raises(GaveUpError, match="ValueError: what went wrong"):
            process.call("behave", "raise")
        assert process.call("behave", "well") == "well"
        process.seconds = 1.0
    with pytest.raises(GaveUpError, match=why):
        process.call("behave", how)
    with pytest.raises(GaveUpError):
        process.call("behave", "")
    process.close()


def test_errors_in_the_process_are_reported():
    with pytest.raises(GaveUpError, match="what went wrong"):
        limited("raise")


def test_all_stores_find_the_same_followers(tmp_path):
    codes = np.unique(np.random.default_rng(0).integers(5, size=(300, 4)), axis=0).astype(np.int32)
    np.save(tmp_path / "codes.npy", codes)
    expected = {tuple(codes[0, :k]): len(np.unique(codes[(codes[:, :k] == codes[0, :k]).all(1), k])) for k in (1, 2, 3)}
    assert STORES["nested dicts (GENRE)"](tmp_path / "codes.npy").built()["build_seconds"] > 0
    for make in STORES.values():
        store = make.of(codes)
        if hasattr(store, "trie"):
            store.subset = store.trie.subset()  # without the history that it excludes
        for prefix, number in expected.items():
            assert store.follow(store.prepare(np.array([prefix]))) == number
            assert store.follow(store.prepare(np.array([prefix, prefix]))) == 2 * number


def test_same_items_leaves_ties_at_the_end_open():
    one = [(1,), (2,), (3,)], [-1.0, -2.0, -3.0], 0.1
    assert speed.same_items(one, ([(1,), (2,), (4,)], [-1.0, -2.0, -3.0], 0.1))
    assert not speed.same_items(one, ([(1,), (4,), (3,)], [-1.0, -2.0, -3.0], 0.1))
    assert not speed.same_items(one, ([(1,), (2,), (2,)], [-1.0, -2.0, -3.0], 0.1))


def test_who_is_slow_is_asked_less_often(monkeypatch):
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(speed, "time", clock)

    class Process:
        def __init__(self, seconds):
            self.seconds, self.asked = seconds, []

        def call(self, method, number):
            self.asked.append(number)
            clock.now += self.seconds
            return number

    bench = speed.SpeedBench.__new__(speed.SpeedBench)
    quick, slow = Process(0.0), Process(2 * speed.SLOW)
    questions = {p: speed.Question(p, "", [(0,), (1,), (2,)]) for p in (quick, slow)}
    assert bench.by_turns(questions, 4) == {quick: [0, 1, 2, 2], slow: [0, 1]}
    assert quick.asked == [0, 0, 1, 2, 2]  # the first one warms it up
    bench.until = 0.0  # the time is up
    assert bench.by_turns(questions, 4) == {quick: [0], slow: [0]}


def test_the_whole_run_on_a_tiny_model(tiny_model, tmp_path, monkeypatch, run, entry):
    monkeypatch.setattr(speed, "Limited", InThisProcess)
    some = ["ours, whole vocabulary", "generate, per-row dict processor", "Outlines choice, xgrammar"]
    chosen = {name: speed.GENERATORS[name] for name in some}
    monkeypatch.setattr(speed, "USUAL", some[1])
    monkeypatch.setattr(speed, "GENERATORS", chosen)
    stores = {name: speed.STORES[name] for name in ("ours, in the search", "nested dicts (GENRE)")}
    monkeypatch.setattr(speed, "STORES", stores)
    monkeypatch.setattr(speed, "PEER_BEAMS", (4,))
    monkeypatch.setattr(speed, "PICKS", 4)
    arguments = ["--quick", "--model", tiny_model, "--items", 300, "--beams", 4, "--users", 3, "--threads", 1]
    arguments += ["--seconds", 300, "--out", tmp_path]
    assert run(speed, *arguments) == 0
    content = entry(tmp_path / "decoding_speed.json")
    assert {row["name"] for row in content["trie"]} == set(stores)
    assert all(row["us"]["median"] > 0 for row in content["trie"] if "us" in row)
    assert {(row["layers"], row["items"], row["beams"]) for row in content["search"]} == {(3, 300, 4), (None, 300, 4)}
    assert [row["same"] for row in content["peers"] if "same" in row] == [True]
    assert {row["name"] for row in content["peers"] if "ms" in row} == set(some[:2])
    assert any("failure" in row for row in content["peers"] if row["name"] == some[2])
    assert all(row["same"] for row in content["users"] if row["quantization"] == "none")
    kinds = {(row["code_tokens"], row["quantization"], row["history"], row["users"]) for row in content["users"]}
    assert kinds == {(*kind, films, 3) for kind in product((4, 1), ("none", "int8")) for films in (27, 7)}
    assert [row["name"] for row in content["default"]] == ["ours by default", "ours by default, int8", some[1]]
    assert content["default"][-1]["times"] == 1
    assert "Same items and scores in 1 of 1 comparisons" in content["table"]
    assert (tmp_path / "decoding_speed.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(speed, "PARTS", {})  # nothing is measured again
    assert run(speed, *arguments, "--resume") == 0
    assert entry(tmp_path / "decoding_speed.json") == content


def test_curves_run_over_the_sizes_and_no_two_are_alike():
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    sizes = (10_000, 1_000_000, 1682)  # as runs appended them
    names = {name: place for place, name in enumerate(GENERATORS, 1)}
    rows = [{"name": name, "items": n, "ms": {"median": names[name] * n}} for n in sizes for name in names]
    curves(axes, [*rows, {"name": "failed", "items": 5, "failure": "no memory"}], "ms")
    assert all(line.get_xdata().tolist() == sorted(sizes) for line in axes.get_lines())
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.get_lines()}
    assert len(looks) == len({line.get_marker() for line in axes.get_lines()}) == len(names)
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list(names)[::-1]  # dearest first, as in the picture
    figure.draw_without_rendering()
    assert legend.get_window_extent().x0 >= axes.get_window_extent().x1
