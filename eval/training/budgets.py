"""Does training keep to its budget of time, does it use the budget, and does a larger one bring more?

    python -m eval.training.budgets [--data ml-100k csv] [--budgets 2 5 20] [--quick]

Each training is what ``genre-gen train`` does, in a process of its own: from the data being read to the folder being
written. Epochs are the domain's; a training continues beyond them while validation rises. ``csv`` is a made-up log of
20,000 interactions, read with the settings that are proposed for its tables; ``GENRE_DATA`` names the folder of the
other data. A training that takes more than ``--most`` times its budget is ended. ``--quick`` takes budgets as seconds.

A larger budget is compared with the next smaller one by a paired permutation test of the test users' NDCG@10,
corrected by Holm for each data set. Validation still rises if its last value is the best. Trainings are kept in
``OUT/budgets``, so that an interrupted run continues.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.points import Checkout, Limits, Point
from eval.bench.results import p_text, record, table, with_interval, write_text
from eval.bench.script import ROOT, assignments, at_least_one, new_parser, say, script
from genre_gen.errors import UsageError
from genre_gen.evaluation.significance import holm, interval, paired_test

DATA = {name: Point(domain=name) for name in ("ml-100k", "amazon-scientific", "amazon-beauty", "amazon-sports")}
DATA["csv"] = Point(2_000, 20_000, 40)
AFTERWARDS = 900  # seconds for reading the data and for the evaluation
KEPT_TO, USED = 1.15, 0.8
HEAD = (
    "data", "budget, minutes", "training, s", "of the budget", "validations", "validation N@10, LLM", "still rises",
    "test N@10", "next smaller budget", "p", "peak MB", "verdict",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Train under every budget, print the table; exit code 1 if a training failed."""
    parser = new_parser(__doc__, "threads", "set", "quick")
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA), help="[all]")
    parser.add_argument("--budgets", nargs="+", type=float, default=[2, 5, 20], help="minutes [2 5 20]")
    parser.add_argument("--most", type=float, default=6, help="end a training after so many times its budget [6]")
    parser.add_argument("--gigabytes", type=float, default=8, help="limit of one process's memory [8]")
    with script(parser, arguments) as options:
        at_least_one(options, "threads", "most")
        if min(options.budgets) <= 0:
            raise UsageError(f"--budgets {min(options.budgets):g}: give minutes above 0")
        minutes = sorted({minutes / 60 if options.quick else minutes for minutes in options.budgets})
        settings = {"training.tracker": "none", **assignments(options.set)}
        trainings = Trainings(
            options.out / "budgets", options.threads, options.most, 1000 * options.gigabytes, settings
        )
        failed = False
        for name in options.data:
            results = [trainings.result(name, budget) for budget in minutes]
            figures = compared(results)
            failed |= any(one["ended"] for one in figures)
            key = f"{name}, {options.threads} threads"
            text = markdown(name, figures)
            record(options.out, "budgets", key, {"budgets": figures}, f"Budgets of training, {key}.\n\n{text}")
            print(text)
        if failed:
            raise SystemExit(1)


class Trainings:
    """Trainings under budgets, kept as JSON and one array of NDCG@10."""

    def __init__(self, folder: Path, threads: int, most: float, megabytes: float, settings: Mapping[str, Any]) -> None:
        """Set the folder of results and what holds for all trainings."""
        self.folder, self.threads, self.most, self.megabytes = folder, threads, most, megabytes
        self.settings, self.checkout = dict(settings), Checkout("new", ROOT)

    def result(self, name: str, minutes: float) -> dict[str, Any]:
        """Return a training's figures, made now unless they are kept; ``ndcg`` has the test users', if it finished."""
        file = self.folder / f"{name}-{minutes:g}.json"
        limits = Limits(60 * minutes * self.most + AFTERWARDS, self.megabytes)
        about = {"commit": self.checkout.commit, "threads": self.threads, "settings": self.settings, "most": self.most}
        if not (file.exists() and json.loads(file.read_text("utf-8"))["about"] == about):
            say(f"{name}: {minutes:g} minutes")
            saved = (self.folder / "scratch").resolve()
            shutil.rmtree(saved, ignore_errors=True)
            order = {"part": "budget", "minutes": minutes, "settings": self.settings, "folder": str(saved)}
            order |= {**DATA[name].order(self.folder / "data" / name), "file": str(file.with_suffix(".npy").resolve())}
            result = self.checkout.run(order, limits, self.threads, file.with_suffix(""))
            shutil.rmtree(saved, ignore_errors=True)
            write_text(file, json.dumps({**result, "minutes": minutes, "about": about}, indent=1))
        result = json.loads(file.read_text("utf-8"))
        return result if result["ended"] else {**result, "ndcg": np.load(file.with_suffix(".npy"))}


def compared(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of a data set's budgets, each compared with the next smaller one that finished."""
    figures = [summed_up(result) for result in results]
    finished = [number for number, result in enumerate(results) if "ndcg" in result]
    tests = []
    for smaller, larger in pairwise(finished):
        ndcg, before = results[larger]["ndcg"], results[smaller]["ndcg"]
        figures[larger] |= {"difference": float((ndcg - before).mean()), "interval": interval(ndcg - before)}
        tests.append((larger, paired_test(ndcg, before)))
    for (larger, _), p in zip(tests, holm([p for _, p in tests]) if tests else (), strict=True):
        figures[larger]["p"] = float(p)
    for one in figures:
        one["verdict"] = verdict(one)
    return figures


def summed_up(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of one training."""
    values = [entry["ndcg@10"] for entry in result.get("log", ()) if "ndcg@10" in entry and entry["epoch"] > 0]
    seconds = result.get("training")
    return {
        "minutes": result["minutes"],
        "seconds": seconds,
        "share": None if seconds is None else seconds / (60 * result["minutes"]),
        "validations": len(values),
        "validation": max(values, default=None),
        "rises": values[-1] == max(values) if values else None,
        "test": result.get("test"),
        "megabytes": result.get("megabytes"),
        "commit": result["about"]["commit"],
        "ended": result["ended"],
    }


def verdict(one: Mapping[str, Any]) -> str:
    """Return what a training does not do as it should, in words; "kept" for nothing."""
    if one["ended"]:
        return str(one["ended"])
    wrong = []
    if one["share"] > KEPT_TO:
        wrong.append("too long")
    if one["rises"] and one["share"] < USED:
        wrong.append("not used")
    if one.get("p", 1.0) < 0.05 and one["difference"] < 0:  # noqa: PLR2004 the usual level
        wrong.append("worse")
    return ", ".join(wrong) or "kept"


def markdown(name: str, figures: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a data set."""
    rows = []
    for one in figures:
        difference = with_interval(one["difference"], one["interval"]) if "difference" in one else ""
        numbers = ("seconds", ",.0f"), ("share", ".2f"), ("validations", "d"), ("validation", ".4f")
        cells = ["" if one[key] is None else format(one[key], style) for key, style in numbers]
        rises = "" if one["rises"] is None else "yes" if one["rises"] else "no"
        test, peak = (
            "" if one[key] is None else format(one[key], style)
            for key, style in (("test", ".4f"), ("megabytes", ",.0f"))
        )
        rows.append(
            [name, f"{one['minutes']:g}", *cells, rises, test, difference, p_text(one.get("p")), peak, one["verdict"]]
        )
    return table(HEAD, rows)


if __name__ == "__main__":
    main()
