"""The reference of commands and options in docs/command-line.md is what the command line has.

``UPDATE_GOLDEN=1 pytest tests/docs/test_command_line.py`` writes it again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from genre_gen.cli.main import app
from tests.docs.pages import DOCS

PAGE = DOCS / "command-line.md"
MARK = "<!-- What follows is written by: UPDATE_GOLDEN=1 pytest tests/docs/test_command_line.py -->\n"
VALUES = {Path: "PATH", int: "N", float: "NUMBER"}


def all_commands() -> Iterator[tuple[str, Any]]:
    """Yield name and command of each, those of groups behind the group's own."""
    for name, command in typer.main.get_command(app).commands.items():
        if getattr(command, "invoke_without_command", True):  # `prompts` alone does nothing
            yield name, command
        yield from ((f"{name} {inner}", part) for inner, part in getattr(command, "commands", {}).items())


def row(parameter: Any, annotation: Any) -> str:
    """Return a line of a command's table."""
    choices = literals(annotation)
    kind = next((name for part, name in VALUES.items() if part in (annotation, *get_args(annotation))), "TEXT")
    value = "/".join(choices) if choices else parameter.metavar or kind
    is_argument = parameter.param_type_name == "argument"
    if is_argument:
        names = [parameter.metavar or parameter.name.upper()]
    else:
        value = "" if annotation is bool else f" {value}"
        names = [f"{name}{value}" for name in sorted(parameter.opts, key=len, reverse=True)]
    about = parameter.help or ""
    if parameter.required:
        about += " Required."
    elif parameter.default not in (None, "", False, ()) and "[" not in about:
        about += f" [{parameter.default}]"
    return f"| {', '.join(f'`{name}`' for name in names)} | {about} |"


def literals(annotation: Any) -> tuple[str, ...]:
    """Return the values that a type allows, () for any."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next(filter(None, map(literals, get_args(annotation))), ())


def reference() -> str:
    """Return the generated part of the page."""
    parts = ["\n## All commands and options\nA value in brackets is the default.\n"]
    for name, command in all_commands():
        parts.append(f"\n### `{name}`\n{command.help}\n")
        types = get_type_hints(command.callback)
        rows = [row(parameter, types[parameter.name]) for parameter in command.params if parameter.name in types]
        if rows:
            parts.append("\n| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def test_the_page_lists_every_command_and_option():
    written, mark, found = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark, f"{PAGE.name} lacks the line {MARK!r}"
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(written + MARK + reference(), encoding="utf-8")
    else:
        assert found == reference(), "run: UPDATE_GOLDEN=1 pytest tests/docs/test_command_line.py"


def test_every_command_is_in_the_written_part():
    written = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    missing = [name for name, _ in all_commands() if f"genre-gen {name}" not in written]
    assert not missing
