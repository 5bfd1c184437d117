"""Stages: the process of one measurement of training, its time by stage or its time under a budget.

It is run as a file, with the package of any version on PYTHONPATH, so it uses nothing else of ``eval``. The functions
of a stage are found by name and wrapped; those that a version lacks are left out, and their time counts as the rest.
Every figure is printed when it is known, one JSON object a line, so that a process that is ended has told what it did.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

TRAINING, LLM, TUNER = (
    f"genre_gen.training.{module}" for module in ("recommender_training", "llm_training", "finetune:FineTuner")
)
STAGES = {
    "genre_gen.training.members:tune": "tuning",
    f"{TRAINING}:tune": "tuning",  # until its members had a module of their own
    f"{LLM}:choose_teacher": "teacher",
    f"{LLM}:build_llm": "language model, building",
    f"{LLM}:make_finetuner": "language model, examples",
    "genre_gen.llm.task_mixture:TaskMixture.epoch": "language model, examples",
    f"{TUNER}._ask_teacher": "soft targets",
    f"{TUNER}._step": "language model, steps",
    f"{TRAINING}:RecommenderTraining._tune_blends": "blend weights",
}
"""Functions, as module and attribute, and the stage that their time belongs to."""
WHOLE = ("soft targets", "teacher", "blend weights")  # stages whose inner stages are not told apart
REQUESTS = 30
WARM = 3  # steps that are not timed


class Clock:
    """The time of stages, each without that of the stages inside it."""

    def __init__(self) -> None:
        """Start without stages."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        if any(outer in WHOLE for outer in self._open):
            yield
            return
        self._add()
        self._open.append(name)
        tell(begins=name)
        try:
            yield
        finally:
            self._add()
            self._open.pop()
            tell(seconds={name: self.seconds[name]}, megabytes=peak_megabytes())

    def _add(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return the function with every call timed as a stage."""

        def call(*arguments: Any, **options: Any) -> Any:
            with self.stage(name):
                return function(*arguments, **options)

        return call


def tell(**figures: Any) -> None:
    """Print figures as a line of JSON."""
    print(json.dumps(figures), flush=True)


def main() -> None:
    """Do the part of a point that the command line describes."""
    order = json.loads(sys.argv[1])
    {"train": train, "answer": answer, "budget": budget, "reading": reading}[order["part"]](order)


def train(order: Mapping[str, Any]) -> None:
    """Read, train a few steps, and save; tell seconds, the peak of memory and the size of the folder."""
    import genre_gen
    from genre_gen.recommender.recommender import Recommender

    tell(package=genre_gen.__file__)
    clock = Clock()
    with clock.stage("reading"):
        data = read(order)
    with clock.stage("splitting"):
        split = data.leave_one_out()
    tell(items=len(data.catalog), users=len(data.interactions.users), interactions=len(data.interactions))
    fixed = {"training.max_minutes": None, "training.refit": "none", "training.tracker": "none"}
    recommender = Recommender(data.domain.changed({**fixed, **order["settings"]}))
    steps: list[float] = []
    with watched(clock, steps, order["steps"]), clock.stage("rest of training"):
        recommender.fit(split)
    if timed := sorted(steps[min(WARM, len(steps) // 2) :]):
        tell(step=timed[len(timed) // 2])
    folder = Path(order["folder"])
    with clock.stage("saving"):
        recommender.save_pretrained(folder)
    tell(folder=sizes(folder))


def reading(order: Mapping[str, Any]) -> None:
    """Read; tell processor seconds without those of imports, and the peak of memory."""
    import genre_gen
    from genre_gen.data.dataset import Dataset  # noqa: F401 - imports are not timed

    tell(package=genre_gen.__file__)
    begin = time.process_time()
    data = read(order)
    tell(processor=time.process_time() - begin, megabytes=peak_megabytes())
    tell(items=len(data.catalog), users=len(data.interactions.users), interactions=len(data.interactions))


def read(order: Mapping[str, Any]) -> Any:
    """Return the data of tables or of a domain."""
    from genre_gen.data.dataset import Dataset

    if "domain" in order:
        return Dataset.load(order["domain"], order["data"])
    folder = Path(order["data"])
    return Dataset.from_tables(folder / "items.csv", folder / "interactions.csv", name="made-up", noun="item")


@contextmanager
def watched(clock: Clock, steps: list[float], limit: int) -> Iterator[None]:
    """Within the block, time ``STAGES`` and every member's ``fit``, and end the model's training after ``limit`` steps.

    Args:
        clock: it gets the times of stages.
        steps: it gets the seconds of each step.
        limit: number of steps.
    """
    from genre_gen.registry import MEMBERS
    from genre_gen.training.finetune import FineTuner

    def timed_step(tuner: Any, batch: Any) -> None:
        begin = time.perf_counter()
        step(tuner, batch)
        steps.append(time.perf_counter() - begin)

    def short_run(tuner: Any, on_step: Callable[[Any], None] | None = None, *rest: Any, **options: Any) -> Any:
        def ending(tuner: Any) -> None:
            tuner.progress.finished = tuner.progress.finished or len(steps) >= limit
            if on_step is not None:
                on_step(tuner)

        return run(tuner, ending, *rest, **options)

    with ExitStack() as changes:
        for path, name in STAGES.items():
            with suppress(ImportError, AttributeError):
                owner, attribute = found(path)
                changes.enter_context(replaced(owner, attribute, clock.timed(getattr(owner, attribute), name)))
        for name, member in MEMBERS.built_in().items():
            way = "fit_sharing" if "fit_sharing" in vars(member) else "fit"
            changes.enter_context(replaced(member, way, clock.timed(getattr(member, way), f"member {name}")))
        step, run = FineTuner._step, FineTuner.run
        changes.enter_context(replaced(FineTuner, "_step", timed_step))
        changes.enter_context(replaced(FineTuner, "run", short_run))
        yield


@contextmanager
def replaced(owner: Any, attribute: str, function: Any) -> Iterator[None]:
    """Replace a function of a module or a class within the block."""
    own, before = attribute in vars(owner), getattr(owner, attribute)
    setattr(owner, attribute, function)
    try:
        yield
    finally:
        if own:
            setattr(owner, attribute, before)
        else:
            delattr(owner, attribute)


def found(path: str) -> tuple[Any, str]:
    """Return the module or class of a path of ``STAGES``, and the attribute; raises AttributeError."""
    module, _, attributes = path.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = attributes.split(".")
    for name in outer:
        owner = getattr(owner, name)
    getattr(owner, last)
    return owner, last


def sizes(folder: Path) -> dict[str, float]:
    """Return the megabytes of each part of a saved recommender; small files together are "other"."""
    parts: dict[str, float] = defaultdict(float)
    for file in folder.rglob("*"):
        if file.is_file():
            size, path = file.stat().st_size / 1e6, file.relative_to(folder)
            parts[path.with_suffix("").as_posix() if size >= 0.05 else "other"] += size  # noqa: PLR2004
    return dict(parts)


def answer(order: Mapping[str, Any]) -> None:
    """Load a saved recommender and answer requests; tell seconds of both, and the memory."""
    begin, used = time.perf_counter(), time.process_time()
    from genre_gen.recommender.recommender import Recommender

    recommender = Recommender.from_pretrained(order["folder"])
    loaded = time.perf_counter()
    users = recommender.state.histories.users[:REQUESTS]
    recommender.recommend(users[0])
    tell(load=loaded - begin, first=time.perf_counter() - begin, processor=time.process_time() - used)
    times = []
    for user in users:
        begin = time.perf_counter()
        recommender.recommend(user)
        times.append(time.perf_counter() - begin)
    tell(request=sorted(times)[len(times) // 2], serving=peak_megabytes())


def budget(order: Mapping[str, Any]) -> None:
    """Train within ``minutes`` as ``genre-gen train`` does, save, and evaluate; each user's NDCG@10 goes into ``file``.

    The seconds of training are those from the data being read to the folder being written.
    """
    import genre_gen
    from genre_gen.recommender.recommender import Recommender

    tell(package=genre_gen.__file__)
    begin = time.perf_counter()
    data = read(order)
    split = data.leave_one_out()
    tell(reading=time.perf_counter() - begin, users=len(split.test))
    begin = time.perf_counter()
    recommender = Recommender(data.domain, max_minutes=order["minutes"], settings=order["settings"])
    recommender.fit(split, folder=order["folder"])
    tell(fitting=time.perf_counter() - begin, log=list(recommender.state.training_log))
    recommender.save_pretrained(order["folder"])
    tell(
        training=time.perf_counter() - begin, weights=dict(recommender.state.blend.weights), megabytes=peak_megabytes()
    )
    ndcg = recommender.evaluate(split, 10, baselines=False)["GENRE"].values("N@10")
    np.save(order["file"], ndcg)
    tell(test=float(ndcg.mean()))


def peak_megabytes() -> float:
    """Return the peak of this process's memory, without that of the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line[:6] == "VmHWM:")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
