"""Checkpoints of a training whose result is saved: their weights and optimizers are dropped, their progress is kept."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from genre_gen.errors import CheckpointError
from genre_gen.folders.manifest import Manifest
from genre_gen.folders.reading import open_folder
from genre_gen.folders.writing import manifest_of, recover_folder, remove_folder, write_folder, write_json

log = logging.getLogger(__name__)
KIND = "checkpoint"
CHECKPOINT, REFIT = "checkpoint", "refit/checkpoint"
"""The checkpoints of the language model's first training and of its refit, in the folder of a training."""

MEMBERS, SOFT_TARGETS = "stage_members", "stage_soft_targets"
"""What other stages made."""

PROGRESS = "progress.json"


def about_training(folder: Path, name: str) -> Manifest | None:
    """Return the manifest of a part of a training; None if there is none, or an unusable one."""
    with suppress(CheckpointError):
        recover_folder(folder / name)
        return manifest_of(folder / name)
    return None


def drop_checkpoints(folder: Path, training: str) -> None:
    """Drop the weights, optimizers and stages of a training with a fingerprint, whose result was saved.

    Parts of other trainings remain. A failure is logged: the result is safe.
    """
    try:
        for name in (MEMBERS, SOFT_TARGETS, CHECKPOINT, REFIT):
            manifest = about_training(folder, name)
            if manifest is None or manifest.kind != KIND or manifest.about.get("training") != training:
                continue
            if PROGRESS in manifest.files:
                _keep_progress(folder / name, manifest)
            else:
                remove_folder(folder / name)
    except (CheckpointError, OSError) as problem:
        log.warning("the checkpoints of %s are kept: %s", folder, problem)


def _keep_progress(folder: Path, manifest: Manifest) -> None:
    with open_folder(folder, KIND) as saved:
        progress = saved.json(PROGRESS)
    if len(manifest.files) > 1:
        write_folder(folder, lambda target: write_json(target / PROGRESS, progress), KIND, manifest.about)
