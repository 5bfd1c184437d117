"""StageResults: what finished stages of a training made, kept in its folder until the training is complete.

A training that was killed takes them up again, and knows how much of its budget was spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from genre_gen.collaborative import MEMBERS, RATERS
from genre_gen.errors import CheckpointError
from genre_gen.folders.checkpoints import CHECKPOINT, KIND, REFIT, SOFT_TARGETS, about_training
from genre_gen.folders.checkpoints import MEMBERS as MEMBERS_FOLDER
from genre_gen.folders.reading import open_folder
from genre_gen.folders.writing import write_folder, write_json
from genre_gen.training.distillation import SoftTargets
from genre_gen.training.members import Fitted

_PARTS = (CHECKPOINT, REFIT, MEMBERS_FOLDER, SOFT_TARGETS)


class StageResults:
    """The results of stages in the folder of a training; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        """Look into a folder; results with another fingerprint belong to another training and are made again."""
        self.folder, self.fingerprint = folder, fingerprint

    def spent(self) -> float:
        """Return the seconds that earlier runs of the same training have spent, as far as they were kept."""
        spent = [0.0]
        for name in _PARTS:
            about = self._about(name)
            if about.get("training") == self.fingerprint and isinstance(about.get("spent"), (int, float)):
                spent.append(float(about["spent"]))
        return max(spent)

    def about(self, spent: float) -> dict[str, Any]:
        """Return what the manifest of a checkpoint says of the training it belongs to."""
        return {"training": self.fingerprint, "spent": round(spent, 3)}

    def keep_members(self, fitted: Fitted, spent: float) -> None:
        """Keep fitted models."""

        def fill(folder: Path) -> None:
            about: dict[str, Any] = {"members": {}, "raters": {}}
            for name, model in fitted.models.items():
                if fitted.raters.get(name) is not model:
                    _save(model.arrays(), folder / f"{name}.safetensors")
                    about["members"][name] = model.settings()
                else:
                    about["members"][name] = None
            for name, rater in fitted.raters.items():
                _save(rater.arrays(), folder / f"{name}.ratings.safetensors")
                about["raters"][name] = rater.settings()
            figures = {name: getattr(fitted, name) for name in ("options", "seconds", "once", "left_out")}
            write_json(folder / "members.json", about | figures)

        self._write(MEMBERS_FOLDER, fill, spent)

    def members(self) -> Fitted | None:
        """Return the kept models; None if there are none of this training."""
        with suppress(CheckpointError):
            folder = self._place(MEMBERS_FOLDER)
            if folder is None:
                return None
            with open_folder(folder, KIND) as saved:
                about = saved.json("members.json")
                figures = {name: about[name] for name in ("options", "seconds", "once", "left_out")}
                fitted = Fitted(**figures)
                for name, settings in about["raters"].items():
                    fitted.raters[name] = RATERS[name].from_arrays(
                        saved.arrays(f"{name}.ratings.safetensors"), settings
                    )
                for name, settings in about["members"].items():
                    fitted.models[name] = (
                        fitted.raters[name]
                        if settings is None
                        else MEMBERS[name].from_arrays(saved.arrays(f"{name}.safetensors"), settings)
                    )
            return fitted
        return None

    def keep_soft_targets(self, targets: SoftTargets, spent: float) -> None:
        """Keep soft targets."""

        def fill(folder: Path) -> None:
            _save({"rows": targets.rows, "shares": targets.shares}, folder / "soft_targets.safetensors")
            write_json(folder / "soft_targets.json", {"users": targets.users})

        self._write(SOFT_TARGETS, fill, spent)

    def soft_targets(self) -> SoftTargets | None:
        """Return the kept soft targets; None if there are none of this training."""
        with suppress(CheckpointError):
            folder = self._place(SOFT_TARGETS)
            if folder is None:
                return None
            with open_folder(folder, KIND) as saved:
                arrays = saved.arrays("soft_targets.safetensors")
                return SoftTargets(arrays["rows"], arrays["shares"], saved.json("soft_targets.json")["users"])
        return None

    def _place(self, name: str) -> Path | None:
        """Return a folder with a result of this training; None without one."""
        if self.folder is None or self._about(name).get("training") != self.fingerprint:
            return None
        return self.folder / name

    def _about(self, name: str) -> Mapping[str, Any]:
        manifest = None if self.folder is None else about_training(self.folder, name)
        return {} if manifest is None else manifest.about

    def _write(self, name: str, fill: Any, spent: float) -> None:
        if self.folder is not None:
            write_folder(self.folder / name, fill, KIND, self.about(spent))


def _save(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)
