"""The command that evaluates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from genre_gen.cli.options import (
    AsJson,
    Model,
    Plugins,
    ServedIn,
    TrainedDomain,
    check_writable,
    load,
    run_folder,
    show,
)

CUT_OFFS = (5, 10, 20)


def evaluate(
    domain: TrainedDomain = None,
    split: Annotated[str, typer.Option(help="leave-one-out or global-time; as in training.")] = "leave-one-out",
    part: Annotated[Literal["test", "validation"], typer.Option(help="What to rank; tune on validation.")] = "test",
    picks: Annotated[Path | None, typer.Option(help="Evaluate the picks of this file instead of the model.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.json and evaluation.png [the model's].")
    ] = None,
    model: Model = None,
    quantization: ServedIn = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate against classic recommenders on the same cases; print the table, write JSON and a plot."""
    from genre_gen.data.dataset import Dataset
    from genre_gen.evaluation.baselines import report_text, write_report
    from genre_gen.evaluation.picks import evaluate_picks

    recommender = load(model, domain, quantization, plugins)
    folder = None if picks is not None and out is None else out or run_folder(model, domain)
    if folder is not None:
        check_writable(folder)
    state = recommender.state
    parts = Dataset(state.domain, state.catalog, state.histories).split(split)
    if picks is not None:
        report = evaluate_picks(state, parts, part, picks)
    else:
        report = recommender.evaluate(parts, CUT_OFFS, part=part, progress=True)
    if folder is not None:
        write_report(report, folder)
    show(report.to_json() if as_json else report_text(report))
