"""What tests of the scripts share: a tiny data set, and a way to run a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from eval_data import cycles

from eval.bench import points, stages
from eval.bench.cases import Bench
from eval.bench.points import Checkout
from genre_gen.domain import Domain


@pytest.fixture
def circle(tmp_path: Path) -> Path:
    """Return the folder of a domain with these users."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    lines = ["user_id,item_id,when"]
    for history in cycles().histories():
        lines += [f"{history.user},i{row},{time}" for row, time in zip(history.rows, history.times, strict=True)]
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
    settings = 'name = "ecommerce"\n[data]\npath = "."\nreader = "table"\n[data.columns]\ntime = "when"\n'
    (folder / "domain.toml").write_text(settings)
    return folder


@pytest.fixture
def bench(tiny_domain: Domain, tmp_path: Path) -> Bench:
    """Return a bench on the sample, whose domain trains in seconds."""
    domain = tiny_domain.changed({"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}})
    return Bench("sample", domain, "leave-one-out", tmp_path / "runs")


Run = Callable[..., int]


@pytest.fixture
def run() -> Run:
    """Return what calls a script's ``main`` and returns its exit code."""

    def call(script: Any, *arguments: object) -> int:
        try:
            script.main([str(argument) for argument in arguments])
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return call


@pytest.fixture
def entry() -> Callable[[Path], Mapping[str, Any]]:
    """Return what reads the only entry of a file of results, with its table as a text."""

    def read(file: Path) -> Mapping[str, Any]:
        (content,) = json.loads(file.read_text("utf-8")).values()
        table = "\n".join(content.pop("table"))
        assert table in (file.parent / "README.md").read_text("utf-8")
        return {**content, "table": table}

    return read


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Measure points without processes, which would have to load torch first; return which were measured."""
    measured: list[tuple[str, str]] = []

    def run(checkout: Checkout, order: Mapping[str, Any], limits: object, threads: int, log: Path) -> dict[str, Any]:
        measured.append((checkout.label, order["part"]))
        with log.with_suffix(".out").open("w") as out, redirect_stdout(out):
            getattr(stages, order["part"])(order)
        figures = points.told(log.with_suffix(".out"))
        figures.pop("open")
        return {**figures, "ended": None, "stage": None, "total": 1.0}

    monkeypatch.setattr(Checkout, "run", run)
    monkeypatch.setattr(points, "write_log", points.draw_log)
    return measured
