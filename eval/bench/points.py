"""Points: sizes of data at which training is measured, each in processes of its own with limits of time and memory."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from eval.bench.cases import data_place
from eval.bench.law import Law
from eval.bench.results import write_text
from eval.bench.script import ROOT, say
from genre_gen.errors import DataError, UsageError

STAGES = Path(__file__).with_name("stages.py")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")
GLANCE = 0.05  # seconds between two looks at a process


@dataclass(frozen=True)
class Point:
    """A size of data.

    Attributes:
        items: size of the catalog.
        interactions: size of the log.
        length: mean length of a history.
        domain: a folder of ``eval/domains`` with real data, whose sizes are then not set here; "" for a made-up log.
    """

    items: int = 0
    interactions: int = 0
    length: int = 50
    domain: str = ""

    @property
    def name(self) -> str:
        """Return a name for files and tables, such as ``10k items, 1M interactions, 50 each``."""
        if self.domain:
            return self.domain
        return f"{short(self.items)} items, {short(self.interactions)} interactions, {self.length} each"

    def order(self, folder: Path) -> dict[str, Any]:
        """Return where the process finds the data; a made-up log is written into the folder if it is not there."""
        if self.domain:
            return {"domain": str(ROOT / "eval" / "domains" / self.domain), "data": data_place(self.domain)}
        if not (folder / "items.csv").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_log(self, folder)
        return {"data": str(folder)}


def write_log(point: Point, folder: Path) -> None:
    """Write a made-up log in a process of its own, so that its memory is given back; raises DataError if it fails."""
    process = multiprocessing.get_context("spawn").Process(target=draw_log, args=(point, folder))
    process.start()
    process.join()
    if process.exitcode:
        raise DataError(f"{folder}: the log of {point.name} could not be written")


def draw_log(point: Point, folder: Path) -> None:
    """Draw a made-up log and write its tables."""
    users = max(1, point.interactions // point.length)
    items, log = Law(point.items).frames(users, point.interactions)
    log.write_csv(folder / "interactions.csv")
    items.write_csv(folder / "items.csv")  # the last one, which tells that both are there


@dataclass(frozen=True)
class Limits:
    """Limits of one process: seconds and megabytes of resident memory."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Checkout:
    """A version of the project.

    Attributes:
        label: ``new`` or ``old``.
        path: root of the repository.
    """

    label: str
    path: Path

    @cached_property
    def commit(self) -> str:
        """Return the short name of its commit; "" outside git."""
        command = ["git", "-C", str(self.path), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def run(self, order: Mapping[str, Any], limits: Limits, threads: int, log: Path) -> dict[str, Any]:
        """Run a part of a measurement with this version's package; return the figures, and how it ended.

        The result has what ``stages.py`` told, ``ended`` (None if it finished, else the reason in words) and the
        ``stage`` in which it ended.
        """
        counts = dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"), str(threads)
        )
        environment = {**os.environ, **counts, "PYTHONPATH": str(self.path)}
        command = [sys.executable, "-P", str(STAGES), json.dumps(order)]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as errors:
            begin = time.monotonic()
            process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment, cwd=self.path)
            ended = _watch(process, begin, limits)
        figures = told(log.with_suffix(".out"))
        if ended is None and process.returncode:
            lines = log.with_suffix(".err").read_text("utf-8", "replace").strip().splitlines()
            ended = lines[-1][:200] if lines else f"exit code {process.returncode}"
        if not Path(figures.pop("package", self.path)).is_relative_to(self.path):
            raise UsageError(f"{self.path}: another checkout's package was imported; PYTHONPATH must come first")
        stage = figures.pop("open")
        return {
            **figures,
            "ended": ended,
            "stage": stage if ended else None,
            "total": round(time.monotonic() - begin, 2),
        }


def _watch(process: subprocess.Popen[bytes], begin: float, limits: Limits) -> str | None:
    """Wait for a process and end it at a limit; return which limit."""
    seen = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            used = seen.memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            used = 0.0
        late, large = time.monotonic() - begin > limits.seconds, used > limits.megabytes
        if late or large:
            process.kill()
            process.wait()
            return f"not within {limits.seconds:.0f} s" if late else f"not within {limits.megabytes / 1000:.0f} GB"
        time.sleep(GLANCE)
    return None


def told(file: Path) -> dict[str, Any]:
    """Return the figures of a process; ``open`` is the stage that began and did not end."""
    figures: dict[str, Any] = {"seconds": {}, "open": None}
    open_stages: list[str] = []
    for line in file.read_text("utf-8", "replace").splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue  # a line that was cut when the process ended
        if "begins" in told:
            open_stages.append(told["begins"])
            continue
        if seconds := told.pop("seconds", None):
            figures["seconds"].update(seconds)
            open_stages.pop()
        figures.update(told)
    figures["open"] = open_stages[-1] if open_stages else None
    return figures


class Runs:
    """Measured points, kept as JSON so that an interrupted run continues."""

    def __init__(self, folder: Path, limits: Limits, threads: int, steps: int, settings: Mapping[str, Any]) -> None:
        """Set the folder of results and what holds for all points."""
        self.folder, self.limits, self.threads, self.steps = folder, limits, threads, steps
        self.settings = dict(settings)

    def file(self, checkout: Checkout, point: Point) -> Path:
        """Return the file of a result."""
        return self.folder / f"{checkout.label}-{point.name.replace(', ', '-').replace(' ', '-')}.json"

    def kept(self, checkout: Checkout, point: Point) -> dict[str, Any] | None:
        """Return a result of the same commit and settings; one that ended at a limit counts only under that limit."""
        file = self.file(checkout, point)
        if not file.exists():
            return None
        result: dict[str, Any] = json.loads(file.read_text("utf-8"))
        same = result["about"] == self._about(checkout, point)
        return result if same and (result["ended"] is None or result["limits"] == asdict(self.limits)) else None

    def measure(self, checkout: Checkout, point: Point) -> dict[str, Any]:
        """Return the result of a point, measured now unless it is kept."""
        if kept := self.kept(checkout, point):
            return kept
        say(f"{checkout.label}: {point.name}")
        scratch = self.folder / "scratch" / checkout.label
        shutil.rmtree(scratch, ignore_errors=True)
        order = {**point.order(self.folder / "data" / point.name), "folder": str((scratch / "saved").resolve())}
        order |= {"steps": self.steps, "settings": self.settings}
        log = self.file(checkout, point).with_suffix("")
        result = checkout.run({"part": "train", **order}, self.limits, self.threads, log)
        if result["ended"] is None:
            result |= {"serving": checkout.run({"part": "answer", **order}, self.limits, self.threads, log)}
        shutil.rmtree(scratch, ignore_errors=True)
        result |= {"about": self._about(checkout, point), "limits": asdict(self.limits)}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.file(checkout, point), json.dumps(result, indent=1))
        return result

    def forget_data(self, point: Point) -> None:
        """Delete a made-up log."""
        shutil.rmtree(self.folder / "data" / point.name, ignore_errors=True)

    def _about(self, checkout: Checkout, point: Point) -> dict[str, Any]:
        about = {"commit": checkout.commit, "threads": self.threads, "steps": self.steps, "settings": self.settings}
        return json.loads(json.dumps({**about, "point": asdict(point)}, default=str))  # type: ignore[no-any-return]


def exponent(sizes: Sequence[float], values: Sequence[float | None], last: int = 3) -> tuple[float, int] | None:
    """Return how a quantity grows, as the exponent of the size, and the number of points it was fitted to.

    It is the slope of a least-squares line through the logarithms of the ``last`` largest sizes that have a value;
    smaller ones are left out, since constant costs hide the growth there. None with fewer than two values above 0.
    """
    pairs = sorted((size, value) for size, value in zip(sizes, values, strict=True) if value is not None and value > 0)
    x, y = np.log(np.array(pairs[-last:], np.float64).reshape(-1, 2)).T
    return None if len(set(x.tolist())) < 2 else (float(np.polyfit(x, y, 1)[0]), len(x))  # noqa: PLR2004 a line


def short(number: int) -> str:
    """Return a number as ``500``, ``10k`` or ``1M``."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size and number % (size // 10) == 0:
            return f"{number / size:g}{unit}"
    return str(number)
