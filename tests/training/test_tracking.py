"""Tracking: what a training tells a tracker, over interruptions, its refit and its end."""

import json

import pytest

from genre_gen import Recommender
from genre_gen.training import trackers
from genre_gen.training.finetune import FineTuner
from genre_gen.training.tracking import FILE
from tests.training.tracked import READERS

SETTINGS = {
    "training.epochs": 2,
    "training.refit": "continue",
    "training.refit_epochs": 1,
    "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}},
    "blend.members": ["ease", "popularity"],
    "ratings.members": [],
}


class Kept:
    """A tracker of a test: notes what it is told."""

    told = None

    def __init__(self, folder):
        self.folder = folder

    def start(self, run):
        self.told.append(("start", run))

    def log(self, values, step):
        self.told.append(("log", step, dict(values)))

    def finish(self, status, metrics):
        self.told.append(("finish", status, dict(metrics)))


@pytest.fixture
def told(monkeypatch):
    Kept.told = []
    monkeypatch.setitem(trackers.TRACKERS, "wandb", Kept)
    monkeypatch.setattr("genre_gen.registry.TRACKERS._loaded", {})
    return Kept.told


@pytest.fixture
def untrained(tiny_domain):
    return lambda tracker: Recommender(tiny_domain, settings={**SETTINGS, "training.tracker": tracker})


def steps(told):
    return [entry[1] for entry in told if entry[0] == "log"]


def interrupt_after(stage, share):
    def listen(progress):
        if progress.stage.startswith(stage) and progress.share >= share:
            raise KeyboardInterrupt

    return listen


def test_one_training_is_one_run_of_rising_steps_with_its_settings_and_results(told, untrained, dataset, tmp_path):
    recommender = untrained("wandb").fit(dataset.leave_one_out(), folder=tmp_path / "movies")
    (_, run), *logged, (_, status, results) = told
    assert (run.name, run.step, run.tags["domain"]) == ("movies", 0, "movies")
    assert run.settings["training.epochs"] == 2
    assert run.settings["tasks.next_item.weight"] == 1.0
    log = recommender.state.training_log
    before, refit = logged[: len(log)], logged[len(log) :]
    assert [entry[1] for entry in before] == [entry["step"] for entry in log]
    assert [entry[2]["ndcg@10"] for entry in before] == [entry["ndcg@10"] for entry in log]
    assert refit
    assert all(set(values) <= {"refit/loss/next_item", "refit/learning_rate"} for _, _, values in refit)
    assert steps(told) == sorted(set(steps(told)))
    assert status == "finished"
    assert results["validation/best_ndcg@10"] == max(entry["ndcg@10"] for entry in log)
    assert {name: results[f"blend/{name}"] for name in recommender.state.blend.weights} == dict(
        recommender.state.blend.weights
    )
    assert results["seconds/llm"] > 0
    users = set(dataset.interactions.users)
    assert not users & {str(value) for value in run.settings.values() if isinstance(value, str)}


@pytest.mark.parametrize("stage", ["language model", "refit"])
def test_an_interrupted_training_continues_its_run_and_repeats_no_step(
    told, untrained, dataset, tmp_path, monkeypatch, stage
):
    save = FineTuner._save
    monkeypatch.setattr(FineTuner, "_save", lambda self, due_only=False: save(self))  # at every step
    whole = untrained("wandb").fit(dataset.leave_one_out(), folder=tmp_path / "whole")
    expected = steps(told)
    told.clear()
    share = 0.5 if stage == "language model" else 0.95
    with pytest.raises(KeyboardInterrupt):
        untrained("wandb").fit(dataset.leave_one_out(), folder=tmp_path / "cut", progress=interrupt_after(stage, share))
    assert told[-1] == ("finish", "killed", {})
    first = told[0][1]
    assert 0 < len(steps(told)) <= len(expected)
    again = untrained("wandb").fit(dataset.leave_one_out(), folder=tmp_path / "cut")
    starts = [entry[1] for entry in told if entry[0] == "start"]
    assert [run.id for run in starts] == [first.id, first.id]
    assert json.loads((tmp_path / "cut" / FILE).read_text())["step"] == expected[-1]
    assert steps(told) == expected
    assert told[-1][1] == "finished"
    assert again.state.blend.weights == whole.state.blend.weights


def test_a_training_that_begins_again_is_another_run(told, untrained, dataset, tmp_path):
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            untrained("wandb").fit(
                dataset.leave_one_out(), folder=tmp_path, progress=interrupt_after("language model", 0.1)
            )
    starts = [entry[1] for entry in told if entry[0] == "start"]
    assert len({run.id for run in starts}) == 2
    assert [run.step for run in starts] == [0, 0]


def test_a_failure_is_marked(told, untrained, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("genre_gen.training.recommender_training.fit_blends", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        untrained("wandb").fit(dataset.leave_one_out(), folder=tmp_path)
    assert told[-1] == ("finish", "failed", {})


def test_a_tracker_that_fails_is_dropped_and_the_training_continues(
    told, untrained, dataset, tmp_path, monkeypatch, caplog
):
    def unreachable(self, values, step):
        raise ConnectionError("no answer\nfrom the server")

    monkeypatch.setattr(Kept, "log", unreachable)
    recommender = untrained("wandb").fit(dataset.leave_one_out(), folder=tmp_path)
    assert recommender.state.blend.weights
    assert caplog.messages.count("training continues without Kept: no answer from the server") == 1
    assert [entry[0] for entry in told] == ["start"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_each_package_has_the_run_of_a_training(name, untrained, dataset, tmp_path, monkeypatch, with_tables):
    pytest.importorskip(name)
    for variable in ("WANDB_MODE", "WANDB_API_KEY", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)
    with_tables(name, tmp_path / "movies")
    recommender = untrained(name).fit(dataset.leave_one_out(), folder=tmp_path / "movies")
    (run,) = READERS[name](tmp_path / "movies")
    curve = run.curves["ndcg_at_10" if name == "mlflow" else "ndcg@10"]
    assert curve == [(entry["step"], pytest.approx(entry["ndcg@10"])) for entry in recommender.state.training_log]
    assert run.curves["refit/loss/next_item"][0][0] > curve[-1][0]
    assert run.results["blend/ease"] == pytest.approx(recommender.state.blend.weights["ease"])
    assert str(run.settings["training.epochs"]) == "2"
    assert run.status == "finished"


def test_without_a_folder_nothing_is_tracked(told, untrained, dataset):
    untrained("wandb").fit(dataset.leave_one_out())
    assert told == []
