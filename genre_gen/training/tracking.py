"""Tracking: one run of a tracker for one training of a recommender, over its parts and interruptions."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from genre_gen.domain import Domain
from genre_gen.folders.writing import write_json
from genre_gen.recommender.state import RecommenderState
from genre_gen.training.trackers import NoTracker, Status, TrackedRun, Tracker, make_tracker, tracker_name

if TYPE_CHECKING:
    from genre_gen.training.finetune import FineTuner

log = logging.getLogger(__name__)
FILE = "tracking.json"
"""In the folder of a training: which run of which tracker it is, and the last step that was written."""


class Tracking:
    """Writes one training to a tracker; a context manager, which also writes how the training ended.

    A training that continues from a checkpoint continues the same run, and each step is written once. A tracker that
    fails, for instance because its server is unreachable, is dropped with a warning; the training continues.

    Example:
        >>> with Tracking(domain, folder) as tracking:
        ...     train_llm(llm, book, data, validation, folder, on_step=tracking.follow)
        ...     tracking.results = {"validation/ndcg@10": 0.1}
    """

    def __init__(self, domain: Domain, folder: Path | None) -> None:
        """Prepare; nothing is written before the language model's training begins.

        Raises:
            ConfigError: no such tracker.
            MissingPackageError: its package is not installed.
        """
        self.results: Mapping[str, float] = {}
        self._domain, self._folder = domain, folder
        self._tracker: Tracker = make_tracker(domain.training.tracker, folder)
        self._run: TrackedRun | None = None
        self._step = self._before_refit = 0

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write how it ended."""
        if self._run is None:
            return
        status: Status = "finished" if error is None else "failed" if isinstance(error, Exception) else "killed"
        self._tell(self._tracker.finish, status, self.results if status == "finished" else {})

    def follow(self, tuner: FineTuner) -> None:
        """Write what is new in the log of a part of the training; called after every step.

        Steps of a refit count on after those before it, and its figures have names of their own: ``refit/loss/...``.
        """
        if self._folder is None:
            return
        if self._run is None:
            self._start(tuner.resumed)
        if not tuner.refit:
            self._before_refit = tuner.progress.step
        offset = self._before_refit if tuner.refit else 0
        for entry in tuner.progress.log:
            if offset + entry["step"] > self._step:
                self._step = offset + entry["step"]
                prefix = "refit/" if tuner.refit else ""
                self._tell(self._tracker.log, {prefix + name: value for name, value in _figures(entry)}, self._step)
                self._keep()

    def _start(self, resumed: bool) -> None:
        folder = self._folder or Path()
        kept: Mapping[str, Any] = {}
        if resumed:
            with suppress(OSError, ValueError):
                kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if (
            not isinstance(kept, dict)
            or not isinstance(kept.get("step"), int)
            or kept.get("tracker") != tracker_name(self._domain.training.tracker)
        ):
            kept = {"run": f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}", "step": 0}
        self._step = kept["step"]
        name = folder.resolve().name
        self._run = TrackedRun(kept["run"], name, dict(flattened(self._domain.settings())), self._tags(), self._step)
        self._tell(self._tracker.start, self._run)
        self._keep()

    def _tags(self) -> dict[str, str]:
        from genre_gen import __version__

        return {"domain": self._domain.name, "version": __version__}

    def _keep(self) -> None:
        if self._folder is None or self._run is None or isinstance(self._tracker, NoTracker):
            return
        tracker = tracker_name(self._domain.training.tracker)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._folder / FILE, {"tracker": tracker, "run": self._run.id, "step": self._step})

    def _tell(self, method: Callable[..., None], *arguments: Any) -> None:
        try:
            method(*arguments)
        except Exception as problem:  # it is another package's, maybe with a server behind it
            reason = " ".join(str(problem).split()) or type(problem).__name__
            log.warning("training continues without %s: %s", type(self._tracker).__name__, reason)
            self._tracker = NoTracker()


def final_results(state: RecommenderState) -> dict[str, float]:
    """Return what a training came to: the best validation, the blend's weights, seconds by part."""
    judged = [entry["ndcg@10"] for entry in state.training_log if "ndcg@10" in entry]
    epochs = state.tuned.epochs
    return {
        **({"validation/best_ndcg@10": float(max(judged))} if judged else {}),
        **({} if epochs is None else {"validation/best_epoch": float(epochs)}),
        **{f"blend/{name}": float(weight) for name, weight in state.blend.weights.items()},
        **{f"seconds/{name}": float(seconds) for name, seconds in state.seconds.items()},
    }


def flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of all sections by key, as ``training.epochs``."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _figures(entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    yield from ((f"loss/{task}", loss) for task, loss in entry["losses"].items())
    yield from ((name, entry[name]) for name in ("learning_rate", "ndcg@10") if name in entry)
