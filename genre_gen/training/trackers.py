"""Trackers: where the losses and validations of a training are written, besides the recommender's own log."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from genre_gen import registry
from genre_gen.errors import ConfigError

log = logging.getLogger(__name__)
_PROJECT = "genre-gen"


class Tracker(Protocol):
    """Writes figures of a training."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write figures by name, such as ``loss/next_item``, after so many steps."""

    def close(self) -> None:
        """Finish writing."""


class NoTracker:
    """Writes nothing."""

    def __init__(self, folder: Path | None = None) -> None:
        """Take a folder as the others do."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TensorBoard:
    """Writes event files into ``tensorboard`` below the folder."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError where TensorBoard is not installed."""
        _require("tensorboard", "genre-gen[track]")
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write figures."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder))
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


class WandB:
    """Logs to Weights & Biases: into the folder, unless ``WANDB_MODE`` or ``WANDB_API_KEY`` ask for its server.

    A run that goes on from a checkpoint goes on there too; ``wandb sync`` uploads what was logged offline.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError where wandb is not installed."""
        self._wandb = _require("wandb", "wandb")
        self._folder = folder
        self._run: Any = None

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log figures."""
        if self._run is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._run = self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", _PROJECT),
                name=self._folder.name,
                dir=str(self._folder),
                id=hashlib.sha256(str(self._folder.resolve()).encode()).hexdigest()[:16],
                resume="allow",
                mode=os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline"),
            )
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()


class MLflow:
    """Logs to MLflow: into ``mlflow.db`` in the folder, or where ``MLFLOW_TRACKING_URI`` says."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError where mlflow is not installed."""
        self._mlflow = _require("mlflow", "mlflow")
        self._folder, self._begun = folder, False

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log figures; MLflow allows no "@" in their names."""
        if not self._begun:
            self._folder.mkdir(parents=True, exist_ok=True)
            if "MLFLOW_TRACKING_URI" not in os.environ:
                self._mlflow.set_tracking_uri(f"sqlite:///{self._folder.resolve() / 'mlflow.db'}")
            self._mlflow.set_experiment(_PROJECT)
            self._mlflow.start_run(run_name=self._folder.name)
            self._begun = True
        self._mlflow.log_metrics({name.replace("@", "_at_"): value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """End the run."""
        if self._begun:
            self._mlflow.end_run()


TRACKERS: dict[str, Callable[[Path], Tracker]] = {
    "none": NoTracker,
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}


def make_tracker(name: str, folder: Path | None) -> Tracker:
    """Return the tracker of a run; ``auto`` is TensorBoard where it is installed; without a folder nothing is written.

    Raises:
        ConfigError: no such tracker, or its package is missing.
    """
    if name == "auto":
        name = "tensorboard" if importlib.util.find_spec("tensorboard") else "none"
        if name == "none" and folder is not None:
            log.info("training curves are not written; for TensorBoard: pip install 'genre-gen[track]'")
    return NoTracker() if folder is None else registry.TRACKERS[name](folder)


def _require(module: str, package: str) -> Any:
    """Return a module; raises ConfigError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ConfigError(
            f"training.tracker = \"{module}\" needs a package that is not installed: pip install '{package}'"
        ) from None
