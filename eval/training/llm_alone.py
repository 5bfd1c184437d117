"""Train the language model alone, and measure it: NDCG@10, time per token, peak memory, time of a request."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from eval.bench.cases import Bench
from eval.bench.law import Law
from eval.bench.stages import replaced
from genre_gen.blending.tuned import Steps
from genre_gen.data.splits import Case, Split, leave_one_out, sample_cases
from genre_gen.domain import Domain
from genre_gen.llm.batch import Batch
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.model import LLM
from genre_gen.metrics import case_ranks, ndcg_at
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.training.finetune import FineTuner
from genre_gen.training.llm_training import build_llm, make_finetuner
from genre_gen.training.schedule import Planner, Progress

ALONE = {
    "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}},
    "model.exit_layer": 3,
    "training.refit": "none",
    "training.distillation": 0.0,
    "training.tracker": "none",
    "training.max_minutes": None,
    "training.learning_rate": 1e-3,
    "training.code_learning_rate": 2e-3,
    "training.batch_tokens": 1024,
    "codes.scheme": "atomic",
}
"""Settings under which all are compared: one task, one token an item, and no teacher."""

WARM_UP = 3  # steps that are not timed
REQUESTS = 40


@dataclass(frozen=True)
class Subject:
    """What a model is trained on: settings, a split, and the law where it is known."""

    domain: Domain
    split: Split
    law: Law | None = None

    @classmethod
    def made_up(cls, n_items: int, n_users: int, n_interactions: int) -> Subject:
        """Draw a log from a known law."""
        law = Law(n_items, seed=0)
        data = law.dataset(n_users, n_interactions, rated=False)
        return cls(data.domain.changed(ALONE), leave_one_out(data.interactions, data.catalog), law)

    @classmethod
    def read(cls, data: str) -> Subject:
        """Read a data set."""
        bench = Bench.open(data)
        return cls(bench.domain.changed(ALONE), bench.split)


@dataclass
class Measured:
    """What one training cost and brought; ``ndcg`` is of each validation, ``bound`` that of the law itself."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    build_seconds: float = 0.0
    ndcg: list[float] = field(default_factory=list)
    bound: float | None = None
    request_ms: float = 0.0
    peak_gigabytes: float = 0.0

    @property
    def token_ms(self) -> float:
        """Return milliseconds per token of a step, padding included."""
        return 1e3 * self.seconds / max(1, self.tokens)

    @property
    def best(self) -> float:
        """Return the best NDCG@10."""
        return max(self.ndcg, default=float("nan"))


def measure(subject: Subject, users: int, steps: int | None = None, seed: int = 0) -> Measured:
    """Train for the domain's epochs, or at most some steps, and measure; ``users`` are validated."""
    domain, split, found = subject.domain.changed({"training.seed": seed}), subject.split, Measured()
    begin, book = time.perf_counter(), PromptBook.load(domain)
    data = TaskData(split.catalog, split.train, domain)
    cases = sample_cases(split.validation, users)
    llm = build_llm(domain, split.catalog, split.train)
    tuner = make_finetuner(llm, book, data, cases, None)
    found.build_seconds = time.perf_counter() - begin
    with stepping(steps) as taken:
        progress = tuner.run()
    found.steps = len(taken)
    found.seconds, found.tokens = sum(each for each, _ in taken[WARM_UP:]), sum(each for _, each in taken[WARM_UP:])
    found.ndcg = [entry["ndcg@10"] for entry in progress.log if "ndcg@10" in entry]
    if not found.ndcg and tuner.validate is not None:
        found.ndcg.append(tuner.validate())
    found.request_ms = request_milliseconds(llm, book, data, cases)
    if subject.law is not None:
        law = subject.law
        ranks = case_ranks(
            lambda histories: law.score(histories).astype(np.float32), cases, len(split.catalog), domain.repeat, 8
        )
        found.bound = float(ndcg_at(ranks, 10).mean())
    found.peak_gigabytes = peak_gigabytes()
    return found


def peak_gigabytes() -> float:
    """Return the peak of this process's memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


@contextmanager
def stepping(most: int | None) -> Iterator[list[tuple[float, int]]]:
    """Within the block, time the steps of the language model's training; yield their seconds and tokens.

    With ``most``, a training has so many steps. Its learning rate falls within them, and only the end is validated.
    """
    taken: list[tuple[float, int]] = []
    step, run = FineTuner._step, FineTuner.run

    def timed(tuner: FineTuner, batch: Batch) -> None:
        begin = time.thread_time()
        step(tuner, batch)
        taken.append((time.thread_time() - begin, batch.ids.numel()))

    def short(tuner: FineTuner, on_step: Callable[[FineTuner], None] | None = None) -> Progress:
        if most is not None:
            tuner.options = replace(tuner.options, repeats=Steps(((0, most),), most))
            tuner.planner = Planner(tuner.planner.epochs, 0, None, ((0, most),))
        return run(tuner, on_step)

    with replaced(FineTuner, "_step", timed), replaced(FineTuner, "run", short):
        yield taken


def request_milliseconds(llm: LLM, book: PromptBook, data: TaskData, cases: Sequence[Case]) -> float:
    """Return the median time in which the language model scores the catalog for one user."""
    generator, times = ItemGenerator(llm, book, data), []
    for case in cases[:REQUESTS]:
        begin = time.perf_counter()
        generator.score([case.history])
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times[WARM_UP:] or times))
