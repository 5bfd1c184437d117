"""Trackers: where the figures of a training are written, besides the recommender's own log.

Each is a few lines behind one protocol. What a training tells them, and when, is in
:mod:`genre_gen.training.tracking`. Nothing that they write holds a user id or an interaction.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from genre_gen import registry
from genre_gen.extras import require

log = logging.getLogger(__name__)
_PROJECT = "genre-gen"

Status: TypeAlias = Literal["finished", "failed", "killed"]


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told when a run begins or continues.

    Attributes:
        id: the same when the run continues; usable as a file name.
        name: for people, the name of the folder.
        settings: all of the domain's, by key: ``training.epochs``.
        tags: such as ``domain`` and ``version``.
        step: the last step that was written; 0 if the run begins.
    """

    id: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    step: int = 0


class Tracker(Protocol):
    """Writes the figures of one run.

    Example:
        >>> class Printed:
        ...     def __init__(self, folder: Path) -> None: ...
        ...     def start(self, run: TrackedRun) -> None:
        ...         print("training", run.name)
        ...     def log(self, values: Mapping[str, float], step: int) -> None:
        ...         print(step, dict(values))
        ...     def finish(self, status: Status, metrics: Mapping[str, float]) -> None:
        ...         print(status, dict(metrics))
    """

    def start(self, run: TrackedRun) -> None:
        """Begin the run, or continue it; called once, before the other methods."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write figures by name, such as ``loss/next_item``, after so many steps; steps only rise."""

    def finish(self, status: Status, metrics: Mapping[str, float]) -> None:
        """End the run; ``metrics`` are its results, empty if it did not finish."""


class NoTracker:
    """Writes nothing."""

    def __init__(self, folder: Path | None = None) -> None:
        """Take a folder as the others do."""

    def start(self, run: TrackedRun) -> None:
        """Do nothing."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Do nothing."""

    def finish(self, status: Status, metrics: Mapping[str, float]) -> None:
        """Do nothing."""


class TensorBoard:
    """Writes event files into ``tensorboard/ID`` below the folder."""

    def __init__(self, folder: Path) -> None:
        """Raises MissingPackageError if TensorBoard is not installed."""
        _require("tensorboard", "track")
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def start(self, run: TrackedRun) -> None:
        """Open an event file; what a killed run wrote after its last known step is hidden."""
        from torch.utils.tensorboard import SummaryWriter

        self._run = run
        purge_step = run.step + 1 if run.step else None
        self._writer = SummaryWriter(str(self._folder / run.id), purge_step=purge_step)
        self._writer.add_text("settings", _markdown(run.settings), run.step)
        self._writer.add_text("tags", _markdown(run.tags), run.step)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self, status: Status, metrics: Mapping[str, float]) -> None:
        """Write the status, and the settings with the results for the page of hyper-parameters."""
        self._writer.add_text("status", status)
        if metrics:
            settings = {name: _plain(value) for name, value in self._run.settings.items()}
            self._writer.add_hparams(settings, dict(metrics), run_name=".")
        self._writer.close()


class WandB:
    """Logs to Weights & Biases: into the folder, unless ``WANDB_MODE`` or ``WANDB_API_KEY`` ask for its server.

    ``wandb sync`` uploads what was logged offline. Neither the machine, its user, the command nor the code is recorded,
    and crashes are not reported to the service.
    """

    def __init__(self, folder: Path) -> None:
        """Raises MissingPackageError if wandb is not installed."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when it is imported
        self._wandb = _require("wandb", "wandb")
        self._folder = folder
        self._run: Any = None

    def start(self, run: TrackedRun) -> None:
        """Begin the run, or continue the one with this id."""
        self._folder.mkdir(parents=True, exist_ok=True)
        mode = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        private = {name: True for name in _WANDB_PRIVATE if name in self._wandb.Settings.model_fields}
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=run.name,
            dir=str(self._folder),
            id=run.id,
            resume=None if mode == "offline" else "allow",  # offline, the id alone joins the parts of a run
            mode=mode,
            config=dict(run.settings),
            tags=[f"{name}:{value}" for name, value in run.tags.items()],
            settings=self._wandb.Settings(silent=True, console="off", **private),
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log figures."""
        self._run.log(dict(values), step=step)

    def finish(self, status: Status, metrics: Mapping[str, float]) -> None:
        """Write the results into the summary and end the run; an exit code other than 0 marks it as failed."""
        self._run.summary.update({"status": status, **metrics})
        self._run.finish(exit_code={"finished": 0, "failed": 1, "killed": 130}[status])


_WANDB_PRIVATE = ("disable_git", "disable_code", "x_disable_meta", "x_disable_stats", "x_disable_machine_info")


class MLflow:
    """Logs to MLflow: into ``mlflow.db`` in the folder, or where ``MLFLOW_TRACKING_URI`` says.

    MLflow's own usage statistics are off unless ``MLFLOW_DISABLE_TELEMETRY`` says otherwise, and neither the user nor
    the command is recorded.
    """

    def __init__(self, folder: Path) -> None:
        """Raises MissingPackageError if mlflow is not installed."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
        _require("mlflow", "mlflow")
        self._folder = folder
        self._client: Any = None

    def start(self, run: TrackedRun) -> None:
        """Begin the run, or continue the one with this id as a tag."""
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)  # they tell of every table that they create
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{(self._folder / 'mlflow.db').resolve().as_posix()}"
        self._client = MlflowClient(tracking_uri=uri)  # with no global run, which other code may have open
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT))
        earlier = self._client.search_runs([experiment], f"tags.genre_run = '{run.id}'")
        if earlier:
            self._id = earlier[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            tags = {"genre_run": run.id, **run.tags}
            self._id = self._client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
        self._write_settings(run.settings, earlier[0].data.params if earlier else {})

    def _experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        own = "MLFLOW_TRACKING_URI" not in os.environ
        return str(self._client.create_experiment(name, (self._folder / "mlruns").resolve().as_uri() if own else None))

    def _write_settings(self, settings: Mapping[str, Any], before: Mapping[str, str]) -> None:
        """Write parameters. MLflow never changes one, so a value that differs when a run continues becomes a tag."""
        from mlflow.entities import Param

        values = {_mlflow_name(name): str(_plain(value))[:_MLFLOW_LENGTH] for name, value in settings.items()}
        new = [Param(name, value) for name, value in values.items() if name not in before]
        for begin in range(0, len(new), _MLFLOW_BATCH):
            self._client.log_batch(self._id, params=new[begin : begin + _MLFLOW_BATCH])
        for name, value in values.items():
            if before.get(name, value) != value:
                self._client.set_tag(self._id, f"resumed_with.{name}", value)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log figures; MLflow allows no "@" in their names."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_mlflow_name(name), float(value), now, step) for name, value in values.items()]
        self._step = step
        self._client.log_batch(self._id, metrics=metrics)

    def finish(self, status: Status, metrics: Mapping[str, float]) -> None:
        """Write the results and end the run."""
        if metrics:
            self.log(metrics, getattr(self, "_step", 0))
        self._client.set_terminated(self._id, status.upper())


def _mlflow_name(name: str) -> str:
    """Return a name that MLflow takes; labels and names of rules in settings may have any characters."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))[:250]


_MLFLOW_BATCH, _MLFLOW_LENGTH = 100, 500  # parameters in a call, characters in a value, that every server takes

TRACKERS: dict[str, Callable[[Path], Tracker]] = {
    "none": NoTracker,
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}


def make_tracker(name: str, folder: Path | None) -> Tracker:
    """Return the tracker of a run; ``auto`` is TensorBoard where it is installed; without a folder nothing is written.

    Raises:
        ConfigError: no such tracker.
        MissingPackageError: its package is not installed.
    """
    return NoTracker() if folder is None else registry.TRACKERS[tracker_name(name)](folder)


def tracker_name(name: str) -> str:
    """Return which tracker a setting means."""
    if name != registry.AUTO:
        return name
    if importlib.util.find_spec("tensorboard"):
        return "tensorboard"
    log.info("training curves are not written; for TensorBoard: pip install 'genre-gen[track]'")
    return "none"


def _require(module: str, extra: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of releases that are older than the packages that they import
        return require(module, extra, f'runs of training.tracker = "{module}"')


def _plain(value: Any) -> str | int | float | bool:
    """Return a setting as trackers take them."""
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _markdown(values: Mapping[str, Any]) -> str:
    lines = (f"| {name} | {str(value).replace('|', ' ')} |" for name, value in values.items())
    return "\n".join(["| | |", "|---|---|", *lines])
