"""Readers: data files of several formats as Catalog and Interactions, see ``load_data``.

A new format is a new file here and an entry in the registry ``READERS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.files import Folder, Problem, Table, entries, open_folder, visible
from genre_gen.data.readers.report import LoadReport
from genre_gen.data.readers.table import PlainTable
from genre_gen.data.readers.to_catalog import catalog_of_interactions, items_in_lines, settle_item_id, to_catalog
from genre_gen.data.readers.to_interactions import log_columns, to_interactions
from genre_gen.data.settings import DataSettings
from genre_gen.domain import Domain
from genre_gen.downloads.archives import ensure_data, find_data
from genre_gen.errors import DataError
from genre_gen.registry import READERS

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "READERS",
    "Data",
    "LoadReport",
    "Problem",
    "Reader",
    "build_data",
    "find_near",
    "load_catalog",
    "load_data",
    "load_log",
]


@dataclass(frozen=True)
class Data:
    """A domain's data and the problems found in it."""

    catalog: Catalog
    interactions: Interactions
    report: LoadReport


def load_data(domain: Domain, path: str | Path | None = None, catalog: Catalog | None = None) -> Data:
    """Load a domain's catalog and interactions.

    Args:
        domain: describes the data: its reader, columns, fields and policies.
        path: a folder, zip file or interaction file; it replaces the location that the domain names.
        catalog: the items, if they are already loaded.

    Raises:
        DataError: files are missing, unreadable or violate the domain's policies.
        SourceError: the domain's source cannot be fetched.
    """
    reader, folder, settings = _open(domain, path, "interactions")
    interactions = reader.interactions(folder, settings)
    items = None if catalog is not None else interactions if settings.one_file else reader.items(folder, settings)
    return build_data(domain, interactions, items, reader.separator, catalog)


def build_data(
    domain: Domain,
    interactions: Table,
    items: Table | None,
    separator: str = PlainTable.separator,
    catalog: Catalog | None = None,
) -> Data:
    """Check tables in memory, and build catalog and interactions from them.

    Args:
        domain: its columns, fields and policies.
        interactions: one record per interaction.
        items: one record per item; None if only ids are known of items. If it is the same table as ``interactions``,
            each item has the values that stand most often in its lines.
        separator: the separator of labels in a list, for fields that do not set one.
        catalog: the items; it replaces ``items``.

    Raises:
        DataError: records violate the domain's policies.
    """
    report = LoadReport([*(items.notes if catalog is None and items is not None else ())])
    if items is not interactions:
        report.problems += interactions.notes
    else:
        items = items_in_lines(interactions, domain)
    if catalog is None and items is not None:
        catalog = to_catalog(items, settle_item_id(domain, items, lambda: interactions, report), separator, report)
    catalog = catalog or catalog_of_interactions(interactions, domain)
    return Data(catalog, to_interactions(interactions, catalog, domain, report), report)


def load_catalog(domain: Domain, path: str | Path | None = None) -> tuple[Catalog, LoadReport]:
    """Load a domain's items only; see ``load_data``. ``path`` may also be an item file."""
    reader, folder, settings = _open(domain, path, "items")
    report = LoadReport()
    items = reader.items(folder, settings)
    if items is not None:
        report.problems += items.notes
    if items is not None and settings.one_file:
        items = items_in_lines(items, domain)
    if items is not None:
        domain = settle_item_id(domain, items, lambda: reader.interactions(folder, settings), report)
        return to_catalog(items, domain, reader.separator, report), report
    return catalog_of_interactions(reader.interactions(folder, settings), domain), report


def load_log(domain: Domain, path: str | Path) -> pl.DataFrame:
    """Load the records of an interaction file as they are written, in file order; the policies are not applied.

    Columns: ``record`` (from 0), ``user``, ``item``, and if the file has them ``rating_written`` and ``rating``,
    ``time_written``, ``time`` (seconds since 1970) and ``exact_time`` (in a finer unit), ``event``. Numbers are null
    where they cannot be read.

    Raises:
        DataError: the file is missing or unreadable, or lacks a column that the domain names.
    """
    reader, folder, settings = _open(domain, path, "interactions")
    return log_columns(reader.interactions(folder, settings), domain)


def find_near(domain: Domain, name: str) -> Path | None:
    """Find a file or folder next to ``domain.toml`` or among the domain's data; None if absent. Nothing is fetched."""
    folders = [domain.catalog_folder]
    if domain.data.path is not None:
        folders.append(domain.catalog_folder / Path(domain.data.path).expanduser())
    elif domain.data.source is not None and (fetched := find_data(domain.data.source)) is not None:
        folders.append(fetched)
    paths = (folder / Path(name).expanduser() for folder in folders)
    return next((path for path in paths if path.exists()), None)


def _open(domain: Domain, path: str | Path | None, part: str) -> tuple[Reader, Folder, DataSettings]:
    """Return reader, folder and settings. ``part`` says what a path to a single file contains."""
    settings = domain.data
    location = _location(domain) if path is None else Path(path).expanduser()
    if location.is_file() and location.suffix != ".zip":
        parts = ("items", "interactions") if settings.one_file else (part,)
        settings = settings.model_copy(update=dict.fromkeys(parts, location.name))
        location = location.parent
    folder = open_folder(location)
    inside = visible(folder)
    if location.is_file() and len(inside) == 1 and inside[0].name.endswith(PlainTable.suffixes):
        settings = settings.model_copy(update={part: inside[0].name})
    return _choose_reader(folder, settings), folder, settings


def _choose_reader(folder: Folder, settings: DataSettings) -> Reader:
    """Return the reader that the settings name, else the one that fits the named file, else the files in the folder."""
    if settings.reader != "auto":
        return READERS[settings.reader]
    name = settings.interactions or settings.items
    for reader in READERS.built_in().values():
        if reader.fits(folder, name) if name else reader.recognises(folder):
            return reader
    raise DataError(
        f"{folder}: no reader reads {name or f'these files ({entries(folder)})'}; set data.reader, data.items and "
        "data.interactions in domain.toml"
    )


def _location(domain: Domain) -> Path:
    """Return the location of the domain's data; data of a named source is fetched if needed."""
    if domain.data.path is not None:
        return _tidy(domain.catalog_folder / Path(domain.data.path).expanduser())
    if domain.data.source is not None:
        return ensure_data(domain.data.source)
    raise DataError(
        f"the domain {domain.name} was made from data in memory and names no files; give a path, or set data.path "
        "in domain.toml"
    )


def _tidy(path: Path) -> Path:
    """Return a path without "..", relative to the working directory if it lies below it, for display."""
    if ".." not in path.parts:
        return path
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
