"""Jobs: a model with a seed, run in a process of its own, with stored results.

A result is valid only for its data and settings, which its fingerprint identifies.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.bench.cases import FORMAT, Bench, digest, training_inputs
from eval.bench.peers import PEERS
from eval.bench.results import public, write_text
from eval.bench.script import ROOT, say
from genre_gen.errors import GenreGenError, UsageError
from genre_gen.evaluation.report import Report, Result

OUR_MODEL = "genre"
TUNE, TRAIN, SCORE, MEMORY = "tune s", "train s", "score s", "peak MB"


@dataclass(frozen=True)
class Job:
    """One model and one seed.

    Attributes:
        model: a name of ``PEERS``, or ``genre``.
        seed: seed, from 0.
        minutes: limit of tuning and training, for models that support one.
        changes: changed settings of ours.
        label: suffix of our name for changed settings.
    """

    model: str
    seed: int
    minutes: float | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """Return the name of the run's folder."""
        label = f"-{self.label}" if self.label else ""
        return f"{self.model}{label}-{self.seed}"

    def folder(self, bench: Bench) -> Path:
        """Return the folder of the run's files."""
        return bench.runs / self.name

    def settings(self) -> dict[str, Any]:
        """Return the changed settings of ours, including the limit of minutes."""
        limit = {} if self.minutes is None else {"training.max_minutes": self.minutes}
        return {**limit, **self.changes}

    def public_settings(self) -> dict[str, Any]:
        """Return the changed settings as they may be published."""
        return {name: public(value) for name, value in self.settings().items()}

    def fingerprint(self, bench: Bench) -> str:
        """Return a digest of all inputs of the result, except for the code."""
        peer = PEERS.get(self.model)
        if peer is None:
            domain = bench.domain.changed(dict(self.changes))
            inputs: list[Any] = [self.minutes, dict(self.changes), training_inputs(domain, bench.catalog)]
            if self.seed and self.refits_from_scratch(bench):
                inputs.append(self.first(bench)["notes"].get("tuned"))
        else:
            inputs = [peer.grid(), self.minutes if peer.early else None]
            inputs.append(self.first(bench)["settings"] if self.seed else None)
            inputs += [bench.catalog.fingerprint()] if peer.content_based else []
        return digest([bench.fingerprint, self.model, self.seed, inputs])

    def refits_from_scratch(self, bench: Bench) -> bool:
        """Tell whether our model is trained again on training and validation part, with an earlier one's settings."""
        return bench.domain.changed(dict(self.changes)).training.refit == "from_scratch"

    def first(self, bench: Bench) -> dict[str, Any]:
        """Return the result of the first seed, whose settings the others use; raises UsageError if it is missing."""
        result = result_of(bench, replace(self, seed=0))
        if result is None:
            raise UsageError(
                f"{self.name}: seed 0, which chooses the settings, has no result of these data and settings"
            )
        return result


@dataclass
class Outcome:
    """The outcome of a run, before it is written.

    Attributes:
        settings: the chosen settings, JSON values.
        report: the ranks of the test cases; its names are the rows.
        validation: each validation case's rank with the chosen settings, if this run chose them.
        costs: costs per row.
        notes: further JSON values.
    """

    settings: dict[str, Any]
    report: Report
    validation: dict[str, NDArray[np.float64]]
    costs: dict[str, dict[str, float]]
    notes: dict[str, Any] = field(default_factory=dict)


class SeededResult(Result):
    """A model's ranks under several seeds, float64 ``[seeds, n_users]``; a user's figure is the mean over seeds."""

    def values(self, metric: str) -> NDArray[np.float64]:
        """Return each user's figure, the mean over seeds: float64 ``[n_users]``."""
        return np.asarray(super().values(metric).mean(axis=0))


def write_result(bench: Bench, job: Job, outcome: Outcome) -> None:
    """Write ranks and then the result, each atomically, so that a result is always complete."""
    folder = job.folder(bench)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {}
    for number, result in enumerate(outcome.report.results):
        arrays[f"test_{number}"] = result.ranks.astype(np.float32)
        if result.name in outcome.validation:
            arrays[f"validation_{number}"] = outcome.validation[result.name].astype(np.float32)
    content = {
        "format": FORMAT,
        "fingerprint": job.fingerprint(bench),
        "job": asdict(job),
        "settings": outcome.settings,
        "rows": [result.name for result in outcome.report.results],
        "lists": [dict(result.lists) for result in outcome.report.results],
        "costs": [outcome.costs[result.name] for result in outcome.report.results],
        "notes": outcome.notes,
    }
    (folder / "result.json").unlink(missing_ok=True)
    with (folder / "ranks.tmp").open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    os.replace(folder / "ranks.tmp", folder / "ranks.npz")
    write_text(folder / "result.json", json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return a run's result with its arrays under ``ranks``, or None if it is missing or unreadable."""
    try:
        content: dict[str, Any] = json.loads((folder / "result.json").read_text("utf-8"))
        with np.load(folder / "ranks.npz", allow_pickle=False) as arrays:
            content["ranks"] = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return content if content.get("format") == FORMAT else None


def result_of(bench: Bench, job: Job) -> dict[str, Any] | None:
    """Return the job's result, or None if it has none for the present data and settings."""
    result = read_result(job.folder(bench))
    return result if result is not None and result["fingerprint"] == job.fingerprint(bench) else None


def current_results(bench: Bench, wanted: Sequence[Job]) -> Iterator[dict[str, Any]]:
    """Yield the results in the bench's folder for the present data and settings, and report the others.

    A result is compared with the wanted job of its name, or else with its own job.
    """
    asked = {job.name: job for job in wanted}
    for folder in sorted(bench.runs.glob("*/")):
        result = read_result(folder)
        if result is None:
            continue
        job = asked.get(folder.name) or Job(**result["job"])
        try:
            same = result["fingerprint"] == job.fingerprint(bench)
        except GenreGenError:  # unknown settings, or no first seed
            same = False
        if same:
            yield result
        else:
            say(f"{folder.name}: left out, its result is of other data or settings")


def run_all(bench: Bench, jobs: Sequence[Job]) -> list[str]:
    """Run the jobs that have no result yet, one after the other; returns the names of those that failed."""
    failed = []
    for job in jobs:
        try:
            if result_of(bench, job):
                say(f"{job.name}: done before")
                continue
            begin = time.perf_counter()
            run_one(bench, job)
            say(f"{job.name}: done in {time.perf_counter() - begin:,.0f} s")
        except GenreGenError as problem:
            failed.append(job.name)
            say(f"{job.name}: failed: {problem}")
    return failed


def run_one(bench: Bench, job: Job) -> None:
    """Run a job in a process of its own; raises UsageError with the last line of its log if it fails."""
    folder = job.folder(bench)
    folder.mkdir(parents=True, exist_ok=True)
    opened = [bench.source, bench.split_name, str(bench.runs.parent), bench.users]
    command = [sys.executable, "-m", "eval.bench.worker", json.dumps([opened, asdict(job)])]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with (folder / "log.txt").open("w", encoding="utf-8") as file:
        environment = {**os.environ, "PYTHONPATH": path}
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False, env=environment).returncode
    if code:
        lines = (folder / "log.txt").read_text("utf-8", errors="replace").strip().splitlines()
        last = lines[-1].removeprefix("error: ") if lines else "no output"
        raise UsageError(f"{last} (exit code {code}; see its log.txt)")
