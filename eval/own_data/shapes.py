"""Shapes: the files of a data set as people bring them, the command that reads them, and what is right."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval.own_data.world import Event

Remedy = Callable[[Path], "Sequence[str]"]


@dataclass(frozen=True)
class Right:
    """What is right of a shape.

    Attributes:
        users: number of users with interactions.
        items: number of items.
        interactions: number of interactions.
        columns: role -> column, of all roles that there are; None if another reader than that of tables names them.
        user: the first user's id.
        history: that user's item ids, oldest first.
        titles: ids of items and their titles.
        labels: ids of items and the labels of one field.
        scale: lowest and highest rating; None without ratings.
        rated: number of interactions with a rating.
        said: regular expressions that the output of ``domains new`` matches.
        unsaid: regular expressions that it does not match.
        settings: keys of ``domain.toml`` with dots, and their values.
    """

    users: int
    items: int
    interactions: int
    columns: Mapping[str, str] | None
    user: str
    history: tuple[str, ...]
    titles: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scale: tuple[float, float] | None = None
    rated: int = 0
    said: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """How a shape may be refused.

    Attributes:
        reason: regular expression of the message, the remedy included.
        remedy: what a user does then, in the folder of the files; it returns the options of the next ``domains new``,
            or none if it wrote ``domain.toml``.
    """

    reason: str
    remedy: Remedy


@dataclass(frozen=True)
class Shape:
    """A shape of data.

    Attributes:
        name: of the shape, which is also the name of its domain.
        files: name -> content.
        options: of ``domains new``; names of files stand for their paths.
        right: what is right.
        refusal: how it may be refused; None if it must be read.
    """

    name: str
    files: Mapping[str, bytes]
    options: tuple[str, ...]
    right: Right
    refusal: Refusal | None = None


def counted(
    events: Sequence[Event],
    user: Callable[[int], str],
    item: Callable[[int], str],
    n_items: int,
    columns: Mapping[str, str] | None,
    **others: Any,
) -> Right:
    """Return what is right for events in the order in which they must be read; the first user is number 0.

    Args:
        events: all interactions.
        user: number of a user -> id in the files.
        item: number of an item -> id in the files.
        n_items: number of items.
        columns: role -> column.
        others: further attributes of ``Right``.
    """
    history = tuple(item(event.item) for event in events if event.user == 0)
    users = len({event.user for event in events})
    return Right(users, n_items, len(events), columns, user(0), history, **others)


# Files


def delimited(rows: Iterable[Sequence[object]], separator: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    """Return rows as delimited text."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def plain(rows: Iterable[Sequence[object]], separator: str) -> str:
    """Return rows as text without quotes."""
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def lines_of_json(records: Iterable[Mapping[str, object]]) -> str:
    """Return records as JSON, one a line."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def packed(text: str) -> bytes:
    """Return text in a gzip file, always the same bytes."""
    return gzip.compress(text.encode(), mtime=0)


def zipped(name: str, text: str) -> bytes:
    """Return a zip file with one file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
    return content.getvalue()


def at(seconds: float, form: str) -> str:
    """Return a moment in a format of ``strftime``, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def rewrite(folder: Path, name: str, change: Callable[[str], str], encoding: str = "utf-8") -> None:
    """Change the text of a file."""
    file = folder / name
    file.write_text(change(file.read_text(encoding)), encoding)


def written_by_hand(name: str, toml: str) -> Remedy:
    """Return the remedy to write ``domain.toml`` by hand."""

    def remedy(folder: Path) -> list[str]:
        catalog = folder / "catalogs" / name
        catalog.mkdir(parents=True, exist_ok=True)
        (catalog / "domain.toml").write_text(toml, encoding="utf-8")
        return []

    return remedy
