"""One table of all models on one data set and split: ours, the package's members, and peers of other packages.

    python -m eval.accuracy.leaderboard --data ml-100k [--split leave-one-out] [--seeds 3] [--models sasrec genre]
        [--minutes 60]

Settings are chosen on the validation cases of a fit on the training part (grids: ``eval/bench/peers.py``);
then each model is fitted again on training and validation part with them, and ranks the test cases once. Further seeds
use the first one's settings. Each model and seed runs in a process of its own, which measures time and memory and
writes ``result.json`` and ``ranks.npz`` to ``--runs``. A result there with the same fingerprint of data and settings is
reused (delete its folder if the code has changed). The table has all results there for the present data, split and
domain, so ablations run with ``--set key=value --label NAME`` are included. Results of other data or settings are
reported and left out, and not deleted.
"""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.cases import FORMAT, ONE_STEP_BACK, TUNED_ON, Bench
from eval.bench.jobs import MEMORY, OUR_MODEL, SCORE, TRAIN, TUNE, Job, SeededResult, current_results, run_all
from eval.bench.peers import PEERS
from eval.bench.results import p_text, record, table
from eval.bench.script import assignments, at_least_one, new_parser, say, script
from eval.bench.tuner import HEADLINE
from eval.bench.worker import CUTOFFS, rows_of
from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.baselines import GENRE, WITHOUT_LLM
from genre_gen.evaluation.report import Comparison, Report, Result
from genre_gen.metrics import ndcg_at

STEM = "leaderboard"
COLUMNS = ("R@5", "R@10", "N@5", "N@10", "R@20", "N@20")
LABEL = re.compile(r"[\w .,+-]+")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the models; exit code 1 if a model failed, and 2 for wrong use."""
    with script(parser(), arguments) as options:
        bench = Bench.open(options.data, options.split, options.runs, options.users)
        wanted = jobs(bench, options)
        failed = run_all(bench, wanted)
        report, details = collect(bench, wanted)
        print(publish(report, details, bench, options.out))
        raise SystemExit(1 if failed else 0)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = new_parser(__doc__, "data", "minutes", "set")
    made.add_argument("--split", default="leave-one-out", choices=["leave-one-out", "global-time", ONE_STEP_BACK])
    made.add_argument("--seeds", type=int, default=3, help="seeds of each random model")
    made.add_argument(
        "--models", nargs="+", default=[*PEERS, OUR_MODEL], metavar="MODEL", help=", ".join([*PEERS, OUR_MODEL])
    )
    made.add_argument("--users", type=int, help=f"validation and test users; with --split {ONE_STEP_BACK} only")
    made.add_argument("--runs", type=Path, default=Path("runs/leaderboard"), help="folder of single results and logs")
    made.add_argument("--label", default="", help="our rows are then named 'OUR_MODEL (LABEL)'")
    return made


def jobs(bench: Bench, options: argparse.Namespace) -> list[Job]:
    """Return the jobs to run; raises UsageError for an unknown model."""
    unknown = [model for model in options.models if model not in PEERS and model != OUR_MODEL]
    if unknown:
        raise UsageError(f"no model {', '.join(unknown)}; there are: {', '.join([*PEERS, OUR_MODEL])}")
    at_least_one(options, "seeds")
    if options.label and not LABEL.fullmatch(options.label):
        raise UsageError(f"--label {options.label!r}; use letters, digits, spaces, dots, commas, plus and minus")
    changes = assignments(options.set)
    wanted = []
    for model in options.models:
        peer = PEERS.get(model)
        if peer is None:
            wanted += [Job(model, seed, options.minutes, changes, options.label) for seed in range(options.seeds)]
        elif peer.rated and bench.interactions.ratings is None:
            say(f"{model}: left out, the data has no ratings")
        else:
            wanted += [Job(model, seed, options.minutes) for seed in range(options.seeds if peer.seeded else 1)]
    return wanted


def collect(bench: Bench, wanted: Sequence[Job]) -> tuple[Report, dict[str, Any]]:
    """Return one report of all current runs of this data and split, and further details by row for the JSON.

    Seeds with other settings than the first are left out.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in current_results(bench, wanted):
        groups.setdefault((run["job"]["model"], run["job"]["label"]), []).append(run)
    results, details = [], {}
    for (model, label), runs in groups.items():
        runs.sort(key=lambda each: each["job"]["seed"])
        same = [each for each in runs if each["settings"] == runs[0]["settings"] and each["rows"] == runs[0]["rows"]]
        if len(same) < len(runs):
            say(f"{model}: seeds with other settings than seed {runs[0]['job']['seed']} are left out")
        for number, row in enumerate(runs[0]["rows"]):
            result = over_seeds(f"{row} ({label})" if label else row, number, same)
            results.append(result)
            details[result.name] = detail(number, same)
    if not results:
        raise DataError(f"no run of {bench.name}, {bench.split_name} has a result")
    results.sort(key=lambda result: -result.figure(HEADLINE))
    cases = bench.split.test
    targets = np.array([case.target for case in cases], dtype=np.int64)
    users = tuple(case.history.user for case in cases)
    n_items, split = bench.interactions.n_items, f"{bench.split_name}, test"
    return Report(tuple(results), CUTOFFS, n_items, users, targets, bench.name, split, bench.domain.repeat), details


def over_seeds(name: str, number: int, runs: Sequence[Mapping[str, Any]]) -> SeededResult:
    """Return one row's result over its seeds; figures of lists and costs are means."""
    ranks = np.stack([run["ranks"][f"test_{number}"].astype(np.float64) for run in runs])
    lists, costs = (means([run[kind][number] for run in runs]) for kind in ("lists", "costs"))
    first = runs[0]["costs"][number]
    if TUNE in first:
        costs[TUNE] = first[TUNE]  # only the first seed tunes
    return SeededResult(name, ranks, lists, costs)


def means(seeds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each figure that all seeds have."""
    names = [name for name in seeds[0] if all(name in figures for figures in seeds)]
    return {name: float(np.mean([figures[name] for figures in seeds])) for name in names}


def detail(number: int, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a row's details for the JSON."""
    validation = [run["ranks"][f"validation_{number}"] for run in runs if f"validation_{number}" in run["ranks"]]
    return {
        "seeds": [run["job"]["seed"] for run in runs],
        "settings": runs[0]["settings"],
        "validation": {HEADLINE: [float(ndcg_at(ranks.astype(np.float64), 10).mean()) for ranks in validation]},
        "notes": [run["notes"] for run in runs],
    }


def publish(report: Report, details: Mapping[str, Any], bench: Bench, out: Path) -> str:
    """Write JSON, table and picture; returns the table."""
    ours = GENRE if GENRE in [result.name for result in report.results] else None
    figures = summary(report, details, ours)
    text = markdown(figures)
    record(out, STEM, f"{bench.name}, {bench.split_name}", figures, text)
    split = "" if bench.split_name == "leave-one-out" else f"_{bench.split_name}"
    report.plot(out / f"{STEM}_{bench.name}{split}.png", HEADLINE, ours)
    return text


def compared(report: Report, ours: str | None) -> dict[str, Comparison]:
    """Compare ours with each other row; Holm's correction is separate for the peers and for our own parts and variants.

    The two answer different questions: whether ours is ahead of the peers, and what its parts bring.
    """
    comparisons: dict[str, Comparison] = {}
    if ours is not None:
        names = [result.name for result in report.results if result.name != ours]
        parts = [name for name in names if name.startswith((GENRE, WITHOUT_LLM))]
        for family in filter(None, ([name for name in names if name not in parts], parts)):
            comparisons |= {test.peer: test for test in rows_of(report, [ours, *family]).compare(ours)}
    return comparisons


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
            test = comparisons[result.name]
            row |= {"difference": test.difference, "p": test.p, "p_holm": test.corrected}
        rows.append(row)
    return {
        "format": FORMAT,
        "caption": report.caption(),
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


READING = (
    "Means over users and seeds; intervals by bootstrap over users; p-values of the paired permutation test on the "
    "users' NDCG@10, corrected by Holm over the peers, and apart over our own parts and variants. Settings were "
    "chosen on validation cases; then every model learned from the training and validation part with them, and ranked "
    "the test cases once. Tuning counts the first seed's trials, training the fit after the choice, scoring the test "
    "cases."
)


def markdown(figures: Mapping[str, Any]) -> str:
    """Return the table, best first, with explanations."""
    ours, rows = figures["ours"], figures["rows"]
    costs = [name for name in (TUNE, TRAIN, SCORE, MEMORY) if any(name in row["costs"] for row in rows)]
    head = ["model", *COLUMNS, f"95 % of {HEADLINE}", "seeds", *costs, *([f"p of {ours} against it"] if ours else [])]
    lines = []
    for row in rows:
        cells = [f"**{row['name']}**" if row["name"] == ours else row["name"]]
        cells += [f"{row['figures'][column]:.4f}" for column in COLUMNS]
        cells += ["{:.4f} to {:.4f}".format(*row["interval"]), str(len(row["seeds"]))]
        cells += [f"{row['costs'][name]:,.1f}" if name in row["costs"] else "" for name in costs]
        lines.append([*cells, *([p_text(row.get("p_holm"))] if ours else [])])
    return f"{figures['caption']}\n\n{table(head, lines)}\n\n{READING}"


if __name__ == "__main__":
    main()
