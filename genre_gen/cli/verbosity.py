"""How much the command line prints on stderr: ``--quiet``, ``--verbose``, and ``GENRE_LOG``.

Every command has both options, and so has the program itself, before the command. They set the level of the logger
``genre_gen``; results, on stdout, are the same at every level.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from genre_gen.errors import UsageError

VARIABLE = "GENRE_LOG"
LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
LOGGER = logging.getLogger("genre_gen")

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only, no progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log each step with its time on stderr.")]


class Stderr(logging.Handler):
    """Writes to the present stderr, above progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        text = self.format(record)
        if "tqdm" in sys.modules:
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)
        else:
            sys.stderr.write(text + "\n")


def set_up() -> None:
    """Log warnings and errors, or from the level in ``GENRE_LOG`` up; raises UsageError for an unknown level."""
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(Stderr())
    name = os.environ.get(VARIABLE, "warning").strip().lower()
    if name not in LEVELS:
        raise UsageError(f"{VARIABLE}={name}: choose {', '.join(LEVELS)}")
    tell_from(LEVELS[name])


def tell_from(level: int) -> None:
    """Log records of this level and above; of other packages, warnings and errors at most."""
    LOGGER.setLevel(level if level != logging.WARNING else logging.NOTSET)
    logging.getLogger().setLevel(max(level, logging.WARNING))
    if level > logging.WARNING:
        warnings.simplefilter("ignore")
    shape = "%(message)s" if level >= logging.WARNING else "%(asctime)s %(levelname)s %(name)s: %(message)s"
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Stderr):
            handler.setFormatter(logging.Formatter(shape, "%H:%M:%S"))


def shows_progress() -> bool:
    """Return whether progress and notes are shown."""
    return LOGGER.isEnabledFor(logging.WARNING)


def choose(quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Set the level that the options ask for; raises UsageError if both are given."""
    if quiet and verbose:
        raise UsageError("give either --quiet or --verbose")
    if quiet or verbose:
        tell_from(logging.ERROR if quiet else logging.DEBUG)


def add_options(app: typer.Typer) -> None:
    """Give the options to a program and to all of its commands."""
    if app.registered_callback is None:
        app.callback()(choose)
    else:
        app.registered_callback.callback = _with_options(app.registered_callback.callback)
    for command in app.registered_commands:
        command.callback = _with_options(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_options(group.typer_instance)


def _with_options(command: Callable[..., Any] | None) -> Callable[..., Any]:
    assert command is not None  # noqa: S101 - a fact for the type checker

    @functools.wraps(command)
    def run(*arguments: Any, quiet: bool = False, verbose: bool = False, **options: Any) -> Any:
        choose(quiet, verbose)
        return command(*arguments, **options)

    added = {"quiet": Quiet, "verbose": Verbose}
    hints = get_type_hints(command, include_extras=True) | added
    parameters = [
        *inspect.signature(command).parameters.values(),
        *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False) for name in added),
    ]
    typed = [parameter.replace(annotation=hints[parameter.name]) for parameter in parameters]
    run.__signature__ = inspect.Signature(typed)  # type: ignore[attr-defined]
    run.__annotations__ = hints
    return run
