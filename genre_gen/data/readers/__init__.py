"""Readers: data files of several formats, as Catalog and Interactions.

``load_data`` is what most callers want. A new format is a new file here, and its name in the registry ``READERS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.files import Folder, open_folder
from genre_gen.data.readers.recbole import read_atomic
from genre_gen.data.readers.report import LoadReport, Problem
from genre_gen.data.readers.to_catalog import catalog_of_interactions, to_catalog
from genre_gen.data.readers.to_interactions import to_interactions
from genre_gen.data.readers.triples import read_links, read_triples
from genre_gen.domain import DataSettings, Domain
from genre_gen.errors import DataError
from genre_gen.registry import READERS

__all__ = [
    "READERS",
    "Data",
    "LoadReport",
    "Problem",
    "Reader",
    "find_beside",
    "load_catalog",
    "load_data",
    "read_atomic",
    "read_links",
    "read_triples",
]


@dataclass(frozen=True)
class Data:
    """A domain's data, and what was wrong with it."""

    catalog: Catalog
    interactions: Interactions
    report: LoadReport


def load_data(domain: Domain, path: str | Path | None = None, catalog: Catalog | None = None) -> Data:
    """Load a domain's catalog and interactions.

    Args:
        domain: says what the data should look like.
        path: a folder, zip file or interaction file, instead of the place that the domain names.
        catalog: the items, where they are loaded already; by default those that lie beside the interactions.

    Raises:
        DataError: files that are missing, cannot be read or hold what the domain's policies refuse.
        SourceError: the domain's source cannot be fetched.
    """
    source = _open(domain, path, "interactions")
    report = LoadReport()
    table = source.reader.interactions(source.folder, source.settings)
    report.note(table)
    if catalog is None:
        items = source.reader.items(source.folder, source.settings)
        if items is None:
            catalog = catalog_of_interactions(table, domain)
        else:
            catalog = to_catalog(items, domain, source.reader.separator, report)
    return Data(catalog, to_interactions(table, catalog, domain, report), report)


def load_catalog(domain: Domain, path: str | Path | None = None) -> tuple[Catalog, LoadReport]:
    """Load a domain's items alone; see ``load_data``. ``path`` may also be an item file."""
    source = _open(domain, path, "items")
    report = LoadReport()
    items = source.reader.items(source.folder, source.settings)
    if items is not None:
        return to_catalog(items, domain, source.reader.separator, report), report
    return catalog_of_interactions(source.reader.interactions(source.folder, source.settings), domain), report


def find_beside(domain: Domain, name: str) -> Path | None:
    """Return a file or folder that a domain names, beside its ``domain.toml`` or among its data; None where it is not.

    Nothing is fetched for it.
    """
    from genre_gen.downloads.archives import find_data

    folders: list[Path | None] = [domain.catalog_folder]
    if domain.data.path is not None:
        folders.append(domain.catalog_folder / Path(domain.data.path).expanduser())
    else:
        folders.append(find_data(domain.data.source or ""))
    places = (folder / Path(name).expanduser() for folder in folders if folder is not None)
    return next((place for place in places if place.exists()), None)


@dataclass(frozen=True)
class _Source:
    folder: Folder
    reader: Reader
    settings: DataSettings


def _open(domain: Domain, path: str | Path | None, part: str) -> _Source:
    """Find the files, and the reader for them. ``part`` is what a path to a single file holds."""
    settings = domain.data
    place = _place(domain) if path is None else Path(path).expanduser()
    if place.is_file() and place.suffix != ".zip":
        settings = settings.model_copy(update={part: place.name})
        place = place.parent
    folder = open_folder(place)
    return _Source(folder, _choose_reader(folder, settings), settings)


def _choose_reader(folder: Folder, settings: DataSettings) -> Reader:
    """Return the reader that the settings name, or the one for the file they name, or for the files found."""
    if settings.reader != "auto":
        return READERS[settings.reader]
    name = settings.interactions or settings.items
    for reader in READERS.built_in().values():
        if name.endswith(reader.suffixes) if name else reader.recognises(folder):
            return reader
    there = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
    raise DataError(
        f"{folder}: no reader knows {name or f'these files ({there})'}; set data.reader, data.items and "
        "data.interactions in domain.toml"
    )


def _tidy(place: Path) -> Path:
    """Return a place without its "..", and from the present folder where it lies below, as people will read it."""
    if ".." not in place.parts:
        return place
    place = place.resolve()
    return place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place


def _place(domain: Domain) -> Path:
    """Return where the domain's data lies, fetching it where it comes from a named source."""
    if domain.data.path is not None:
        return _tidy(domain.catalog_folder / Path(domain.data.path).expanduser())
    from genre_gen.downloads.archives import ensure_data

    return ensure_data(domain.data.source or "")
