"""The command that compares trained recommenders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from genre_gen.cli.options import AsJson, Plugins, run_folder, show
from genre_gen.errors import UsageError


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Folders of trained recommenders, or domains' names for runs/DOMAIN."),
    ],
    users: Annotated[int, typer.Option(help="Number of users whose lists are compared; 0 for none.")] = 200,
    user: Annotated[list[str] | None, typer.Option(help="Compare lists for this user id. Repeatable.")] = None,
    history: Annotated[
        list[str] | None, typer.Option(help="Compare lists for the history of these titles or ids. Repeatable.")
    ] = None,
    n: Annotated[int, typer.Option("-n", help="Number of items in a list.")] = 10,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Show the differences of trained recommenders: data, settings, members, training, metrics, lists."""
    from genre_gen.data.filters import check_n
    from genre_gen.evaluation.run_comparison import compare_runs

    check_n(n)
    if users < 0:
        raise UsageError(f"--users {users}: give 0 or more")
    if user and history:
        raise UsageError("give either --user or --history")
    folders = [Path(run) if Path(run).is_dir() else run_folder(None, run) for run in runs]
    missing = [run for run, folder in zip(runs, folders, strict=True) if not folder.is_dir()]
    if missing:
        raise UsageError(f"{missing[0]}: no such folder; give folders of trained recommenders")
    histories: list[Any] = [history] if history else []
    found = compare_runs(folders, users=user or users, histories=histories, n=n, plugins=plugins or ())
    show(json.dumps(found.to_dict(), ensure_ascii=False, indent=2) if as_json else found.text())
