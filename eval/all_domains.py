"""Do all domains go through the same four commands, and how long does each take?

    python eval/all_domains.py [DOMAIN ...] [--minutes 2] [--label NAME] [--runs runs/all_domains] [--out eval/results]

For every domain (a name or a folder; by default the four shipped with a sample) this runs ``genre-gen train``,
``evaluate``, ``recommend --explain`` and ``explain --why`` in processes of their own, as a person would: for the first
user of the test part, and for the first item that is recommended to him. ``--minutes`` limits the language model's
training (``--max-minutes``); by default the domain's own limit holds. What each command printed is kept in ``--runs``;
the seconds it took, and the table of ``evaluate``, go into ``domains_LABEL`` as ``.json`` and ``.md``. A domain that
lies in ``--runs`` whole, measured with the same limit, is not run again: delete its folders where code has changed.

Exit code 1 where a command failed; the others are tried all the same.
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

from genre_gen.domain import Domain
from genre_gen.evaluation.baselines import GENRE
from genre_gen.evaluation.report import Report

SAMPLES = ("ecommerce", "news", "ads", "travel")
COMMANDS = ("train", "evaluate", "recommend", "explain")  # in this order: whoever is evaluated is recommended to
METRICS = ("R@10", "N@10")
SHOWN = ("GENRE", "GENRE, LLM alone", "blend without LLM", "sequential_rules", "popularity")
PICKS = 5
MEASURED = "measured.json"
CLI = (sys.executable, "-c", "from genre_gen.cli.main import main; main()")


@dataclass(frozen=True)
class Ran:
    """What became of a command: exit code, seconds by the clock, and processor seconds of all its threads."""

    code: int
    seconds: float
    processor: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything, print the table and write it."""
    options = parser().parse_args(arguments)
    domains = [measured(domain, options.minutes, options.runs) for domain in options.domains or SAMPLES]
    content = {"cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS"), "domains": domains}
    text = markdown(content)
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / f"domains_{options.label}"
    stem.with_suffix(".json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    raise SystemExit(int(any(one["failed"] for one in domains)))


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("domains", nargs="*", metavar="DOMAIN", help="names, or folders with a domain.toml [the samples]")
    made.add_argument("--minutes", type=float, help="limit of the language model's training [the domain's own]")
    made.add_argument("--label", default="samples", help="of the files in --out")
    made.add_argument("--out", type=Path, default=Path("eval/results"), help="folder of the tables")
    made.add_argument(
        "--runs", type=Path, default=Path("runs/all_domains"), help="folder of models and of what is said"
    )
    return made


def measured(domain: str, minutes: float | None, runs: Path) -> dict[str, Any]:
    """Run the four commands for one domain, unless that has been done; a run that failed is deleted."""
    name = Path(domain).name
    model, said = runs / name, runs / f"{name}-said"
    minutes_held = Domain.load(domain).training.max_minutes if minutes is None else minutes
    if (said / MEASURED).is_file():
        before: dict[str, Any] = json.loads((said / MEASURED).read_text(encoding="utf-8"))
        if before["minutes"] == minutes_held:
            return before
    for folder in (model, said):
        shutil.rmtree(folder, ignore_errors=True)
    said.mkdir(parents=True)
    done: dict[str, Ran] = {}
    for command in COMMANDS:
        more = words(command, domain, minutes, model, said)
        done[command] = run([command, domain, *more], said / f"{command}.txt")
        print(f"{name}: {command} took {done[command].seconds:.0f} s, exit code {done[command].code}", file=sys.stderr)
        if done[command].code:
            break
    failed = next((command for command, ran in done.items() if ran.code), None)
    found = {
        "domain": name,
        "minutes": minutes_held,
        "commands": {command: asdict(ran) for command, ran in done.items()},
        "failed": failed,
        **({} if failed else outcome(model)),
    }
    if not failed:
        (said / MEASURED).write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def words(command: str, domain: str, minutes: float | None, model: Path, said: Path) -> list[str]:
    """Return a command's options; ``explain`` speaks of what ``recommend`` said before."""
    if command == "train":
        return ["--out", str(model), *(() if minutes is None else ("--max-minutes", f"{minutes:g}"))]
    whose = ["--model", str(model)]
    if command == "evaluate":
        return whose
    user = first_user(model)
    if command == "recommend":
        return [*whose, "--user", user, "-n", str(PICKS), "--explain"]
    asked = run(["recommend", domain, *whose, "--user", user, "-n", "1", "--json"], said / "pick.json")
    pick = "" if asked.code else json.loads((said / "pick.json").read_text(encoding="utf-8"))["picks"][0]["id"]
    return [*whose, "--user", user, "--item", pick, "--why"]


def first_user(model: Path) -> str:
    """Return the first user of the test part, as ``evaluate`` wrote it."""
    return str(json.loads((model / "evaluation.json").read_text(encoding="utf-8"))["users"][0])


def run(command: Sequence[str], output: Path) -> Ran:
    """Run a command of genre-gen; what it prints goes into a file, and its errors into one beside it."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with output.open("w", encoding="utf-8") as told, output.with_suffix(".err").open("w", encoding="utf-8") as errors:
        code = subprocess.run([*CLI, *command], stdout=told, stderr=errors, check=False).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(code, round(time.perf_counter() - begin, 1), round(used, 1))


def outcome(model: Path) -> dict[str, Any]:
    """Return what ``evaluate`` wrote: every model's figures with their intervals, and the weights of the blend."""
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
    lines = [
        "# The four commands, domain by domain",
        "",
        f"{content['cores']} cores, OMP_NUM_THREADS={content['threads'] or 'unset'}. Seconds by the clock; in brackets "
        "processor seconds, which other work on the machine hardly changes.",
        "",
        f"| domain | items | test cases | {' | '.join(COMMANDS)} |",
        "| --- |" + " ---: |" * (2 + len(COMMANDS)),
        *map(time_row, content["domains"]),
        "",
        f"{' / '.join(METRICS)} on the test items, all items ranked but the seen ones, one run each.",
        "",
        f"| domain | {' | '.join(SHOWN)} | blend |",
        "| --- |" + " ---: |" * len(SHOWN) + " --- |",
        *(accuracy_row(one) for one in content["domains"] if not one["failed"]),
        "",
    ]
    return "\n".join(lines)


def time_row(one: Mapping[str, Any]) -> str:
    """Return a domain's line of the table of seconds."""
    cells = []
    for command in COMMANDS:
        ran = one["commands"].get(command)
        failed = "" if ran is None or not ran["code"] else " failed"
        cells.append("not run" if ran is None else f"{ran['seconds']:.0f} ({ran['processor']:.0f}){failed}")
    sizes = [f"{one[key]:,}" if key in one else "" for key in ("items", "cases")]
    return f"| {one['domain']} | {' | '.join([*sizes, *cells])} |"


def accuracy_row(one: Mapping[str, Any]) -> str:
    """Return a domain's line of the table of accuracy."""
    figures = {row["name"]: " / ".join(f"{row['figures'][metric]:.3f}" for metric in METRICS) for row in one["models"]}
    blend = ", ".join(f"{name} {weight:.2f}" for name, weight in one["blend"].items())
    return f"| {one['domain']} | {' | '.join(figures.get(name, 'not run') for name in SHOWN)} | {blend} |"


if __name__ == "__main__":
    main()
