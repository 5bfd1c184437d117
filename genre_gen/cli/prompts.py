"""The commands about prompts."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from genre_gen.cli.options import AsJson, DataPlace, DomainName, show
from genre_gen.errors import UsageError

app = typer.Typer(help="Look at what the model is asked.", no_args_is_help=True, rich_markup_mode=None)


@app.command("copy")
def copy(
    domain: DomainName,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Tasks such as intent, or files of templates.")],
) -> None:
    """Copy generic templates into a domain's own folder, to be edited there; nothing is replaced."""
    from genre_gen.domain import Domain
    from genre_gen.prompting.templates import copy_templates

    show("\n".join(f"wrote {file}" for file in copy_templates(Domain.load(domain), names)))


@app.command("render")
def render(
    domain: DomainName,
    task: Annotated[str, typer.Argument(help="Task, such as next_item.")],
    user: Annotated[str, typer.Option(help="User id of the data.")] = "",
    data: DataPlace = None,
    as_json: AsJson = False,
) -> None:
    """Show exactly what the model sees for a user: template text, item codes, and ⟦untrusted values⟧."""
    from genre_gen.reporting.formatting import render_prompt

    if not user:
        raise UsageError("--user is missing: whose prompt shall be shown?")
    show(render_prompt(domain, task, user, data, as_json=as_json, color=sys.stdout.isatty()))
