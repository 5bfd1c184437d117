"""Is data of the public shapes that people bring read right, or refused with a remedy that works?

    python -m eval.own_data [--shapes NAME ...] [--minutes 1] [--keep FOLDER]

Every shape is small and made up. It goes through ``domains new``, ``domains check``, ``train``, ``recommend`` and
``evaluate``, and what was read is compared with what is right (``SHAPES`` of ``catalog.py``). If a shape is
refused, its remedy is carried out, and the rest follows. ``--minutes`` limits one training; with 0 nothing is trained.

Exit code 1 if something is not right.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eval.bench.results import record, table
from eval.bench.script import new_parser, say, script
from eval.own_data.catalog import SHAPES
from eval.own_data.shapes import Shape
from eval.own_data.trial import WRONG, Trial, read, trained
from genre_gen.errors import UsageError

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
        trials: list[Trial] = []
        for name in options.shapes:
            trials.append(tried(SHAPES[name](), options.minutes, options.keep))
            say(f"{name}: {trials[-1].verdict}")
        text = markdown(trials)
        content = {
            "minutes": options.minutes,
            "shapes": [{**asdict(trial), "verdict": trial.verdict} for trial in trials],
        }
        record(
            options.out,
            "own_data",
            "all" if options.shapes == list(SHAPES) else " ".join(options.shapes),
            content,
            text,
        )
        print(text)
        raise SystemExit(int(any(trial.verdict == WRONG for trial in trials)))


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
