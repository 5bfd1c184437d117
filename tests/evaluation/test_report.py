"""The report: tables, JSON and plots say what the ranks say, and only like is joined with like."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.report import Report, Result, plot_reports
from genre_gen.evaluation.significance import interval, paired_test


def report(**changes):
    rng = np.random.default_rng(0)
    good = np.where(rng.random(200) < 0.2, np.inf, rng.integers(1, 12, 200)).astype(float)
    bad = rng.integers(1, 60, 200) + 0.5
    results = (
        Result("good", good, {"coverage": 0.5}, {"score_seconds": 0.25, "train_seconds": 1234.5}),
        Result("bad", bad, {"coverage": 0.25, "novelty": 8.0}),
    )
    users = tuple(f"u{u}" for u in range(200))
    return replace(Report(results, (5, 10), 60, users, np.arange(200) % 60, "Films", "leave-one-out, test"), **changes)


def test_figures():
    ranks = np.array([1, 3, np.inf])
    result = Result("m", ranks, {"coverage": 0.5})
    assert result.figure("R@1") == pytest.approx(1 / 3)
    assert result.figure("N@3") == pytest.approx((1 + 0.5) / 3)
    assert result.figure("MRR@10") == pytest.approx((1 + 1 / 3) / 3)
    assert result.figure("coverage") == 0.5


@pytest.mark.parametrize("metric", ["X@10", "N@", "N@0", "N@ten", "N", "novelty", ""])
def test_unknown_metric(metric):
    with pytest.raises(UsageError, match="no metric"):
        Result("m", np.ones(3)).figure(metric)


def test_unknown_model():
    with pytest.raises(UsageError, match="no model 'best' in this report; it has good, bad"):
        report()["best"]


def test_markdown_table():
    lines = report().table().splitlines()
    assert lines[0] == ("| model | R@5 | R@10 | N@5 | N@10 | 95 % of N@10 | coverage | novelty | score s | train s |")
    assert lines[1] == "| --- |" + " ---: |" * 9
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    good = report()["good"]
    low, high = interval(good.values("N@10"))
    expected = ["good", *(f"{good.figure(m):.4f}" for m in ("R@5", "R@10", "N@5", "N@10")), f"{low:.4f} to {high:.4f}"]
    assert cells == [*expected, "0.5", "", "0.2", "1,234.5"]
    assert lines[3].endswith("| 0.25 | 8 |  |  |")


def test_text_table_is_aligned():
    lines = str(report()).splitlines()
    assert lines[0] == "Films, leave-one-out, test, 200 users, all 60 items ranked but the seen ones"
    assert len({len(line) for line in lines[1:]}) == 1
    assert len(lines) == 4


def test_chosen_columns_and_headline():
    assert report().table(metrics=["MRR@3"]).splitlines()[0] == "| model | MRR@3 |"
    assert report().table(metrics=["N@10", "novelty"]).splitlines()[2].endswith(" |  |")  # only the other has it
    assert report().table(metrics=["N@10", "novelty"]).splitlines()[3].endswith(" | 8.0000 |")
    assert report().headline == "N@10"
    assert report(k=(1, 5)).headline == "N@5"


def test_compare_corrects_for_the_number_of_peers():
    three = report().join(report(results=(Result("same", report()["good"].ranks),)))
    compared = {one.peer: one for one in three.compare("good")}
    good, bad = three["good"].values("N@10"), three["bad"].values("N@10")
    assert compared["bad"].p == paired_test(good, bad)
    assert compared["bad"].corrected == pytest.approx(2 * compared["bad"].p)
    assert compared["bad"].difference == pytest.approx(good.mean() - bad.mean())
    assert compared["same"].p == 1
    header, _, good_line, bad_line, same_line = three.table(ours="good", metrics=["N@10"]).splitlines()
    assert header.endswith("p of N@10 against good |")
    assert good_line.endswith("|  |")
    assert bad_line.endswith("| < .0001 |")
    assert same_line.endswith("| 1.0000 |")


def test_json_roundtrip():
    before = report(notes={"seed": 3})
    text = before.to_json()
    after = Report.from_json(text)
    for name in ("good", "bad"):
        np.testing.assert_array_equal(after[name].ranks, before[name].ranks)
    assert str(after) == str(before)
    assert after.to_json() == text
    content = json.loads(text)
    assert content["n_users"] == 200
    assert content["notes"] == {"seed": 3}
    assert content["results"][0]["figures"]["N@10"] == before["good"].figure("N@10")
    assert content["versions"]["numpy"] == np.__version__
    assert None in content["results"][0]["ranks"]  # infinite ranks, which JSON cannot hold
    assert "Infinity" not in text


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "other"}'])
def test_json_that_is_not_a_report(text):
    with pytest.raises(DataError, match="report"):
        Report.from_json(text)


def test_join():
    other = report(results=(Result("third", np.ones(200)),), notes={"seed": 1})
    joined = report(notes={"command": "x"}).join(other)
    assert [result.name for result in joined.results] == ["good", "bad", "third"]
    assert joined.notes == {"command": "x", "seed": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"data": "Books"},
        {"split": "global-time, test"},
        {"repeat": True},
        {"n_items": 61},
        {"users": tuple("u" for _ in range(200))},
        {"targets": np.zeros(200, dtype=np.int64)},
    ],
)
def test_join_refuses_other_questions(change):
    other = report(results=(Result("third", np.ones(200)),), **change)
    with pytest.raises(UsageError, match="cannot be joined"):
        report().join(other)


def test_join_refuses_repeated_names():
    with pytest.raises(UsageError, match="two models are named 'bad'"):
        report().join(report())


def test_plot(tmp_path):
    path = tmp_path / "plot.png"
    report().plot(path, ours="good")
    plot_reports([report(), report(data="Books")], tmp_path / "two.png", "R@5")
    from matplotlib.image import imread

    one, two = imread(path), imread(tmp_path / "two.png")
    assert one.shape[1] == two.shape[1] == 1200
    assert two.shape[0] > 1.5 * one.shape[0]
    assert one[..., :3].std() > 0.05  # something was drawn


def test_plot_shows_bars_sorted_with_their_intervals():
    from matplotlib.figure import Figure

    from genre_gen.evaluation.report import OURS_COLOUR, _draw

    panel = Figure().subplots()
    _draw(panel, report(), "N@10", "good")
    assert [label.get_text() for label in panel.get_yticklabels()] == ["bad", "good"]
    widths = [bar.get_width() for bar in panel.patches]
    assert widths == [report()[name].figure("N@10") for name in ("bad", "good")]
    assert [text.get_text() for text in panel.texts] == [f"{width:.3f}" for width in widths]
    from matplotlib.colors import to_hex

    assert to_hex(panel.patches[1].get_facecolor()).upper() == OURS_COLOUR
    assert panel.get_title(loc="left") == report().caption()


def test_a_plot_without_reports_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no report"):
        plot_reports([], tmp_path / "plot.png")
    with pytest.raises(UsageError, match="no metric"):
        report().plot(tmp_path / "plot.png", "accuracy")


def test_plot_of_all_misses(tmp_path):
    report(results=(Result("none", np.full(200, np.inf)),)).plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 0


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_a_report_is_a_frame_of_models_or_of_users(mixed, dataset, library):
    report = mixed.evaluate(dataset.leave_one_out(), (5, 10), baselines=True)
    frame = report.to_frame(library)
    assert list(frame["model"]) == [result.name for result in report.results]
    for column in ("R@5", "N@10", "MRR@10", "coverage", "score_seconds"):
        assert list(frame[column]) == [
            result.costs[column] if column in result.costs else result.figure(column) for result in report.results
        ]
    users = report.to_frame(library, per_user=True)
    assert len(users) == len(report.results) * len(report.users)
    means = pl.DataFrame({name: list(users[name]) for name in ("model", "N@10")}).group_by("model").mean()
    assert dict(means.rows()) == pytest.approx({result.name: result.figure("N@10") for result in report.results})
    assert list(users["user_id"])[: len(report.users)] == list(report.users)
