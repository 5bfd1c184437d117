"""Do all domains go through the same four commands, and how long does each take?

    python -m eval.accuracy.all_domains [DOMAIN ...] [--minutes 2] [--label NAME] [--runs runs/all_domains]

For every domain (a name or a folder; by default the four shipped with a sample) this runs ``genre-gen train``,
``evaluate``, ``recommend --explain`` and ``explain --why`` in processes of their own, like a user would: for the first
user of the test part, and for the first item recommended to that user. ``--minutes`` limits the language
model's training (``--max-minutes``); by default the domain's own limit is used. The output of each command is kept in
``--runs``; its seconds, and the table of ``evaluate``, are the result. A domain that is complete in ``--runs``
with the same limit is not run again; delete its folders if the code has changed.

Exit code 1 if a command failed; the others are run in any case.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.bench.results import record, table
from eval.bench.script import new_parser, say, script
from genre_gen.domain import Domain
from genre_gen.evaluation.baselines import GENRE
from genre_gen.evaluation.report import Report

SAMPLES = ("ecommerce", "news", "ads", "travel")
COMMANDS = ("train", "evaluate", "recommend", "explain")  # in this order
METRICS = ("R@10", "N@10")
SHOWN = ("GENRE", "GENRE, LLM alone", "blend without LLM", "sequential_rules", "popularity")
PICKS = 5
MEASURED = "measured.json"
CLI = (sys.executable, "-c", "from genre_gen.cli.main import main; main()")


@dataclass(frozen=True)
class Ran:
    """The result of a command: exit code, wall-clock seconds, and processor seconds of all its threads."""

    code: int
    seconds: float
    processor: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything, and write the tables."""
    with script(parser(), arguments) as options:
        domains = [measured(domain, options.minutes, options.runs) for domain in options.domains or SAMPLES]
        content = {"cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS"), "domains": domains}
        text = markdown(content)
        record(options.out, "all_domains", options.label, content, text)
        print(text)
        raise SystemExit(int(any(domain["failed"] for domain in domains)))


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = new_parser(__doc__, "minutes")
    made.add_argument("domains", nargs="*", metavar="DOMAIN", help="names, or folders with a domain.toml [the samples]")
    made.add_argument("--label", default="samples", help="key of the result")
    made.add_argument(
        "--runs", type=Path, default=Path("runs/all_domains"), help="folder of models and of the commands' output"
    )
    return made


def measured(domain: str, minutes: float | None, runs: Path) -> dict[str, Any]:
    """Run the four commands for one domain, unless its results exist; a failed run is deleted."""
    name = Path(domain).name
    model, output = runs / name, runs / f"{name}-output"
    minutes_held = Domain.load(domain).training.max_minutes if minutes is None else minutes
    if (output / MEASURED).is_file():
        before: dict[str, Any] = json.loads((output / MEASURED).read_text(encoding="utf-8"))
        if before["minutes"] == minutes_held:
            return before
    for folder in (model, output):
        shutil.rmtree(folder, ignore_errors=True)
    output.mkdir(parents=True)
    done: dict[str, Ran] = {}
    for command in COMMANDS:
        options = words(command, domain, minutes, model, output)
        done[command] = run([command, domain, *options], output / f"{command}.txt")
        say(f"{name}: {command} took {done[command].seconds:.0f} s, exit code {done[command].code}")
        if done[command].code:
            break
    failed = next((command for command, ran in done.items() if ran.code), None)
    result = {
        "domain": name,
        "minutes": minutes_held,
        "commands": {command: asdict(ran) for command, ran in done.items()},
        "failed": failed,
        **({} if failed else outcome(model)),
    }
    if not failed:
        (output / MEASURED).write_text(json.dumps(result, ensure_ascii=False) + "\n", encoding="utf-8")
    return result


def words(command: str, domain: str, minutes: float | None, model: Path, output: Path) -> list[str]:
    """Return a command's options; ``explain`` explains the pick of ``recommend``."""
    if command == "train":
        return ["--out", str(model), *(() if minutes is None else ("--max-minutes", f"{minutes:g}"))]
    whose = ["--model", str(model)]
    if command == "evaluate":
        return whose
    user = first_user(model)
    if command == "recommend":
        return [*whose, "--user", user, "-n", str(PICKS), "--explain"]
    asked = run(["recommend", domain, *whose, "--user", user, "-n", "1", "--json"], output / "pick.json")
    pick = "" if asked.code else json.loads((output / "pick.json").read_text(encoding="utf-8"))["picks"][0]["id"]
    return [*whose, "--user", user, "--item", pick, "--why"]


def first_user(model: Path) -> str:
    """Return the first user of the test part, as ``evaluate`` wrote it."""
    return str(json.loads((model / "evaluation.json").read_text(encoding="utf-8"))["users"][0])


def run(command: Sequence[str], output: Path) -> Ran:
    """Run a command of genre-gen; its output goes into a file, and its errors into one next to it."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with output.open("w", encoding="utf-8") as told, output.with_suffix(".err").open("w", encoding="utf-8") as errors:
        code = subprocess.run([*CLI, *command], stdout=told, stderr=errors, check=False).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(code, round(time.perf_counter() - begin, 1), round(used, 1))


def outcome(model: Path) -> dict[str, Any]:
    """Return the results of ``evaluate``: every model's figures with intervals, and the weights of the blend."""
    report = Report.from_json((model / "evaluation.json").read_text(encoding="utf-8"))
    rows = [
        {
            "name": result.name,
            "figures": {metric: result.figure(metric) for metric in METRICS},
            "intervals": {metric: list(report.interval(result.name, metric)) for metric in METRICS},
        }
        for result in report.results
    ]
    tests = {test.peer: test.corrected for test in report.compare(GENRE, METRICS[-1])}
    return {
        "items": report.n_items,
        "cases": len(report.users),
        "blend": {name: weight for name, weight in report.notes["blend"].items() if weight},
        "ratings": report.notes.get("ratings") or {},
        "models": [{**row, "p": tests.get(str(row["name"]))} for row in rows],
    }


def markdown(content: Mapping[str, Any]) -> str:
    """Return the tables: seconds, and accuracy."""
    times = table(("domain", "items", "test cases", *COMMANDS), map(time_row, content["domains"]))
    accuracy = [accuracy_row(domain) for domain in content["domains"] if not domain["failed"]]
    return (
        f"{content['cores']} cores, OMP_NUM_THREADS={content['threads'] or 'unset'}. Seconds by the clock; in brackets "
        f"processor seconds, which other work on the machine hardly changes.\n\n{times}\n\n"
        f"{' / '.join(METRICS)} on the test items, all items ranked but the seen ones, one run each.\n\n"
        + table(("domain", *SHOWN, "blend"), accuracy)
    )


def time_row(domain: Mapping[str, Any]) -> list[str]:
    """Return a domain's row of the table of seconds."""
    cells = [domain["domain"], *(f"{domain[key]:,}" if key in domain else "" for key in ("items", "cases"))]
    for command in COMMANDS:
        ran = domain["commands"].get(command)
        failed = "" if ran is None or not ran["code"] else " failed"
        cells.append("not run" if ran is None else f"{ran['seconds']:.0f} ({ran['processor']:.0f}){failed}")
    return cells


def accuracy_row(domain: Mapping[str, Any]) -> list[str]:
    """Return a domain's row of the table of accuracy."""
    figures = {
        row["name"]: " / ".join(f"{row['figures'][metric]:.3f}" for metric in METRICS) for row in domain["models"]
    }
    blend = ", ".join(f"{name} {weight:.2f}" for name, weight in domain["blend"].items())
    return [domain["domain"], *(figures.get(name, "not run") for name in SHOWN), blend]


if __name__ == "__main__":
    main()
