"""What do training and requests cost as the catalog grows, and how good are they next to the law itself?

    python -m eval.training.large_catalog [--items 1682 10000 100000 1000000] [--steps 300] [--quick]

Logs are drawn from a known law (`eval/bench/law.py`). Each size is measured in a process of its own, so that its peak
memory is its own: a fixed number of steps of the language model with the settings that its size gets by default, then
NDCG@10 of validation users, which the law's own ranking bounds, and the median time in which a request's items are
scored. With ``--steps 0`` all epochs (``--epochs``) are trained.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from eval.bench.results import record, table
from eval.bench.script import ROOT, at_least_one, new_parser, say, script
from genre_gen.errors import UsageError

SIZES = {1_682: (943, 100_000), 10_000: (8_000, 160_000), 100_000: (60_000, 1_000_000), 1_000_000: (400_000, 5_000_000)}
"""Items -> users and interactions of the log."""

HEAD = ("items", "interactions", "steps", "prepared, s", "ms a token", "of the first", "peak GB", "request, ms",
        "of the first", "NDCG@10", "the law's", "share")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size in a process of its own and print the table."""
    parser = new_parser(__doc__, "threads", "quick")
    parser.add_argument("--items", nargs="+", type=int, choices=list(SIZES), default=list(SIZES), help="[all]")
    parser.add_argument("--steps", type=int, default=300, help="steps of each training; 0 trains all epochs [300]")
    parser.add_argument("--epochs", type=int, default=2, help="of a whole training [2]")
    parser.add_argument("--users", type=int, default=300, help="validation users [300]")
    parser.add_argument("--one", help="measure this size, and print JSON; for the processes that the script starts")
    with script(parser, arguments) as options:
        at_least_one(options, "threads", "epochs", "users")
        if options.one is not None:
            print(json.dumps(one(options)))
            return
        found = {}
        for n_items in options.items:
            names = ("threads", "steps", "epochs", "users")
            found[n_items] = started("eval.training.large_catalog", n_items, options, names)
            say(f"{n_items:,} items: {found[n_items]}")
        text = table(HEAD, rows(found))
        record(options.out, "large_catalog", f"{options.steps or 'all'} steps", {str(n): found[n] for n in found}, text)
        print(text)


def shape(n_items: int, quick: bool) -> tuple[int, int, int]:
    """Return items, users and interactions of a size; quick ones are small."""
    users, interactions = SIZES[n_items]
    return (n_items // 100 + 50, 30, 400) if quick else (n_items, users, interactions)


def one(options: Any) -> dict[str, Any]:
    """Measure one size in this process."""
    import torch

    from eval.training.llm_alone import Subject, measure

    torch.set_num_threads(options.threads)
    sizes = shape(int(options.one), options.quick)
    subject = Subject.made_up(*sizes)
    domain = subject.domain.changed({"training.epochs": options.epochs, "training.patience": options.epochs})
    steps = (5 if options.quick else options.steps) or None
    found = measure(Subject(domain, subject.split, subject.law), options.users, steps)
    return {**vars(found), "interactions": sizes[2], "token_ms": found.token_ms, "best": found.best}


def started(module: str, n_items: int, options: Any, names: Sequence[str]) -> dict[str, Any]:
    """Measure one size in a process of its own; raises UsageError with its last line if it fails.

    ``module`` is the script to run, ``names`` are the options that it gets.
    """
    command = [sys.executable, "-m", module, "--one", str(n_items)]
    command += [f"--{name}={getattr(options, name)}" for name in names]
    command += ["--quick"] if options.quick else []
    command += [text for each in getattr(options, "set", None) or () for text in ("--set", each)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"{n_items:,} items: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def rows(found: dict[int, dict[str, Any]]) -> list[list[str]]:
    """Return a line for each size, next to the first."""
    first = next(iter(found.values()))
    return [
        [
            f"{n_items:,}",
            f"{each['interactions']:,}",
            f"{each['steps']:,}",
            f"{each['build_seconds']:.0f}",
            f"{each['token_ms']:.3f}",
            f"{each['token_ms'] / max(1e-9, first['token_ms']):.2f}",
            f"{each['peak_gigabytes']:.2f}",
            f"{each['request_ms']:.1f}",
            f"{each['request_ms'] / max(1e-9, first['request_ms']):.2f}",
            f"{each['best']:.4f}",
            f"{each['bound']:.4f}",
            f"{each['best'] / max(1e-9, each['bound']):.3f}",
        ]
        for n_items, each in found.items()
    ]


if __name__ == "__main__":
    main()
