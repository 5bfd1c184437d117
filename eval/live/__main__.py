"""All measurements of the server in order, within a time budget; what is in the folder of results is not repeated.

    python -m eval.live [runs/movies] [--minutes 90] [--quick] [--record]

Parts are measured in the order of ``STEPS``. A part that would not fit into the rest of the budget, by its usual
length, is left out and named; a later call measures it. Exit code 1 if a promise was broken.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.bench.results import read
from eval.bench.script import new_parser, say, script

QUICK = 15  # how many times shorter a part is that is only tried


@dataclass(frozen=True)
class Step:
    """A part of a script.

    Attributes:
        module: behind ``eval.live``.
        part: as ``--parts`` names it.
        minutes: that it usually takes.
    """

    module: str
    part: str
    minutes: float


STEPS = (
    Step("load", "lists", 9),
    Step("load", "whole", 4),
    Step("load", "explanations", 2),
    Step("load", "events", 6),
    Step("load", "overload", 2.5),
    Step("freshness", "lists", 4),
    Step("freshness", "push", 2),
    Step("changes", "added", 1.5),
    Step("changes", "withdrawn", 1.5),
    Step("changes", "swap", 6),
    Step("replay", "replay", 8),
    Step("faults", "restart", 3),
    Step("faults", "kills", 8),
    Step("faults", "retries", 1),
    Step("faults", "slow-readers", 2),
    Step("faults", "vanished", 2),
    Step("faults", "stop", 1.5),
    Step("faults", "hostile", 1),
    Step("faults", "clock", 1),
    Step("schema_fuzz", "fuzz", 6),
    Step("changes", "race", 9),
    Step("load", "peers", 3),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts, one process each; exit code 1 if one of them failed."""
    parser = new_parser(__doc__, "demo run", "quick")
    parser.add_argument("--minutes", type=float, default=90.0, help="of all parts together [90]")
    parser.add_argument("--domain", default="movies", help="name of the domain that is served")
    parser.add_argument("--only", nargs="+", metavar="MODULE", help="only the parts of these scripts")
    with script(parser, arguments) as options:
        end = time.monotonic() + 60 * options.minutes
        failed, left_out = [], []
        for step in STEPS:
            if options.only and step.module not in options.only:
                continue
            name = f"{step.module} {step.part}"
            minutes = step.minutes / (QUICK if options.quick else 1)
            if done(options.out, options.run.name + (" (quick)" if options.quick else ""), step):
                say(f"{name}: there already")
            elif time.monotonic() + 60 * minutes > end:
                left_out.append(name)
            elif code := run(step, options.run, options.domain, options.out, options.quick, 60 * (3 * minutes + 2)):
                failed.append(f"{name} ({code})")
        claims(options.run, options.out, options.quick)
        say(f"left out: {', '.join(left_out) or 'nothing'}; failed: {', '.join(failed) or 'nothing'}")
        raise SystemExit(int(bool(failed)))


def done(out: Path, key: str, step: Step) -> bool:
    """Tell whether a part is in the folder of results."""
    file = out / f"live_{step.module}.json"
    return file.exists() and step.part in read(file).get(key, {}).get("parts", {})


def claims(folder: Path, out: Path, quick: bool) -> None:
    """Print what must be reached next to what was measured."""
    command = [sys.executable, "-m", "eval.live.claims", str(folder), "--out", str(out)]
    subprocess.run([*command, *(["--quick"] if quick else [])], timeout=60, check=False)


def run(step: Step, folder: Path, domain: str, out: Path, quick: bool, seconds: float) -> int:
    """Run a part; return its exit code, 124 if it took too long."""
    command = [sys.executable, "-m", f"eval.live.{step.module}", str(folder), "--parts", step.part]
    command += ["--out", str(out), "--domain", domain, *(["--quick"] if quick else [])]
    try:
        return subprocess.run(command, timeout=seconds, stdout=subprocess.DEVNULL, check=False).returncode
    except subprocess.TimeoutExpired:
        return 124


if __name__ == "__main__":
    main()
