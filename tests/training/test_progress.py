"""Progress: stages by name, a share that never falls, and an estimate of the end."""

import io
import sys

import pytest

from genre_gen import Recommender
from genre_gen.training.progress import Progress, ProgressBar, Stages, clock_time

ONE_TASK = {"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}}


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self):
        return self.now


def told_by(plan, clock=None):
    told = []
    return Stages(plan, told.append, clock or Clock()), told


def test_shares_of_stages_add_up_and_never_fall():
    stages, told = told_by({"members": 1.0, "model": 3.0})
    with stages.stage("members"):
        stages.update(0.5)
    with stages.stage("model"):
        for share in (0.5, 0.25, 7.0, -1.0):  # what goes on from a checkpoint may say less than before
            stages.update(share, {"loss": share})
    assert [progress.share for progress in told] == [0, 0.125, 0.25, 0.25, 0.625, 0.625, 1, 1, 1]
    assert [progress.stage for progress in told] == ["members"] * 3 + ["model"] * 6
    assert told[4].details == {"loss": 0.5}
    assert told[1].details == {}


def test_parts_of_a_stage_are_named():
    stages, told = told_by({"model": 1.0})
    with stages.stage("model"):
        stages.update(0.2, part="soft targets")
        stages.update(0.4, part="model")
    assert [progress.stage for progress in told] == ["model", "model, soft targets", "model", "model"]


def test_the_end_is_estimated_after_a_share_of_the_run():
    clock = Clock()
    stages, told = told_by({"model": 1.0}, clock)
    with stages.stage("model"):
        for seconds, share in ((1, 0.01), (30, 0.25), (60, 0.5), (100, 1.0)):
            clock.now = 100.0 + seconds
            stages.update(share)
    assert [progress.seconds for progress in told] == [0, 1, 30, 60, 100, 100]
    assert [progress.remaining for progress in told] == [None, None, 90, 60, 0, 0]


def test_a_bar_shows_stage_time_and_figures(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    bar = ProgressBar()
    bar(Progress("language model", 0.5, 61.0, 3700.0, {"NDCG@10": 0.125}))
    bar(Progress("refit", 1.0, 62.0, 0.0))
    shown = stream.getvalue()
    bar(Progress("refit", 1.0, 63.0, 0.0))
    assert stream.getvalue() == shown
    assert "language model:  50%" in shown
    assert "1:01, 1:01:40 left, NDCG@10 0.125" in shown
    assert "refit: 100%" in shown


def test_after_a_failure_the_next_line_is_free(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    stages = Stages({"model": 1.0}, True, Clock())
    with pytest.raises(KeyboardInterrupt), stages.stage("model"):
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("\n")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.6, "0:08"), (187, "3:07"), (3600, "1:00:00")])
def test_times_read_as_on_a_clock(seconds, text):
    assert clock_time(seconds) == text


@pytest.mark.parametrize(
    ("refit", "stages"),
    [
        ("none", ["item codes", "collaborative models", "language model", "blend weights"]),
        ("continue", ["item codes", "collaborative models", "language model", "blend weights", "refit"]),
    ],
)
def test_training_and_evaluating_tell_their_stages(tiny_domain, dataset, refit, stages):
    split, told = dataset.leave_one_out(), []
    recommender = Recommender(tiny_domain, settings={**ONE_TASK, "training.refit": refit})
    recommender.fit(split, progress=told.append)
    check(told, stages)
    assert any(progress.details for progress in told)
    told.clear()
    recommender.evaluate(split, progress=told.append)
    check(told, ["baselines", "ranking"])


def check(told, stages):
    shares = [progress.share for progress in told]
    assert list(dict.fromkeys(progress.stage.split(", ")[0] for progress in told)) == stages
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(set(shares)) > len(stages)
    assert all(progress.remaining is None or progress.remaining >= 0 for progress in told)
