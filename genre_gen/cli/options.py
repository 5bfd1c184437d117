"""Common parts of the commands: options, checks of arguments, loading, and printing."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from genre_gen.cli.verbosity import shows_progress
from genre_gen.errors import ConfigError, OutputError, UsageError

if TYPE_CHECKING:
    from genre_gen.domain import Domain
    from genre_gen.recommender.recommender import Recommender

FAILED, MISUSED = 1, 2
DEFAULT_DOMAIN = "movies"

DomainName = Annotated[str, typer.Argument(metavar="DOMAIN", help="A domain's name, or the folder of its domain.toml.")]
TrainedDomain = Annotated[
    str | None,
    typer.Argument(metavar="DOMAIN", help="A domain's name or the folder of its domain.toml [--model's, else movies]."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Folder of a trained recommender, or its id on the hub [runs/DOMAIN]."),
]
AllowModel = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Allow this pre-trained model of another owner, if the recommender names it."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ServedIn = Annotated[
    Literal["none", "bf16", "int8", "nf4"] | None,
    typer.Option("--quantization", help="Precision of the language model [the trained domain's]."),
]
SpokenLanguage = Annotated[
    str | None,
    typer.Option("--language", help="Two letters: language of explanations and requests [the trained domain's]."),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="PACKAGE", help="A package whose components the recommender may use. Repeatable."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of domain.toml. Repeatable.")
]
DataPlace = Annotated[Path | None, typer.Option("--data", help="Folder or zip with the data, instead of the domain's.")]
User = Annotated[str | None, typer.Option(help="User id of the data.")]
Events = Annotated[
    list[str] | None,
    typer.Option("--history", help="Title or id, oldest first; 'TITLE=4' adds a rating. Repeatable."),
]


def show(text: str) -> None:
    """Print a result to stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # so that a closed pipe is noticed here, and not when Python ends


def tell(text: str) -> None:
    """Print a message to stderr."""
    sys.stderr.write(text + "\n")


def load(
    model: str | None,
    domain: str | None,
    quantization: str | None = None,
    plugins: Sequence[str] | None = None,
    language: str | None = None,
    allow_model: str | None = None,
) -> Recommender:
    """Load the recommender of ``--model``, or of the domain's own folder; one of another domain is refused."""
    from genre_gen.domain import Domain
    from genre_gen.recommender.recommender import Recommender

    check_trained(model, domain)
    folder = run_folder(None, domain)
    recommender = Recommender.from_pretrained(
        model or folder, quantization, plugins=plugins or (), allow_model=allow_model
    )
    if domain not in {None, recommender.domain.name}:  # the domain itself need not be there
        check_domain(recommender, Domain.load(domain).name, f"--model {model}" if model else str(folder))
    if language is not None:
        recommender.speak(language)
    return recommender


def check_trained(model: str | None, domain: str | None) -> None:
    """Raise an error if no model is given, and the domain's own folder does not exist."""
    from genre_gen.domain import Domain

    folder = run_folder(None, domain)
    if model is None and not folder.exists():
        Domain.load(domain or DEFAULT_DOMAIN)  # a domain that does not exist is the likelier mistake
        raise UsageError(f"{folder}: no such folder; train first: genre-gen train {domain or DEFAULT_DOMAIN}")


def run_folder(model: str | None, domain: str | None) -> Path:
    """Return the folder of a trained recommender, by default ``runs/DOMAIN``."""
    return Path(model or f"runs/{os.path.basename(os.path.abspath(domain or DEFAULT_DOMAIN))}")


def folder_or_domain(run: str) -> tuple[str | None, str | None]:
    """Return the arguments of ``load`` for a folder of a trained recommender, or for a domain."""
    return (run, None) if Path(run).is_dir() else (None, run)


def check_domain(recommender: Recommender, name: str, where: str) -> None:
    """Refuse a recommender of another domain, by the names in ``domain.toml``; folders may have any name."""
    trained = recommender.domain.name
    if trained != name:
        raise UsageError(f"{where} was trained for the domain {trained}, not {name}; give {trained}, or another folder")


def who_asks(recommender: Recommender, user: str | None, events: Sequence[str] | None) -> str | list[Any] | None:
    """Return the user id, or the history that the events describe; raises UsageError if both are given."""
    if user is not None and events:
        raise UsageError("give either --user or --history")
    return [read_event(recommender, text) for text in events] if events else user


def read_event(recommender: Recommender, text: str) -> str | tuple[str, float]:
    """Read a title, or 'TITLE=RATING' unless that is the title of an item.

    Raises:
        UsageError: the text after a known title is not a rating.
    """
    title, equals, rating = text.rpartition("=")
    if not equals or is_item(recommender, text):
        return text
    with suppress(ValueError):
        if math.isfinite(number := float(rating)):
            return title, number
    if is_item(recommender, title):
        raise UsageError(f"--history {text!r}: {rating!r} is not a rating of {title!r}; give a number")
    return text


def is_item(recommender: Recommender, name: str) -> bool:
    """Tell whether the catalog has an item of this title or id."""
    catalog = recommender.state.catalog
    return bool(catalog.meant(name)) or len(catalog.named(name)) == 1


def check_writable(path: Path, option: str = "--out", *, file: bool = False) -> None:
    """Check that a folder (of a file) can be written into, before any work is done; nothing remains there."""
    folder, created = path.parent if file else path, list[Path]()
    try:
        created += [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise OutputError(f"{option} {path}: cannot be written there ({problem.strerror}); give another") from None
    finally:
        for parent in created:
            with suppress(OSError):
                parent.rmdir()
    if file and path.is_dir():
        raise OutputError(f"{option} {path}: is a folder; give a file")


def check_run(folder: Path) -> None:
    """Check, before training, that a recommender can be saved in a folder."""
    from genre_gen.recommender.persistence import check_place

    check_writable(folder)
    check_place(folder)


def check_minutes(minutes: float) -> float:
    """Check a time budget; raises UsageError."""
    if not 0 < minutes < math.inf:
        raise UsageError(f"--max-minutes {minutes:g}: give a number above 0")
    return minutes


def key_values(pairs: Sequence[str], example: str) -> dict[str, Any]:
    """Read the KEY=VALUE pairs of ``--set``; a value is JSON if possible, else text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: write KEY=VALUE, such as {example}")
        try:
            values[key] = json.loads(value)
        except json.JSONDecodeError:
            values[key] = value
    return values


def read_settings(domain: Domain, pairs: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs, which must be valid for the domain."""
    changes = key_values(pairs, "training.epochs=3")
    try:
        domain.changed(changes, where=" ".join(f"--set {pair}" for pair in pairs))
    except ConfigError as problem:
        raise UsageError(str(problem)) from None
    return changes


@contextmanager
def resumable() -> Iterator[None]:
    """Print that nothing is lost if the work inside is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        if shows_progress():
            tell("stopped; the same command resumes it")
        raise
