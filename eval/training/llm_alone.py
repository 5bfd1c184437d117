"""Train the language model alone, and measure it: NDCG@10, time per token, peak memory, time of a request."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.bench.cases import Bench
from eval.bench.law import Law
from genre_gen.data.splits import Case, Split, leave_one_out, sample_cases
from genre_gen.domain import Domain
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.model import LLM
from genre_gen.metrics import case_ranks, ndcg_at
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.training.finetune import FineTuner
from genre_gen.training.llm_training import build_llm, make_finetuner

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
    _time_steps(tuner, found, steps)
    progress = tuner.run()
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
    unit = 2**30 if sys.platform == "darwin" else 2**20
    found.peak_gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return found


def _time_steps(tuner: FineTuner, found: Measured, most: int | None) -> None:
    """Make a fine-tuner count and time its steps, and end after ``most`` of them."""
    step = tuner._step

    def timed(batch: object) -> None:
        begin = time.perf_counter()
        step(batch)  # type: ignore[arg-type]
        found.steps += 1
        if found.steps > WARM_UP:
            found.seconds += time.perf_counter() - begin
            found.tokens += batch.ids.numel()  # type: ignore[attr-defined]
        if most is not None and found.steps >= most:
            tuner.progress.finished = True

    tuner._step = timed  # type: ignore[method-assign]


def request_milliseconds(llm: LLM, book: PromptBook, data: TaskData, cases: Sequence[Case]) -> float:
    """Return the median time in which the language model scores the catalog for one user."""
    generator, times = ItemGenerator(llm, book, data), []
    for case in cases[:REQUESTS]:
        begin = time.perf_counter()
        generator.score([case.history])
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times[WARM_UP:] or times))
