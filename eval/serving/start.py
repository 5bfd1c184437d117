"""What does it take to start: until the first answer of a process, and for each command?

    python -m eval.serving.start RUN [--rounds 5]

Every measurement is a process of its own. A step does what the steps before it do, and more: it imports torch, then
genre_gen, loads a recommender, and answers once. Seconds are those of the processor, megabytes what is resident at the
end. The table has medians, and how much more than the import of torch each step takes; below
it are the large packages that each imports.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.results import record, table
from eval.bench.script import ROOT, at_least_one, new_parser, script
from genre_gen.errors import UsageError
from genre_gen.recommender.recommender import Recommender

LARGE = (
    *("accelerate", "bitsandbytes", "huggingface_hub", "matplotlib", "outlines", "pandas", "peft", "polars"),
    *("scipy", "scipy.optimize", "scipy.stats", "sklearn", "surprise", "transformers", "genre_gen.training"),
)
"""Packages that take long to import, or much memory."""
CODE = {
    "import torch": "import torch",
    "import genre_gen": "from genre_gen import Recommender",
    "load": "recommender = Recommender.from_pretrained(sys.argv[1])",
    "first answer": "recommender.recommend(recommender.state.histories.users[0])",
    "first explanation": "recommender.recommend(recommender.state.histories.users[0], explain=True)",
}
"""The steps in a process, each with its code."""
COMMAND = """
from contextlib import suppress
from genre_gen.cli.main import main
sys.argv = ["genre-gen", *{arguments!r}]
with suppress(SystemExit):
    main()
"""
END = """
import json, resource, time
used, modules = time.process_time(), sorted(sys.modules)
try:
    with open("/proc/self/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
except OSError:  # only Linux has it
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
print()
print(json.dumps({"seconds": used, "megabytes": resident, "modules": modules}))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "demo run", "threads")
    parser.add_argument("--rounds", type=int, default=5)
    parser.set_defaults(threads=1)
    with script(parser, arguments) as options:
        at_least_one(options, "rounds", "threads")
        figures = measured(options.run, options.rounds, options.threads)
        base = figures["import torch"]
        rows = [
            (
                name,
                f"{step['seconds']:.2f}",
                f"{step['megabytes']:.0f}",
                f"{step['seconds'] - base['seconds']:.2f}",
                f"{step['megabytes'] - base['megabytes']:.0f}",
                ", ".join(step["large"]),
            )
            for name, step in figures.items()
        ]
        text = table(("", "seconds", "MB", "s more", "MB more", "large packages"), rows)
        record(options.out, "start", options.run.name, figures, text)
        print(text)


def measured(run: Path, rounds: int, threads: int) -> dict[str, dict[str, Any]]:
    """Return the median seconds and megabytes of each step and command, and the large packages it imports."""
    codes = dict(zip(CODE, itertools.accumulate(CODE.values(), "{}\n{}".format), strict=True))
    found: dict[str, list[Mapping[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        codes |= {name: COMMAND.format(arguments=each) for name, each in commands(run, Path(folder)).items()}
        for _ in range(rounds):
            for name, code in codes.items():
                found.setdefault(name, []).append(ran(code, run, threads))
    return {
        name: {
            "seconds": float(np.median([one["seconds"] for one in each])),
            "megabytes": float(np.median([one["megabytes"] for one in each])),
            "large": [package for package in LARGE if package in each[0]["modules"]],
        }
        for name, each in found.items()
    }


def commands(run: Path, folder: Path) -> dict[str, list[str]]:
    """Return the arguments of each command that is measured."""
    recommender = Recommender.from_pretrained(run)
    user = recommender.state.histories.users[0]
    item = recommender.recommend(user, n=1)[0].item.id
    model = ["--model", str(run)]
    return {
        "genre-gen recommend": ["recommend", *model, "--user", user],
        "genre-gen explain": ["explain", *model, "--user", user, "--item", item],
        "genre-gen report": ["report", str(run), "--user", user, "--out", str(folder / "report.html")],
        "genre-gen doctor": ["doctor"],
    }


def ran(code: str, run: Path, threads: int) -> Mapping[str, Any]:
    """Run code in a process of its own, and return what it took; raises UsageError where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    lines = ["import sys", code, END]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(run)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UsageError(f"{code.splitlines()[-1]} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
