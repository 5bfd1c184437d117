import importlib.util
import sys
from types import SimpleNamespace

import pytest
from tiny_training import tiny_tuner

from genre_gen.errors import ConfigError
from genre_gen.training.trackers import NoTracker, TensorBoard, make_tracker

VALUES = {"loss/next_item": 2.5, "ndcg@10": 0.5}


class Calls:
    """Stands for a module whose functions are called: notes them by name."""

    def __init__(self, **attributes):
        self.calls = []
        vars(self).update(attributes)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **options: self.calls.append((name, args, options)) or self

    def named(self, name):
        return [(args, options) for called, args, options in self.calls if called == name]


def test_wandb_logs_offline_unless_asked_for_its_server(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    ids = []
    for key, mode in ((None, "offline"), ("secret", "online")):
        wandb = Calls()
        monkeypatch.setitem(sys.modules, "wandb", wandb)
        if key:
            monkeypatch.setenv("WANDB_API_KEY", key)
        tracker = make_tracker("wandb", tmp_path / "movies")
        assert not wandb.calls  # nothing is begun before there is something to log
        tracker.log(VALUES, 3)
        tracker.log(VALUES, 4)
        tracker.close()
        ((_, begun),) = wandb.named("init")
        assert (begun["mode"], begun["name"], begun["resume"]) == (mode, "movies", "allow")
        ids.append(begun["id"])
        assert wandb.named("log") == [((VALUES,), {"step": 3}), ((VALUES,), {"step": 4})]
        assert wandb.calls[-1][0] == "finish"
    assert len(set(ids)) == 1  # a run that goes on goes on there


@pytest.mark.parametrize("elsewhere", [False, True])
def test_mlflow_logs_into_the_folder_unless_told_where(monkeypatch, tmp_path, elsewhere):
    mlflow = Calls()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if elsewhere:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://here")
    tracker = make_tracker("mlflow", tmp_path / "movies")
    tracker.log(VALUES, 3)
    tracker.close()
    uris = [] if elsewhere else [((f"sqlite:///{tmp_path}/movies/mlflow.db",), {})]
    assert mlflow.named("set_tracking_uri") == uris
    assert mlflow.named("log_metrics") == [(({"loss/next_item": 2.5, "ndcg_at_10": 0.5},), {"step": 3})]
    assert mlflow.calls[-1][0] == "end_run"


@pytest.mark.parametrize(
    ("name", "command"),
    [("tensorboard", "pip install 'genre-gen[track]'"), ("wandb", "pip install 'wandb'"), ("mlflow", "'mlflow'")],
)
def test_a_missing_package_is_told_with_what_installs_it(monkeypatch, tmp_path, name, command):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ConfigError, match=rf'tracker = "{name}" needs a package that is not installed: .*{command}'.replace("[", r"\[")
    ):
        make_tracker(name, tmp_path)


def test_auto_takes_tensorboard_where_it_is_installed(monkeypatch, tmp_path, caplog):
    caplog.set_level("INFO")
    for spec, kind in ((SimpleNamespace(), TensorBoard), (None, NoTracker)):
        monkeypatch.setattr(importlib.util, "find_spec", lambda _, spec=spec: spec)
        assert isinstance(make_tracker("auto", tmp_path), kind)
        assert ("pip install 'genre-gen[track]'" in caplog.text) == (spec is None)
    with pytest.raises(ConfigError, match="no tracker 'board', did you mean 'tensorboard'"):
        make_tracker("board", tmp_path)


def test_a_training_logs_every_validation(tiny_domain, sample, tmp_path, monkeypatch):
    tracker = Calls()
    monkeypatch.setattr("genre_gen.training.finetune.make_tracker", lambda name, folder: tracker)
    tuner = tiny_tuner(tiny_domain, sample, tmp_path, epochs=1, tracker="wandb", batch_tokens=1024)
    progress = tuner.run()
    ((values, step), options), *more = tracker.named("log")
    assert not more
    assert not options
    assert step == progress.step
    (entry,) = progress.log
    losses = {f"loss/{task}": loss for task, loss in entry["losses"].items()}
    assert values == {**losses, "learning_rate": entry["learning_rate"], "ndcg@10": entry["ndcg@10"]}
    assert tracker.calls[-1][0] == "close"


def test_tensorboard_writes_event_files(tmp_path):
    pytest.importorskip("tensorboard")
    tracker = make_tracker("tensorboard", tmp_path)
    assert not list(tmp_path.iterdir())
    tracker.log(VALUES, 1)
    tracker.close()
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert isinstance(make_tracker("tensorboard", None), NoTracker)
