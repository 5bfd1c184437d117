"""One table of all models on one data set and one split: ours, the package's own members, and peers from elsewhere.

    python eval/leaderboard.py --data ml-100k [--split leave-one-out] [--seeds 3] [--models sasrec genre] [--minutes 60]

Every model's settings are chosen on the validation cases of a fit on the training part (grids: ``PEERS`` below); then
it is fitted again on training and validation part with the settings chosen, and ranks the test cases once. Seeds beyond
the first take over the first one's settings. Each model and seed runs in a process of its own, which measures its time
and memory, and leaves ``result.json`` and ``ranks.npz`` in ``--runs``; what lies there with the same fingerprint of
data and settings is not run again (delete its folder where only code has changed). The table holds all that lies there
for the data, the split and the domain as they are now, so that ablations run with ``--set key=value --label NAME`` join
it; a result of other data or settings is named and left out, and stays where it lies. With ``--keep`` also the rows of
the published table that were run elsewhere are in it. ``--from-ranks`` makes it anew from the files in ``--out``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import itertools
import json
import logging
import os
import platform
import re
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from peers import mean_ndcg

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers import load_catalog, load_data
from genre_gen.data.splits import Case, Split, sample_cases
from genre_gen.domain import Domain
from genre_gen.errors import ConfigError, DataError, GenreGenError, UsageError
from genre_gen.evaluation import Report, Result
from genre_gen.evaluation.protocol import evaluate_scorers
from genre_gen.evaluation.report import Comparison
from genre_gen.metrics import case_ranks
from genre_gen.prompting.book import PromptBook

if TYPE_CHECKING:
    from genre_gen.recommender.recommender import Recommender

log = logging.getLogger("leaderboard")
HERE = Path(__file__).resolve().parent
CUTOFFS = (5, 10, 20)
COLUMNS = ("R@5", "R@10", "N@5", "N@10", "R@20", "N@20")
HEADLINE = "N@10"
TUNED_ON = 5000  # validation users that settings are chosen on, at most: the same sample for all models
FORMAT = 1
PART = "blend without LLM"  # a part of ours, as there too
OURS = "GENRE"  # as in genre_gen.recommender.recommender, which would import much that the peers must not pay for
GENRE = "genre"
ONE_STEP_BACK = "one-step-back"
SERVED = ("rerank", "query", "explain", "serving")  # parts of a domain that no score depends on
TUNE, TRAIN, SCORE, MEMORY = "tune s", "train s", "score s", "peak MB"


@dataclass(frozen=True)
class Peer:
    """A model and the settings that are tried.

    Attributes:
        module: where its class is; imported only by the process that runs it.
        kind: name of the class.
        stages: each maps settings to values, of which all combinations are tried; a stage starts from the best of the
            one before.
        scoring: settings that take part in scoring only, so that trying them needs no new fit.
        seeded: whether there is chance in it, so that several seeds are run.
        rated: whether it learns from ratings.
        early: whether it stops early on validation cases; then its best epoch joins the settings, and ``--minutes``
            limits it.
        reads: whether it is given the items' texts.
    """

    module: str
    kind: str
    stages: tuple[Mapping[str, Sequence[Any]], ...] = ()
    scoring: tuple[str, ...] = ()
    seeded: bool = False
    rated: bool = False
    early: bool = False
    reads: bool = False

    def make(self, settings: Mapping[str, Any], **more: Any) -> Any:
        """Return a new model."""
        return getattr(importlib.import_module(self.module), self.kind)(**{**settings, **more})

    def grid(self) -> list[dict[str, list[Any]]]:
        """Return the grid as JSON values."""
        return [{name: list(values) for name, values in stage.items()} for stage in self.stages]


RECENCY = (0.0, 0.5, 1.0, 2.0)
OWN, IMPLICIT, SURPRISE = "genre_gen.collaborative", "peers.implicit_models", "peers.surprise_models"
PEERS: dict[str, Peer] = {
    "popularity": Peer(OWN, "Popularity"),
    "item_knn": Peer(
        OWN,
        "ItemKNN",
        ({"neighbours": (20, 50, 100, 200), "shrink": (0.0, 10.0, 50.0), "recency": RECENCY},),
        scoring=("recency",),
    ),
    "ease": Peer(OWN, "Ease", ({"l2": (50.0, 100.0, 200.0, 500.0, 1000.0), "recency": RECENCY},), scoring=("recency",)),
    "sequential_rules": Peer(
        OWN,
        "SequentialRules",
        (
            {"smoothing": (10.0, 100.0, 1000.0), "novelty": (0.0, 0.2, 0.4, 0.6), "recency": (0.5, 1.0, 1.5, 2.0)},
            {"decay": (0.0, 0.3, 0.6, 1.0), "backward": (0.0, 0.5, 1.0), "recency": (0.5, 1.0, 1.5, 2.0)},
        ),
        scoring=("recency",),
    ),
    "text_knn": Peer(
        OWN, "TextKNN", ({"neighbours": (50, 200), "recency": RECENCY},), scoring=("recency",), reads=True
    ),
    "bpr": Peer(
        IMPLICIT,
        "BPR",
        (
            {"factors": (32, 64, 128), "regularization": (0.001, 0.01, 0.05, 0.1)},
            {"learning_rate": (0.01, 0.02, 0.05), "iterations": (100, 200, 400)},
        ),
        seeded=True,
    ),
    "als": Peer(
        IMPLICIT,
        "ALS",
        ({"factors": (16, 32, 64, 128), "alpha": (1.0, 2.0, 5.0, 20.0)}, {"regularization": (0.1, 1.0, 5.0, 20.0)}),
        seeded=True,
    ),
    "surprise-svd": Peer(
        SURPRISE, "SurpriseSVD", ({"factors": (20, 100), "regularisation": (0.02, 0.1)},), seeded=True, rated=True
    ),
    "surprise-svdpp": Peer(SURPRISE, "SurpriseSVDpp", seeded=True, rated=True),
    "surprise-knn": Peer(
        SURPRISE, "SurpriseKNN", ({"neighbours": (20, 40, 80), "shrinkage": (20.0, 100.0)},), rated=True
    ),
    "sasrec": Peer(
        OWN,
        "SASRec",
        ({"dropout": (0.2, 0.5), "learning_rate": (0.001, 0.003)}, {"dim": (128,)}),
        seeded=True,
        early=True,
    ),
}


@dataclass(frozen=True)
class Bench:
    """The data, the split and where results lie.

    Attributes:
        name: of the data, in file names and captions.
        domain: its settings.
        split_name: ``leave-one-out`` or ``global-time``; or ``one-step-back``, leave-one-out without the test items,
            where what follows the choice on validation items (the final training) is compared.
        runs: folder of the runs of this data and split.
        users: how many are validated on and asked, a fixed sample; None for all. One step back only: a table of models
            asks everybody.
    """

    name: str
    domain: Domain
    split_name: str
    runs: Path
    users: int | None = None

    @classmethod
    def open(cls, data: str, split: str, runs: Path, users: int | None = None) -> Bench:
        """Find the data: a folder of ``eval/domains``, or any folder with a ``domain.toml``."""
        if users is not None and (users < 1 or split != ONE_STEP_BACK):
            raise UsageError(f"--users {users}: 1 or more, and with --split {ONE_STEP_BACK} only")
        own = HERE / "domains" / data
        folder = own if (own / "domain.toml").is_file() else Path(data)
        name = folder.resolve().name
        sample = "" if users is None else f"-{users}-users"
        return cls(name, Domain.load(folder), split, runs / f"{name}-{split}{sample}", users)

    @cached_property
    def catalog(self) -> Catalog:
        """Return the items."""
        return load_catalog(self.domain)[0]

    @cached_property
    def interactions(self) -> Interactions:
        """Return all interactions."""
        return load_data(self.domain, catalog=self.catalog).interactions

    @cached_property
    def split(self) -> Split:
        """Return the split; raises UsageError where it leaves nothing to tune or to test on."""
        if self.split_name == ONE_STEP_BACK:
            split = self.interactions.leave_one_out().train_and_validation.leave_one_out()
        else:
            split = self.interactions.split(self.split_name)
        if self.users is not None:
            asked = [tuple(sample_cases(cases, self.users)) for cases in (split.validation, split.test)]
            split = replace(split, validation=asked[0], test=asked[1])
        if not (split.validation and split.test):
            raise UsageError(f"{self.name}: the {self.split_name} split leaves no cases; give users more interactions")
        return split

    def given(self, peer: Peer, seed: int) -> dict[str, Any]:
        """Return what a model is made with beside its settings."""
        texts = {"texts": [item.describe() for item in self.catalog]} if peer.reads else {}
        return texts | ({"seed": seed} if peer.seeded else {})

    @cached_property
    def tuning(self) -> tuple[Case, ...]:
        """Return the validation cases that settings are chosen on."""
        return tuple(sample_cases(self.split.validation, TUNED_ON))

    @cached_property
    def key(self) -> str:
        """Return a fingerprint of interactions, split and protocol."""
        arrays = self.interactions.arrays()
        hashed = {
            name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for name, array in arrays.items()
        }
        sample = [] if self.users is None else [self.users]
        return digest([FORMAT, hashed, self.split_name, self.domain.repeat, TUNED_ON, *sample])

    @property
    def stem(self) -> str:
        """Return how the files of results are named."""
        return f"leaderboard_{self.name}" + ("" if self.split_name == "leave-one-out" else f"_{self.split_name}")


@dataclass(frozen=True)
class Job:
    """One model and one seed.

    Attributes:
        model: a name of ``PEERS``, or ``genre``.
        seed: from 0 on.
        minutes: limit of tuning and training, for the models that heed it.
        changes: settings of ours that are changed.
        label: tells ours with changed settings apart.
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
        """Return where the run's files lie."""
        return bench.runs / self.name

    def fingerprint(self, bench: Bench) -> str:
        """Return a digest of all that the result depends on, but the code."""
        peer = PEERS.get(self.model)
        if peer is None:
            domain = {name: part for name, part in bench.domain.settings().items() if name not in SERVED}
            book = PromptBook.load(bench.domain)
            tasks = bench.domain.changed(dict(self.changes)).tasks
            prompts = {name: book.fingerprint(name) for name, task in tasks.items() if task.weight}
            inputs: list[Any] = [self.minutes, dict(self.changes), domain, prompts, bench.catalog.fingerprint()]
            if self.seed and self.trains_anew(bench):
                inputs.append(self.first(bench)["notes"].get("choices"))
        else:
            inputs = [peer.grid(), self.minutes if peer.early else None]
            inputs.append(self.first(bench)["settings"] if self.seed else None)
            inputs += [bench.catalog.fingerprint()] if peer.reads else []
        return digest([bench.key, self.model, self.seed, inputs])

    def trains_anew(self, bench: Bench) -> bool:
        """Tell whether a new model of ours learns from all before the test, with what was chosen by another."""
        return bench.domain.changed(dict(self.changes)).training.refit == "from_scratch"

    def first(self, bench: Bench) -> dict[str, Any]:
        """Return the result of the first seed, whose settings the others use; raises UsageError where there is none."""
        found = result_of(bench, replace(self, seed=0))
        if found is None:
            raise UsageError(
                f"{self.name}: seed 0, which chooses the settings, has no result of these data and settings"
            )
        return found


@dataclass
class Outcome:
    """What a run found, before it is written.

    Attributes:
        settings: chosen ones, JSON values.
        report: the test cases ranked; its names are the rows.
        validation: each validation case's rank under the settings chosen, where they are chosen here.
        costs: per row.
        notes: further JSON values.
    """

    settings: dict[str, Any]
    report: Report
    validation: dict[str, NDArray[np.float64]]
    costs: dict[str, dict[str, float]]
    notes: dict[str, Any] = field(default_factory=dict)


def digest(values: Any) -> str:
    """Return a fingerprint of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


# --- one model and one seed -------------------------------------------------------------------------------------------


def work(bench: Bench, job: Job) -> None:
    """Tune, fit, rank and write: what the process of one model and seed does."""
    outcome = run_ours(bench, job) if job.model == GENRE else run_peer(bench, PEERS[job.model], job)
    write_result(bench, job, outcome)


def run_peer(bench: Bench, peer: Peer, job: Job) -> Outcome:
    """Choose settings (first seed) or take them over, fit again on all before the test, and rank."""
    begin = time.perf_counter()
    given = bench.given(peer, job.seed)
    validation: dict[str, NDArray[np.float64]] = {}
    trials: list[dict[str, Any]] = []
    if job.seed:
        settings: dict[str, Any] = dict(job.first(bench)["settings"])
    else:
        settings, model, trials = Tuner(bench, peer, given, job.minutes).run()
        ranks = case_ranks(model.score, bench.split.validation, bench.interactions.n_items, bench.domain.repeat)
        validation[job.model] = ranks
        del model  # two fitted models at once would count as its peak of memory
    tuned = time.perf_counter()
    model = peer.make(settings, **given).fit(bench.split.train_and_validation)
    costs = {TUNE: tuned - begin, TRAIN: time.perf_counter() - tuned}
    report = rank_test(bench, {job.model: model.score})
    costs |= {SCORE: report[job.model].costs["score_seconds"], MEMORY: peak_megabytes()}
    return Outcome(settings, report, validation, {job.model: costs}, {"trials": trials})


class Tuner:
    """Tries the grid of a model on the validation cases.

    Attributes:
        trials: settings and their NDCG@10, in the order tried.
    """

    def __init__(self, bench: Bench, peer: Peer, given: Mapping[str, Any], minutes: float | None) -> None:
        """Keep what is tuned, and until when."""
        self.bench, self.peer, self.given = bench, peer, given
        self.end = None if minutes is None else time.thread_time() + 60 * minutes
        self.trials: list[dict[str, Any]] = []
        self.best: tuple[float, dict[str, Any], Any] = (-1.0, {}, None)
        self.model: Any = None  # the last one fitted, and what it was fitted with
        self.fitted_with: dict[str, Any] | None = None

    def run(self) -> tuple[dict[str, Any], Any, list[dict[str, Any]]]:
        """Return the best settings, the model fitted with them on the training part, and all trials."""
        for stage in self.peer.stages or ({},):
            start = self.best[1]
            for settings in self._combinations(stage, start):
                if all(settings != trial["settings"] for trial in self.trials):
                    self._try(settings)
        _, settings, model = self.best
        self._set_scoring(model, settings)  # a later trial may have set it otherwise
        return settings | ({"max_epochs": model.best_epoch} if self.peer.early else {}), model, self.trials

    def _combinations(self, stage: Mapping[str, Sequence[Any]], start: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the settings of a stage, those that take part in scoring only changing fastest."""
        names = sorted(stage, key=lambda name: name in self.peer.scoring)
        for values in itertools.product(*(stage[name] for name in names)):
            yield {**start, **dict(zip(names, values, strict=True))}

    def _try(self, settings: dict[str, Any]) -> None:
        needed = {name: value for name, value in settings.items() if name not in self.peer.scoring}
        if self.model is None or needed != self.fitted_with:
            self.model, self.fitted_with = self._fit(settings), needed
        self._set_scoring(self.model, settings)
        ndcg = mean_ndcg(case_ranks(self.model.score, self.bench.tuning, self.bench.split.train.n_items, self._repeat))
        curve = {"log": self.model.log} if self.peer.early else {}
        self.trials.append({"settings": settings, HEADLINE: ndcg, **curve})
        log.info("%s: %s %.4f on validation", settings, HEADLINE, ndcg)
        if ndcg > self.best[0]:
            self.best = (ndcg, settings, self.model)

    def _fit(self, settings: Mapping[str, Any]) -> Any:
        train = self.bench.split.train
        if not self.peer.early:
            return self.peer.make(settings, **self.given).fit(train)
        model = self.peer.make(settings, **self.given, max_minutes=self._share())
        return model.fit(train, self.bench.tuning, repeat=self._repeat)

    def _share(self) -> float | None:
        """Return the minutes of one trial: the time left, shared by those to come and the fit after the choice."""
        if self.end is None:
            return None
        total = sum(1 for stage in self.peer.stages for _ in self._combinations(stage, {}))
        return max(self.end - time.thread_time(), 1.0) / 60 / (max(total - len(self.trials), 1) + 1)

    def _set_scoring(self, model: Any, settings: Mapping[str, Any]) -> None:
        for name in set(self.peer.scoring) & set(settings):
            setattr(model, name, settings[name])

    @property
    def _repeat(self) -> bool:
        return self.bench.domain.repeat


def run_ours(bench: Bench, job: Job) -> Outcome:
    """Train our recommender; its blend, its language model alone and its blend without it are the rows.

    Where ``training.refit`` is ``anew``, later seeds train anew with what the first one chose, as the peers do.
    Validation ranks are not kept: at the end the recommender has learned from the validation cases too.
    """
    from genre_gen.evaluation.baselines import LLM_ALONE, WITHOUT_LLM

    recommender, costs = train_ours(bench, job)
    report = rank_test(bench, recommender.scorers(), recommender.mixtures())
    scoring = {result.name: result.costs["score_seconds"] for result in report.results}
    members = sum(scoring[name] for name in recommender.scorers() if name != LLM_ALONE)
    costs = {name: {**spent, MEMORY: peak_megabytes()} for name, spent in costs.items()}
    costs[OURS][SCORE] = scoring[LLM_ALONE] + members + scoring[OURS]
    costs[LLM_ALONE][SCORE] = scoring[LLM_ALONE]
    costs[WITHOUT_LLM] = {TRAIN: costs[WITHOUT_LLM][TRAIN], SCORE: members + scoring[WITHOUT_LLM]}
    weights = {OURS: dict(recommender.blend.weights), WITHOUT_LLM: dict(recommender.blend_without_llm.weights)}
    notes = {"weights": weights, "log": recommender.training_log, "choices": recommender.choices.to_dict()}
    return Outcome(changed(job), kept(report, list(costs)), {}, costs, notes)


def train_ours(bench: Bench, job: Job) -> tuple[Recommender, dict[str, dict[str, float]]]:
    """Return our recommender, which has learned from all before the test cases, and by row what that took."""
    from genre_gen.blending.tuned import TunedSettings
    from genre_gen.evaluation.baselines import LLM_ALONE, WITHOUT_LLM
    from genre_gen.recommender.recommender import Recommender

    limit = {} if job.minutes is None else {"training.max_minutes": job.minutes}
    settings = {**limit, **job.changes, "training.seed": job.seed}
    # A killed run goes on from its checkpoints, but never from those of other settings.
    split, folder = bench.split, job.folder(bench) / f"training-{job.fingerprint(bench)}"
    recommender, begin, log = Recommender.from_domain(bench.domain, settings=settings), time.perf_counter(), []
    if not job.trains_anew(bench):
        recommender.fit(bench.catalog, split.train, split.validation, final=split.train_and_validation, folder=folder)
        tuned = begin
    else:
        if job.seed:
            choices = TunedSettings.from_dict(job.first(bench)["notes"]["choices"])
        else:
            choosing = recommender.fit(bench.catalog, split.train, split.validation, folder=folder)
            choices, log = choosing.choices, choosing.training_log
            recommender = Recommender.from_domain(bench.domain, settings=settings)
            del choosing  # two models at once would count as its peak of memory
        tuned = time.perf_counter()
        recommender.refit(bench.catalog, split.train_and_validation, choices, folder=folder)
        recommender.training_log = log
    took = {TUNE: tuned - begin, TRAIN: time.perf_counter() - tuned}
    alone = sum(recommender.seconds.get(name, 0.0) for name in recommender.members)
    return recommender, {OURS: took, LLM_ALONE: took, WITHOUT_LLM: {TRAIN: alone}}


def changed(job: Job) -> dict[str, Any]:
    """Return the settings that were changed, as they may be published: of a path only the last part."""
    limit = {} if job.minutes is None else {"training.max_minutes": job.minutes}
    return {name: public(value) for name, value in {**limit, **job.changes}.items()}


def rank_test(bench: Bench, scorers: Mapping[str, Any], mixtures: Mapping[str, Any] | None = None) -> Report:
    """Rank the test cases, once."""
    known = bench.split.train_and_validation
    return evaluate_scorers(
        scorers,
        bench.split.test,
        known.n_items,
        CUTOFFS,
        repeat=bench.domain.repeat,
        mixtures=mixtures,
        counts=np.bincount(known.rows, minlength=known.n_items),
        data=bench.name,
        split=f"{bench.split_name}, test",
    )


def kept(report: Report, names: Sequence[str]) -> Report:
    """Return the report with these rows only."""
    return replace(report, results=tuple(report[name] for name in names))


def public(value: Any) -> Any:
    """Return a setting as it may be published: of a path on this machine only the last part."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def peak_megabytes() -> float:
    """Return the most memory that this process has held.

    Linux counts what the parent held before the fork into ``ru_maxrss``; VmHWM is the process's own.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def write_result(bench: Bench, job: Job, outcome: Outcome) -> None:
    """Write ranks and then the result, each at once: a result that is there is whole."""
    folder = job.folder(bench)
    arrays: dict[str, NDArray[Any]] = {}
    for place, result in enumerate(outcome.report.results):
        arrays[f"test_{place}"] = result.ranks.astype(np.float32)
        if result.name in outcome.validation:
            arrays[f"validation_{place}"] = outcome.validation[result.name].astype(np.float32)
    content = {
        "format": FORMAT,
        "fingerprint": job.fingerprint(bench),
        "data": bench.key,
        "model": job.model,
        "label": job.label,
        "seed": job.seed,
        "job": {"minutes": job.minutes, "changes": dict(job.changes)},
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


def write_text(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return a run's result with its arrays under ``ranks``, or None where it has none that can be read."""
    try:
        content: dict[str, Any] = json.loads((folder / "result.json").read_text("utf-8"))
        with np.load(folder / "ranks.npz", allow_pickle=False) as arrays:
            content["ranks"] = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return content if content.get("format") == FORMAT else None


def result_of(bench: Bench, job: Job) -> dict[str, Any] | None:
    """Return the job's result, or None where it has none from the data and settings as they are now."""
    found = read_result(job.folder(bench))
    return found if found is not None and found["fingerprint"] == job.fingerprint(bench) else None


# --- all of them ------------------------------------------------------------------------------------------------------


def run_all(bench: Bench, jobs: Sequence[Job], arguments: Sequence[str]) -> list[str]:
    """Run the jobs that have no result yet, one after the other; returns the names of those that failed."""
    failed = []
    for job in jobs:
        try:
            if result_of(bench, job):
                say(f"{job.name}: is there already")
                continue
            begin = time.perf_counter()
            run_one(bench, job, arguments)
            say(f"{job.name}: done in {time.perf_counter() - begin:,.0f} s")
        except GenreGenError as problem:
            failed.append(job.name)
            say(f"{job.name}: failed: {problem}")
    return failed


def run_one(bench: Bench, job: Job, arguments: Sequence[str]) -> None:
    """Run a job in a process of its own; raises UsageError with the last line of its log where it fails."""
    folder = job.folder(bench)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(Path(__file__).resolve()), *arguments, "--worker", job.model, str(job.seed)]
    with (folder / "log.txt").open("w", encoding="utf-8") as file:
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        lines = (folder / "log.txt").read_text("utf-8", errors="replace").strip().splitlines()
        last = lines[-1].removeprefix("error: ") if lines else "no word"
        raise UsageError(f"{last} (exit code {code}; its log.txt may say more)")


class SeededResult(Result):
    """A model's ranks under several seeds, float64 ``[seeds, n_users]``; a user's figure is the mean over seeds."""

    def values(self, metric: str) -> NDArray[np.float64]:
        """Return each user's figure, the mean over seeds: float64 ``[n_users]``."""
        return np.asarray(super().values(metric).mean(axis=0))


def told_job(found: Mapping[str, Any]) -> Job:
    """Return the job that a result says it is of.

    Older results do not say so: then it is what the settings of ours tell. Of a peer they don't tell the minutes, which
    count for a peer that stops early: such a result counts where the job is asked for.
    """
    if "job" in found:
        minutes, changes = found["job"]["minutes"], found["job"]["changes"]
    else:
        changes = dict(found["settings"]) if found["model"] == GENRE else {}
        minutes = changes.pop("training.max_minutes", None)
    return Job(found["model"], found["seed"], minutes, changes, found["label"])


def counted(bench: Bench, wanted: Sequence[Job]) -> Iterator[dict[str, Any]]:
    """Yield the results that lie there of the data and settings as they are now, and name the others.

    A result is held against the job asked for under its name, and where none is, against the one it says it is of.
    """
    asked = {job.name: job for job in wanted}
    for folder in sorted(bench.runs.glob("*/")):
        found = read_result(folder)
        if found is None:
            continue
        job = asked.get(folder.name) or told_job(found)
        try:
            same = found["fingerprint"] == job.fingerprint(bench)
        except GenreGenError:  # settings that are none any more, or no first seed to have them from
            same = False
        if same:
            yield found
        else:
            say(f"{folder.name}: left out, its result is of other data or settings")


def collect(bench: Bench, wanted: Sequence[Job]) -> tuple[Report, dict[str, Any]]:
    """Put all runs of this data and split into one report, and what the JSON says beside it, by row.

    Runs on other data or under other settings than those of now, and seeds with others than the first, are left out.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for found in counted(bench, wanted):
        groups.setdefault((found["model"], found["label"]), []).append(found)
    results, details = [], {}
    for (_, label), runs in groups.items():
        runs.sort(key=lambda run: run["seed"])
        same = [run for run in runs if run["settings"] == runs[0]["settings"] and run["rows"] == runs[0]["rows"]]
        if len(same) < len(runs):
            say(f"{runs[0]['model']}: seeds with other settings than seed {runs[0]['seed']} are left out")
        for place, row in enumerate(runs[0]["rows"]):
            result = joined(f"{row} ({label})" if label else row, place, same)
            results.append(result)
            details[result.name] = detail(place, same)
    if not results:
        raise DataError(f"no run of {bench.name}, {bench.split_name} has a result")
    results.sort(key=lambda result: -result.figure(HEADLINE))
    cases = bench.split.test
    targets = np.array([case.target for case in cases], dtype=np.int64)
    users = tuple(case.history.user for case in cases)
    n_items, split = bench.interactions.n_items, f"{bench.split_name}, test"
    return Report(tuple(results), CUTOFFS, n_items, users, targets, bench.name, split, bench.domain.repeat), details


def joined(name: str, place: int, runs: Sequence[Mapping[str, Any]]) -> SeededResult:
    """Return one row's result over its seeds; figures of lists and costs are means."""
    ranks = np.stack([run["ranks"][f"test_{place}"].astype(np.float64) for run in runs])
    lists, costs = (means([run[kind][place] for run in runs]) for kind in ("lists", "costs"))
    first = runs[0]["costs"][place]
    if TUNE in first:
        costs[TUNE] = first[TUNE]  # only the first seed tunes
    return SeededResult(name, ranks, lists, costs)


def means(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each figure that all have."""
    names = [name for name in several[0] if all(name in one for one in several)]
    return {name: float(np.mean([one[name] for one in several])) for name in names}


def detail(place: int, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the JSON says of a row beside its figures."""
    validation = [run["ranks"][f"validation_{place}"] for run in runs if f"validation_{place}" in run["ranks"]]
    return {
        "seeds": [run["seed"] for run in runs],
        "settings": runs[0]["settings"],
        "validation": {HEADLINE: [mean_ndcg(ranks.astype(np.float64)) for ranks in validation]},
        "notes": [run["notes"] for run in runs],
    }


# --- the table --------------------------------------------------------------------------------------------------------


def publish(report: Report, details: Mapping[str, Any], out: Path, stem: str) -> str:
    """Write JSON, Markdown, picture and ranks; returns the Markdown."""
    out.mkdir(parents=True, exist_ok=True)
    ours = OURS if OURS in [result.name for result in report.results] else None
    text = markdown(report, details, ours)
    write_text(out / f"{stem}.md", text)
    write_text(out / f"{stem}.json", json.dumps(summary(report, details, ours), indent=1, allow_nan=False) + "\n")
    report.plot(out / f"{stem}.png", HEADLINE, ours)
    names = np.array([result.name for result in report.results])
    arrays = {f"ranks_{place}": packed(result.ranks) for place, result in enumerate(report.results)}
    np.savez_compressed(out / f"{stem}_ranks.npz", names=names, **arrays)  # type: ignore[arg-type]
    return text


def packed(ranks: NDArray[np.float64]) -> NDArray[np.unsignedinteger[Any]]:
    """Return twice the ranks (they may end in .5) as the smallest integers that hold them; 0 where infinite."""
    doubled = np.where(np.isfinite(ranks), 2 * ranks, 0)
    return doubled.astype(np.uint16 if doubled.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32)


def unpacked(doubled: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the ranks that were packed."""
    return np.where(doubled > 0, doubled / 2, np.inf)


def markdown(report: Report, details: Mapping[str, Any], ours: str | None) -> str:
    """Return the table, best first, with what one must know to read it."""
    p_values = {name: one.corrected for name, one in compared(report, ours).items()}
    costs = [name for name in (TUNE, TRAIN, SCORE, MEMORY) if any(name in result.costs for result in report.results)]
    header = ["model", *COLUMNS, f"95 % of {HEADLINE}", "seeds", *costs, *([f"p of {ours} against it"] if ours else [])]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for result in report.results:
        low, high = report.interval(result.name, HEADLINE)
        cells = [f"**{result.name}**" if result.name == ours else result.name]
        cells += [f"{result.figure(column):.4f}" for column in COLUMNS]
        cells += [f"{low:.4f} to {high:.4f}", str(len(details[result.name]["seeds"]))]
        cells += [f"{result.costs[name]:,.1f}" if name in result.costs else "" for name in costs]
        if ours:
            cells.append(p_text(p_values[result.name]) if result.name in p_values else "")
        lines.append(cells)
    rows = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"# {report.caption()}\n\n{rows}\n\n{READING}\n"


READING = (
    "Means over users and seeds; intervals by bootstrap over users; p-values of the paired permutation test on the "
    "users' NDCG@10, corrected by Holm over the peers, and apart over ours' own parts and variants. Settings were "
    "chosen on validation cases; then every model learned from the training and validation part with them, and ranked "
    "the test cases once. Tuning counts the first seed's trials, training the fit after the choice, scoring the test "
    "cases."
)


def p_text(p: float) -> str:
    """Return a p-value for people."""
    return f"{p:.4f}" if p >= 1e-4 else "< .0001"  # noqa: PLR2004 the digits shown


def compared(report: Report, ours: str | None) -> dict[str, Comparison]:
    """Compare ours with each other row; Holm's correction is over the peers, and apart over our own parts and variants.

    The two answer different questions: whether ours is ahead of what others have, and what its parts bring.
    """
    found: dict[str, Comparison] = {}
    if ours is not None:
        names = [result.name for result in report.results if result.name != ours]
        own = [name for name in names if name.startswith((OURS, PART))]
        for family in filter(None, ([name for name in names if name not in own], own)):
            found |= {one.peer: one for one in kept(report, [ours, *family]).compare(ours)}
    return found


def summary(report: Report, details: Mapping[str, Any], ours: str | None) -> dict[str, Any]:
    """Return all figures, settings and costs as JSON values."""
    comparisons = compared(report, ours)
    rows = []
    for result in report.results:
        row: dict[str, Any] = {"name": result.name, "figures": {name: result.figure(name) for name in COLUMNS}}
        row["interval"] = list(report.interval(result.name, HEADLINE))
        row["per_seed"] = [Result("", ranks).figure(HEADLINE) for ranks in result.ranks]
        row |= {"lists": dict(result.lists), "costs": dict(result.costs), **details[result.name]}
        if result.name in comparisons:
            one = comparisons[result.name]
            row |= {"difference": one.difference, "p": one.p, "p_holm": one.corrected}
        rows.append(row)
    return {
        "format": FORMAT,
        "data": report.data,
        "split": report.split,
        "repeat": report.repeat,
        "n_users": len(report.targets),
        "n_items": report.n_items,
        "headline": HEADLINE,
        "ours": ours,
        "grids": {name: peer.grid() for name, peer in PEERS.items()},
        "tuned_on": TUNED_ON,
        "python": platform.python_version(),
        "rows": rows,
    }


def from_ranks(out: Path, stem: str) -> tuple[Report, dict[str, Any]]:
    """Restore what ``publish`` wrote; raises DataError where it is not there."""
    try:
        content = json.loads((out / f"{stem}.json").read_text("utf-8"))
        with np.load(out / f"{stem}_ranks.npz", allow_pickle=False) as arrays:
            ranks = {str(name): unpacked(arrays[f"ranks_{place}"]) for place, name in enumerate(arrays["names"])}
        rows = content["rows"]
        results = tuple(SeededResult(row["name"], ranks[row["name"]], row["lists"], row["costs"]) for row in rows)
        nobody, nothing = (None,) * content["n_users"], np.zeros(content["n_users"], dtype=np.int64)
        meta = (content["data"], content["split"], content["repeat"])
        report = Report(results, CUTOFFS, content["n_items"], nobody, nothing, *meta)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as problem:
        raise DataError(f"{stem}: no ranks to start from in {out.name} ({problem}); run without --from-ranks") from None
    names = ("seeds", "settings", "validation", "notes")
    return report, {row["name"]: {name: row[name] for name in names} for row in rows}


def kept_rows(report: Report, details: Mapping[str, Any], out: Path, stem: str) -> tuple[Report, dict[str, Any]]:
    """Add the published rows that no run here has; raises DataError where they are of other cases."""
    published, told_of = from_ranks(out, stem)
    for name in ("data", "split", "repeat", "n_items"):
        if getattr(published, name) != getattr(report, name):
            raise DataError(f"{stem}: what is published there is of another {name}; run without --keep")
    if len(published.targets) != len(report.targets):
        raise DataError(f"{stem}: what is published there is of other users; run without --keep")
    here = {result.name for result in report.results}
    added = [result for result in published.results if result.name not in here]
    results = sorted([*report.results, *added], key=lambda result: -result.figure(HEADLINE))
    return replace(report, results=tuple(results)), {**details, **{one.name: told_of[one.name] for one in added}}


# --- the command line -------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for; exit code 1 where a model failed, and 2 for wrong use."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    with told():
        bench = Bench.open(options.data, options.split, options.runs, options.users)
        if options.worker:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
            work(bench, job_of(options, options.worker[0], int(options.worker[1])))
            return
        failed: list[str] = []
        if options.from_ranks:
            report, details = from_ranks(options.out, bench.stem)
        else:
            wanted = jobs(bench, options)
            failed = run_all(bench, wanted, given)
            report, details = collect(bench, wanted)
            if options.keep:
                report, details = kept_rows(report, details, options.out, bench.stem)
        print(publish(report, details, options.out, bench.stem))
        raise SystemExit(1 if failed else 0)


@contextmanager
def told() -> Iterator[None]:
    """Tell what went wrong in one line, and end with exit code 1, or 2 for wrong use."""
    try:
        yield
    except GenreGenError as problem:
        say(f"error: {problem}")
        raise SystemExit(2 if isinstance(problem, UsageError) else 1) from None


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", required=True, help="a folder of eval/domains, or any folder with a domain.toml")
    made.add_argument("--split", default="leave-one-out", choices=["leave-one-out", "global-time", ONE_STEP_BACK])
    made.add_argument("--seeds", type=int, default=3, help="runs of each model that has chance in it")
    made.add_argument("--models", nargs="+", default=[*PEERS, GENRE], metavar="MODEL", help=", ".join([*PEERS, GENRE]))
    made.add_argument("--minutes", type=float, help="limit of tuning and training for one seed, of sasrec and genre")
    made.add_argument("--users", type=int, help=f"users validated on and asked; with --split {ONE_STEP_BACK} only")
    made.add_argument("--out", type=Path, default=Path("eval/results"), help="folder of table, picture and ranks")
    made.add_argument("--runs", type=Path, default=Path("runs/leaderboard"), help="folder of single results and logs")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a changed setting of ours")
    made.add_argument("--label", default="", help="our rows are then named 'GENRE (LABEL)'")
    made.add_argument("--keep", action="store_true", help="rows of the files in --out that no run here has stay")
    made.add_argument("--from-ranks", action="store_true", help="make the table anew from the files in --out")
    made.add_argument("--worker", nargs=2, metavar=("MODEL", "SEED"), help=argparse.SUPPRESS)
    return made


def jobs(bench: Bench, options: argparse.Namespace) -> list[Job]:
    """Return what is to be run; raises UsageError for an unknown model."""
    unknown = [model for model in options.models if model not in PEERS and model != GENRE]
    if unknown:
        raise UsageError(f"no model {', '.join(unknown)}; there are: {', '.join([*PEERS, GENRE])}")
    if options.seeds < 1:
        raise UsageError(f"--seeds {options.seeds}; give 1 or more")
    rated = bench.interactions.ratings is not None
    found = []
    for model in options.models:
        peer = PEERS.get(model)
        if peer is not None and peer.rated and not rated:
            say(f"{model}: left out, the data has no ratings")
            continue
        seeds = options.seeds if peer is None or peer.seeded else 1
        found += [job_of(options, model, seed) for seed in range(seeds)]
    return found


def job_of(options: argparse.Namespace, model: str, seed: int) -> Job:
    """Return the job of a model and seed under these options; changed settings and the label are for ours only."""
    if model != GENRE:
        return Job(model, seed, options.minutes)
    changes = dict(assignment(text) for text in options.set)
    if options.label and not LABEL.fullmatch(options.label):
        raise UsageError(f"--label {options.label!r}; use letters, digits, spaces, dots, commas, plus and minus")
    return Job(model, seed, options.minutes, changes, options.label)


LABEL = re.compile(r"[\w .,+-]+")


def assignment(text: str) -> tuple[str, Any]:
    """Split ``key=value``; the value is JSON, or else a text."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ConfigError(f"--set {text}: write key=value, such as training.epochs=3")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def say(line: str) -> None:
    """Tell about progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
