"""The common command line of all scripts: options, output folders, and exit codes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genre_gen.errors import ConfigError, GenreGenError, UsageError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "eval" / "results"
LOCAL = Path("runs/eval")

SHARED: dict[str, tuple[str, dict[str, Any]]] = {
    "data": ("--data", {"required": True, "help": "a folder of eval/domains, or any folder with a domain.toml"}),
    "run": ("run", {"type": Path, "help": "folder of a trained recommender"}),
    "demo run": ("run", {"type": Path, "nargs": "?", "default": Path("runs/movies"), "help": "trained recommender"}),
    "split": ("--split", {"default": "leave-one-out", "help": "leave-one-out or global-time; as in training"}),
    "part": ("--part", {"choices": ("validation", "test"), "default": "test"}),
    "minutes": ("--minutes", {"type": float, "help": "limit of one training of ours"}),
    "set": ("--set", {"action": "append", "default": [], "metavar": "KEY=VALUE", "help": "a changed setting of ours"}),
    "threads": ("--threads", {"type": int, "default": 2}),
    "quick": ("--quick", {"action": "store_true", "help": "few rounds and users, to try the script"}),
    "folds": ("--folds", {"type": int, "default": 5}),
    "fold seed": ("--seed", {"type": int, "default": 0, "help": "seed of folds and models"}),
}
"""Options that several scripts have, by name."""


def new_parser(doc: str | None, *shared: str) -> argparse.ArgumentParser:
    """Return a parser with ``--out``, ``--record`` and the named options of ``SHARED``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in shared:
        flag, settings = SHARED[name]
        parser.add_argument(flag, **settings)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, default=LOCAL, help=f"folder of results [{LOCAL}]")
    where.add_argument("--record", dest="out", action="store_const", const=RESULTS, help="write into eval/results")
    return parser


@contextmanager
def script(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> Iterator[argparse.Namespace]:
    """Parse the arguments; an error is one line with exit code 1, or 2 for wrong use."""
    options = parser.parse_args(arguments)
    try:
        yield options
    except (GenreGenError, OSError) as problem:
        say(f"error: {problem}")
        raise SystemExit(2 if isinstance(problem, UsageError) else 1) from None


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Return settings from texts ``key=value``; a value is JSON, or else a string."""
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ConfigError(f"--set {text}: write key=value, such as training.epochs=3")
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            settings[key] = value
    return settings


def at_least_one(options: argparse.Namespace, *names: str) -> None:
    """Raise UsageError for an option below 1."""
    for name in names:
        if (value := getattr(options, name)) < 1:
            raise UsageError(f"{'-' if len(name) == 1 else '--'}{name} {value}; give 1 or more")


def say(line: str) -> None:
    """Report progress on stderr."""
    print(line, file=sys.stderr, flush=True)
