"""Is data of the public shapes that people bring read right, or refused with a remedy that works?

    python -m eval.own_data [--shapes NAME ...] [--minutes 1] [--keep FOLDER]

Every shape is small and made up. It goes through ``domains new``, ``domains check``, ``train``, ``recommend`` and
``evaluate``, and what was read is compared with what is right (``SHAPES`` of ``catalog.py``). If a shape is
refused, its remedy is carried out, and the rest follows. ``--minutes`` limits one training; with 0 nothing is trained.
The results of other shapes that are in ``OUT`` already are kept.

Exit code 1 if something is not right.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eval.bench.results import read as read_results
from eval.bench.results import record, table
from eval.bench.script import new_parser, say, script
from eval.own_data.catalog import SHAPES
from eval.own_data.shapes import Shape
from eval.own_data.trial import WRONG, Trial, read, trained
from genre_gen.errors import UsageError

STEM, KEY = "own_data", "shapes"
FIELDS = [field.name for field in fields(Trial)]
HEAD = ("shape", "verdict", "what differs", "users", "items", "interactions", "test cases", "s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Try the shapes, print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), metavar="NAME", help="[all]")
    parser.add_argument("--minutes", type=float, default=1.0, help="limit of one training; 0: nothing is trained [1]")
    parser.add_argument("--keep", type=Path, help="folder that keeps files, domains and models")
    with script(parser, arguments) as options:
        if unknown := [name for name in options.shapes if name not in SHAPES]:
            raise UsageError(f"--shapes {unknown[0]}: there are {', '.join(SHAPES)}")
        trials = before(options.out)
        for name in options.shapes:
            trials[name] = tried(SHAPES[name](), options.minutes, options.keep)
            say(f"{name}: {trials[name].verdict}")
            done = [trials[name] for name in SHAPES if name in trials]
            record(options.out, STEM, KEY, {"shapes": [trial.content() for trial in done]}, markdown(done))
        print(markdown([trials[name] for name in options.shapes]))
        raise SystemExit(int(any(trials[name].verdict == WRONG for name in options.shapes)))


def before(out: Path) -> dict[str, Trial]:
    """Return the results of a folder by the shape's name."""
    file = out / f"{STEM}.json"
    shapes = read_results(file)[KEY]["shapes"] if file.exists() else []
    return {shape["name"]: Trial(**{key: shape[key] for key in FIELDS}) for shape in shapes}


def tried(shape: Shape, minutes: float, keep: Path | None) -> Trial:
    """Return the trial of a shape, with its figures."""
    begin = time.perf_counter()
    with ExitStack() as stack:
        folder = keep / shape.name if keep is not None else Path(stack.enter_context(TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        trial, data = read(shape, folder)
        trial.refused = trial.refused.replace(f"{folder}/", "")
        if data is not None:
            log = data.interactions
            trial.figures |= {"users": len(log.users), "items": len(data.catalog), "interactions": len(log)}
            if minutes:
                trained(trial, data, folder, minutes, shape.right)
        trial.differences = [text.replace(f"{folder}/", "") for text in trial.differences]
    trial.figures["s"] = round(time.perf_counter() - begin, 1)
    return trial


def markdown(trials: Sequence[Trial]) -> str:
    """Return the table, and the messages of the refused shapes."""
    wrong = sum(trial.verdict == WRONG for trial in trials)
    rows = [
        (
            trial.name,
            trial.verdict,
            _cell("; ".join(trial.differences)),
            *(_figure(trial.figures.get(key)) for key in KEYS),
        )
        for trial in trials
    ]
    refused = [f"- {trial.name}: {_cell(trial.refused)}" for trial in trials if trial.refused]
    text = f"{len(trials)} shapes, {wrong} of them wrong.\n\n" + table(HEAD, rows, words=3)
    return text + ("\n\nRefused with:\n\n" + "\n".join(refused) if refused else "")


KEYS = ("users", "items", "interactions", "cases", "s")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:,}"


if __name__ == "__main__":
    main()
