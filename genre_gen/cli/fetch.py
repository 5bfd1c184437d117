"""Fetching what a domain needs, its data and its language model, and saying what has been fetched from where."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from genre_gen.data.printable import padded, width_of
from genre_gen.domain import Domain, ModelSettings
from genre_gen.downloads.archives import Origin, ensure_data
from genre_gen.downloads.integrity import MANIFEST, read_manifest
from genre_gen.downloads.models import ensure_model

MEGABYTE = 1e6


@dataclass(frozen=True)
class FetchedFile:
    """One file: its name, its size in bytes and its SHA-256 (empty for files of the user's own)."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Fetched:
    """A data set or a model that is ready for use.

    Attributes:
        name: the name or path it was asked for by.
        sha256: checksum of the archive it came in; empty where it did not come in one.
        terms: what its licence asks of the user; empty where that is not known.
        seconds: how long it took to fetch or to check.
    """

    kind: Literal["data", "model"]
    name: str
    folder: Path
    origin: str
    sha256: str
    terms: str
    seconds: float
    files: tuple[FetchedFile, ...]

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class FetchReport:
    """What :func:`fetch` made sure of."""

    fetched: tuple[Fetched, ...]

    def table(self) -> str:
        """Return the report as text: a paragraph for each data set or model, a line for each file."""
        return "\n\n".join(map(_paragraph, self.fetched))

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self), indent=2, default=str)


def fetch(
    domain: Domain | None = None, llm: str | None = None, *, origin: Origin = "auto", verify: bool = True
) -> FetchReport:
    """Make sure that the data of a domain and a language model are there and whole.

    Args:
        domain: whose data to fetch; None for the model only.
        llm: a name, a folder or an id on the hub; by default the domain's.
        origin: of the data.
        verify: hash all files, also of what has been there before.

    Raises:
        SourceError: what could not be had, and the remedy.
    """
    fetched = []
    if domain is not None and domain.data.source:
        started = time.monotonic()
        folder = ensure_data(domain.data.source, origin, verify=verify)
        fetched.append(_describe("data", domain.data.source, folder, started))
    settings = domain.model if domain is not None else ModelSettings()
    started = time.monotonic()
    model = llm or settings.llm
    fetched.append(_describe("model", model, ensure_model(model, verify=verify), started))
    return FetchReport(tuple(fetched))


def _describe(kind: Literal["data", "model"], name: str, folder: Path, started: float) -> Fetched:
    seconds = round(time.monotonic() - started, 3)
    manifest = read_manifest(folder)
    if manifest is None:  # a folder of the user's own
        own = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
        files = tuple(FetchedFile(path.name, path.stat().st_size, "") for path in own)
        return Fetched(kind, name, folder, "your own folder", "", "", seconds, files)
    origin = manifest["origin"]
    files = tuple(FetchedFile(file, entry["bytes"], entry["sha256"]) for file, entry in manifest["files"].items())
    place = str(origin.get("from", "a folder with a manifest"))
    if "revision" in origin:
        place += f" at revision {origin['revision']}"
    sha256, terms = str(origin.get("sha256", "")), str(origin.get("terms", ""))
    return Fetched(kind, name, folder, place, sha256, terms, seconds, files)


def _paragraph(fetched: Fetched) -> str:
    lines = [
        f"{fetched.kind} {fetched.name}: {fetched.bytes / MEGABYTE:,.1f} MB in {fetched.folder}",
        f"  from {fetched.origin}" + (f", SHA-256 {fetched.sha256}" if fetched.sha256 else ""),
    ]
    lines += [f"  terms: {fetched.terms}"] if fetched.terms else []
    width = max((width_of(file.name) for file in fetched.files), default=0)
    lines += [f"  {padded(file.name, width)}  {file.bytes:>13,}  {file.sha256[:16]}" for file in fetched.files]
    return "\n".join(line.rstrip() for line in lines)
