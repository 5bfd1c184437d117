"""Worker: the process of one job, which tunes, fits, ranks the test cases, and measures its time and memory."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eval.bench.cases import Bench
from eval.bench.jobs import MEMORY, OUR_MODEL, SCORE, TRAIN, TUNE, Job, Outcome, write_result
from eval.bench.peers import PEERS, Peer
from eval.bench.script import say
from eval.bench.tuner import Tuner
from genre_gen.errors import GenreGenError
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, WITHOUT_LLM, mixtures, scorers
from genre_gen.evaluation.protocol import evaluate_scorers
from genre_gen.evaluation.report import Report
from genre_gen.metrics import case_ranks

if TYPE_CHECKING:
    from genre_gen.recommender.state import RecommenderState

CUTOFFS = (5, 10, 20)


def main() -> None:
    """Do the job that the command line describes; a failure is one line and exit code 1."""
    opened, job = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        data, split, runs, users = opened
        work(Bench.open(data, split, Path(runs), users), Job(**job))
    except GenreGenError as problem:
        say(f"error: {problem}")
        raise SystemExit(1) from None


def work(bench: Bench, job: Job) -> None:
    """Tune, fit, rank and write."""
    outcome = run_ours(bench, job) if job.model == OUR_MODEL else run_peer(bench, PEERS[job.model], job)
    write_result(bench, job, outcome)


def run_peer(bench: Bench, peer: Peer, job: Job) -> Outcome:
    """Choose settings (first seed) or reuse them, fit again on training and validation part, and rank."""
    begin = time.perf_counter()
    inputs = peer.inputs(bench, job.seed)
    validation: dict[str, NDArray[np.float64]] = {}
    trials: list[dict[str, Any]] = []
    if job.seed:
        settings: dict[str, Any] = dict(job.first(bench)["settings"])
    else:
        settings, model, trials = Tuner(bench, peer, inputs, job.minutes).run()
        ranks = case_ranks(model.score, bench.split.validation, bench.interactions.n_items, bench.domain.repeat)
        validation[job.model] = ranks
        del model  # two fitted models in memory would raise its peak
    tuned = time.perf_counter()
    model = peer.make(settings, **inputs).fit(bench.split.train_and_validation)
    costs = {TUNE: tuned - begin, TRAIN: time.perf_counter() - tuned}
    report = rank_test(bench, {job.model: model.score})
    costs |= {SCORE: report[job.model].costs["score_seconds"], MEMORY: peak_megabytes()}
    return Outcome(settings, report, validation, {job.model: costs}, {"trials": trials})


def run_ours(bench: Bench, job: Job) -> Outcome:
    """Train our recommender; the rows are its blend, its language model alone, and its blend without it.

    With a refit from scratch, later seeds use the settings of the first one, like the peers. Validation ranks are not
    kept, since the recommender is refit on the validation cases.
    """
    state, costs = train_ours(bench, job)
    members = scorers(state)
    report = rank_test(bench, members, mixtures(state))
    scoring = {result.name: result.costs["score_seconds"] for result in report.results}
    without_llm = sum(scoring[name] for name in members if name != LLM_ALONE)
    costs = {name: {**spent, MEMORY: peak_megabytes()} for name, spent in costs.items()}
    costs[GENRE][SCORE] = scoring[LLM_ALONE] + without_llm + scoring[GENRE]
    costs[LLM_ALONE][SCORE] = scoring[LLM_ALONE]
    costs[WITHOUT_LLM] = {TRAIN: costs[WITHOUT_LLM][TRAIN], SCORE: without_llm + scoring[WITHOUT_LLM]}
    weights = {GENRE: dict(state.blend.weights), WITHOUT_LLM: dict(state.tuned.blend_without_llm.weights)}
    notes = {"weights": weights, "log": list(state.training_log), "tuned": state.tuned.to_dict()}
    return Outcome(job.public_settings(), rows_of(report, list(costs)), {}, costs, notes)


def train_ours(bench: Bench, job: Job) -> tuple[RecommenderState, dict[str, dict[str, float]]]:
    """Return our recommender, fitted on training and validation part, and its costs by row."""
    from genre_gen.blending.tuned import TunedSettings
    from genre_gen.recommender.recommender import Recommender

    settings = {**job.settings(), "training.seed": job.seed}
    # A killed run resumes from its checkpoints, but never from those of other settings.
    folder, begin = job.folder(bench) / f"training-{job.fingerprint(bench)}", time.perf_counter()
    if not job.refits_from_scratch(bench):
        tuned_at = begin
        state = Recommender(bench.domain, settings=settings).fit(bench.split, folder=folder).state
    else:
        log: Sequence[Mapping[str, Any]] = ()
        if job.seed:
            tuned = TunedSettings.from_dict(job.first(bench)["notes"]["tuned"])
        else:
            choosing = Recommender(bench.domain, settings={**settings, "training.refit": "none"})
            tuned, log = (state := choosing.fit(bench.split, folder=folder).state).tuned, state.training_log
            del choosing, state  # two models in memory would raise its peak
        tuned_at = time.perf_counter()
        state = Recommender(bench.domain, settings=settings).fit(bench.split, folder=folder, tuned=tuned).state
        state = replace(state, training_log=log)
    took = {TUNE: tuned_at - begin, TRAIN: time.perf_counter() - tuned_at}
    members = sum(state.seconds.get(name, 0.0) for name in state.members)
    return state, {GENRE: took, LLM_ALONE: took, WITHOUT_LLM: {TRAIN: members}}


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


def rows_of(report: Report, names: Sequence[str]) -> Report:
    """Return the report with these rows only."""
    return replace(report, results=tuple(report[name] for name in names))


def peak_megabytes() -> float:
    """Return the peak of this process's memory.

    On Linux, ``ru_maxrss`` includes the parent's memory before the fork; VmHWM is the process's own.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
