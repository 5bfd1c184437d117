"""The commands about domains, their prompts, and the machine."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from genre_gen.cli.options import FAILED, AsJson, DataPlace, DomainName, check_writable, show
from genre_gen.errors import GenreGenError, UsageError

app = typer.Typer(help="List the available domains; create or check one.", rich_markup_mode=None)
prompts = typer.Typer(help="Show or copy the prompts of the model.", no_args_is_help=True, rich_markup_mode=None)


def _column(of: str) -> typer.models.OptionInfo:
    return typer.Option(metavar="COLUMN", help=f"Column of the {of} [inferred].")  # type: ignore[no-any-return]


@app.callback(invoke_without_command=True)
def domains(context: typer.Context, as_json: AsJson = False) -> None:
    """List the available domains; create or check one."""
    from genre_gen.domain import Domain

    if context.invoked_subcommand is not None:
        return
    names = Domain.available()
    show(json.dumps(names) if as_json else "\n".join(f"{name}  {Domain.load(name).catalog_folder}" for name in names))


@app.command("new")
def new_domain(
    name: Annotated[str, typer.Argument(help="Name of the domain.")],
    interactions: Annotated[Path, typer.Option(help="Table of interactions: text, JSON or Parquet; may be packed.")],
    items: Annotated[Path | None, typer.Option(help="Table of the items [the interactions].")] = None,
    folder: Annotated[Path, typer.Option(help="Folder in which catalogs/NAME and prompts/NAME are written.")] = Path(),
    noun: Annotated[str | None, typer.Option(help="Word for one item [from the name of the item file].")] = None,
    language: Annotated[str, typer.Option(help="Two letters: language of the prompts.")] = "en",
    user: Annotated[str | None, _column("interactions")] = None,
    item: Annotated[str | None, _column("interactions")] = None,
    rating: Annotated[str | None, _column("interactions, or none")] = None,
    time: Annotated[str | None, _column("interactions, or none")] = None,
    event: Annotated[str | None, _column("interactions, or none")] = None,
    item_id: Annotated[str | None, _column("items")] = None,
    title: Annotated[str | None, _column("items, or none")] = None,
    text: Annotated[str | None, _column("items, or none")] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of text files, such as cp1251; auto: found out.")] = "auto",
    items_encoding: Annotated[str | None, typer.Option(help="Encoding of the items, if it is another.")] = None,
    as_json: AsJson = False,
) -> None:
    """Infer a domain from two tables, ready for training."""
    from genre_gen.new_domain.scaffold import start_domain

    named = {
        "user": user, "item": item, "rating": rating, "time": time, "event": event, "item_id": item_id, "title": title,
        "text": text,
    }  # fmt: skip
    columns = {role: column for role, column in named.items() if column is not None}
    check_writable(folder, "--folder")
    try:
        started = start_domain(name, interactions, items, folder, columns, noun, language, encoding, items_encoding)
    except GenreGenError as problem:
        raise type(problem)(_with_options(str(problem))) from None
    show(started.to_json() if as_json else _with_options(started.text()))


def _with_options(message: str) -> str:
    """Return a message of the library, which names columns by role, with the options that name them here."""
    return re.sub(
        r'columns\["(\w+)"\](?:="([^"]*)")?',
        lambda key: f"--{key[1].replace('_', '-')}" + (f" {shlex.quote(key[2])}" if key[2] else ""),
        message,
    )


@app.command("check")
def check_domain(
    domain: DomainName,
    data: DataPlace = None,
    llm: Annotated[str | None, typer.Option(help="Model whose tokens are counted [the domain's].")] = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, data and templates, and show a prompt of each task; exit code 1 if there is a problem."""
    from genre_gen.new_domain.validate import check

    found = check(domain, data, llm)
    show(found.to_json() if as_json else found.text(color=sys.stdout.isatty()))
    if found.problems:
        raise typer.Exit(FAILED)


def doctor(
    domain: DomainName = "movies",
    online: Annotated[bool, typer.Option("--online", help="Also check whether the model hub answers.")] = False,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Examine this running server instead; a key lets it see more.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Key for that server [GENRE_KEY].")] = None,
    as_json: AsJson = False,
) -> None:
    """Report the hardware and packages, and what will be used; exit code 1 if something is missing."""
    if server is not None:
        found: Any = _examine_server(server, key)
    else:
        from genre_gen.cli.doctor import examine
        from genre_gen.domain import Domain

        found = examine(Domain.load(domain), online=online)
    show(found.to_json() if as_json else found.table())
    if not found.healthy:
        raise typer.Exit(FAILED)


def _examine_server(url: str, key: str | None) -> Any:
    from genre_gen.cli.api_client import given_key
    from genre_gen.cli.server_doctor import examine_server

    return examine_server(url, given_key(key))


@prompts.command("copy")
def copy(
    domain: DomainName,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Tasks such as intent, or files of templates.")],
) -> None:
    """Copy generic templates into a domain's own folder for editing; existing files are kept."""
    from genre_gen.domain import Domain
    from genre_gen.prompting.templates import copy_templates

    show("\n".join(f"wrote {file}" for file in copy_templates(Domain.load(domain), names)))


@prompts.command("render")
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
        raise UsageError("--user is missing: give the user whose prompt is shown")
    show(render_prompt(domain, task, user, data, as_json=as_json, color=sys.stdout.isatty()))
