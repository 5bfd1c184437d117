"""What the scripts of the server share: their options, servers with empty stores, and results that are kept by part."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from eval.bench.results import read, record
from eval.bench.script import new_parser, say
from eval.live.library import Library
from eval.live.server import Server, fresh_folder

Row = dict[str, Any]
PARTS = "parts"


@dataclass
class Trial:
    """A recommender and the way it is served.

    Attributes:
        run: folder of the recommender.
        domain: its name.
        quick: small sizes, to try a script.
        options: of ``genre-gen serve``.
        seed: of users, moments and items.
    """

    run: Path
    domain: str = "movies"
    quick: bool = False
    options: Sequence[str] = ()
    seed: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def library(self) -> Library:
        """Return the recommender, loaded in this process."""
        return Library.load(self.run)

    @contextmanager
    def server(self, *options: str, folder: Path | None = None, **others: Any) -> Iterator[Server]:
        """Start a server with an empty store, or that of a folder; stop it in the end."""
        with fresh_folder() as empty:
            place = folder or Path(empty)
            server = Server(
                self.run,
                place,
                domain=self.domain,
                options=[*self.options, *options],
                environment=self.environment,
                **others,
            )
            with server:
                yield server

    def size(self, full: int, quick: int) -> int:
        """Return a number for the whole measurement, or for trying it."""
        return quick if self.quick else full


def new_trial_parser(doc: str | None, parts: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a script whose parts can be chosen."""
    parser = new_parser(doc, "demo run", "quick")
    parser.add_argument("--domain", default="movies", help="name of the domain that is served")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts), metavar="PART", help="[all]")
    parser.add_argument("--again", action="store_true", help="measure parts again that are in the folder of results")
    parser.add_argument("--threads", type=int, help="of the served model [torch's number]")
    parser.add_argument("--setting", action="append", default=[], metavar="KEY=VALUE", help="of the server")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def new_trial(options: argparse.Namespace) -> Trial:
    """Return the trial that the options describe."""
    serve = [] if options.threads is None else ["--threads", str(options.threads)]
    serve += [word for pair in options.setting for word in ("--set", pair)]
    return Trial(options.run, options.domain, options.quick, serve, options.seed)


Part = Callable[[Trial], Row]


def measure(
    stem: str,
    options: argparse.Namespace,
    trial: Trial,
    parts: Mapping[str, Part],
    markdown: Callable[[Mapping[str, Row]], str],
) -> dict[str, Row]:
    """Measure the parts that are chosen and not there yet; write after each one.

    Args:
        stem: name of the file of results; the entry is that of the recommender's folder.
        options: of the command line.
        trial: the recommender and its server.
        parts: what measures each part, in order.
        markdown: makes the table of all parts that are there.

    Returns:
        The figures by part.
    """
    key, figures = entry_of(options), measured(stem, options)
    for name in options.parts:
        if name in figures and not options.again:
            continue
        say(f"{stem}: {name}")
        begin = time.monotonic()
        figures[name] = {**parts[name](trial), "seconds": round(time.monotonic() - begin, 1)}
        content = {PARTS: figures, "machine": machine(), "served_with": list(trial.options), "quick": trial.quick}
        record(options.out, stem, key, content, markdown(figures))
    return figures


def entry_of(options: argparse.Namespace) -> str:
    """Return the name of the entry of results."""
    return options.run.name + (" (quick)" if options.quick else "")


def measured(stem: str, options: argparse.Namespace) -> dict[str, Row]:
    """Return the figures by part that are in the folder of results."""
    file = options.out / f"{stem}.json"
    return dict(read(file).get(entry_of(options), {}).get(PARTS, {})) if file.exists() else {}


def machine() -> Row:
    """Return what figures depend on besides the code."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "product_gflops": product_speed(),
    }


def product_speed(rounds: int = 20) -> float:
    """Return 10^9 operations a second of one thread, in the fastest of some products of the layers' size."""
    rows, layer = np.ones((512, 576), np.float32), np.ones((576, 1536), np.float32)
    best = float("inf")
    with threadpool_limits(1):
        for _ in range(rounds):
            begin = time.perf_counter()
            rows @ layer
            best = min(best, time.perf_counter() - begin)
    return 2 * rows.size * layer.shape[1] / best / 1e9


def number(value: Any, digits: int = 1) -> str:
    """Return a figure of a table; "none in time" where it is infinite."""
    if value is None or value in (float("inf"), float("-inf")):
        return "none in time"
    return f"{value:,.{digits}f}"
