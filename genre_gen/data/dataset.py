"""Dataset: a domain with its catalog and interactions, from which splits are made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genre_gen.data.arguments import check_path
from genre_gen.data.catalog import Catalog
from genre_gen.data.frames import Library
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers import Data, LoadReport, load_data
from genre_gen.data.splits import SPLITS, Split, global_time, hold_out_last, leave_one_out
from genre_gen.data.writers import write_lenskit, write_recbole
from genre_gen.domain import Domain
from genre_gen.errors import UsageError, quoted
from genre_gen.new_domain.inference import infer_domain

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """A domain's items and interactions.

    Example:
        >>> data = Dataset.load("movies")
        >>> split = data.leave_one_out()
        >>> recommender = Recommender(data.domain).fit(split)

    Attributes:
        domain: name, settings and prompts.
        catalog: the items.
        interactions: the interactions of all users.
        report: the problems of the data, and what was done about each.
    """

    domain: Domain
    catalog: Catalog
    interactions: Interactions
    report: LoadReport = field(default_factory=LoadReport)

    @classmethod
    def load(cls, domain: str | Path | Domain, path: str | Path | None = None) -> Dataset:
        """Load the data of a domain (an object, a name or a folder). Problems are logged and kept in ``report``.

        ``path`` may be a folder, zip file or interaction file; it replaces the location that the domain names.

        Raises:
            ConfigError: no such domain.
            DataError: files are missing or invalid.
            SourceError: the data cannot be fetched.

        Example:
            >>> data = Dataset.load("movies")
            >>> len(data.catalog), len(data.interactions)
            (40, 335)
        """
        loaded = domain if isinstance(domain, Domain) else Domain.load(domain)
        return cls._of(loaded, load_data(loaded, None if path is None else check_path(path, "path")))

    @classmethod
    def from_tables(
        cls,
        items: str | Path | None,
        interactions: str | Path,
        *,
        name: str | None = None,
        noun: str | None = None,
        columns: Mapping[str, str | None] | None = None,
        encoding: str = "auto",
        items_encoding: str | None = None,
    ) -> Dataset:
        """Infer a domain from two files with headers (delimited text, JSON or Parquet); nothing is written.

        See :func:`genre_gen.new_domain.inference.infer_domain` for the arguments and errors.

        Example:
            >>> folder = Domain.load("movies").catalog_folder
            >>> films = Dataset.from_tables(folder / "items.csv", folder / "interactions.csv", name="films")
            >>> films.domain.name, list(films.domain.fields)
            ('films', ['genre', 'year'])
        """
        encodings = {"encoding": encoding, "items_encoding": items_encoding}
        return cls._inferred(interactions, items, name=name, noun=noun, columns=columns, **encodings)

    @classmethod
    def from_frames(
        cls,
        items: Any,
        interactions: Any,
        *,
        name: str | None = None,
        noun: str | None = None,
        columns: Mapping[str, str | None] | None = None,
    ) -> Dataset:
        """Infer a domain from two data frames of polars, pandas or pyarrow; see ``from_tables``.

        Example:
            >>> import polars as pl
            >>> loans = pl.DataFrame({"reader": ["ann", "ann", "ben"], "book": ["b1", "b2", "b1"]})
            >>> books = pl.DataFrame({"book": ["b1", "b2"], "title": ["Emma", "Persuasion"]})
            >>> Dataset.from_frames(books, loans, columns={"user": "reader", "item": "book"}).catalog[1].title
            'Persuasion'
        """
        return cls._inferred(interactions, items, name=name, noun=noun, columns=columns)

    @classmethod
    def _inferred(cls, interactions: Any, items: Any, **options: Any) -> Dataset:
        inferred = infer_domain(interactions, items, **options)
        return cls._of(inferred.domain, inferred.data)

    @classmethod
    def _of(cls, domain: Domain, data: Data) -> Dataset:
        data.report.log()
        counts = (len(data.catalog), len(data.interactions.users), len(data.interactions))
        log.info("%s: %d items, %d users, %d interactions", domain.name, *counts)
        return cls(domain, data.catalog, data.interactions, data.report)

    def to_frames(self, library: Library = "polars") -> tuple[Any, Any]:
        """Return items and interactions as two data frames, which ``from_frames`` takes.

        See :meth:`genre_gen.Catalog.to_frame` and :meth:`genre_gen.Interactions.to_frame` for the columns.

        Example:
            >>> items, interactions = data.to_frames()
            >>> interactions.columns
            ['user_id', 'item_id', 'rating', 'timestamp']

        Raises:
            UsageError, MissingPackageError: as :func:`genre_gen.data.frames.in_library`.
        """
        return self.catalog.to_frame(library), self.interactions.to_frame(self.catalog, library)

    def to_recbole(self, folder: str | Path) -> list[Path]:
        """Write RecBole's atomic files ``.inter`` and ``.item`` into a folder; returns the files.

        See :func:`genre_gen.data.writers.recbole.write_recbole`; ``Split.to_recbole`` writes a split.

        Example:
            >>> [file.name for file in data.to_recbole("exports/movies")]
            ['movies.item', 'movies.inter', 'movies.yaml']

        Raises:
            DataError: ids that the format cannot hold.
        """
        return write_recbole(check_path(folder, "folder"), self.catalog, {"": self.interactions.to_frame(self.catalog)})

    def to_lenskit(self, folder: str | Path) -> list[Path]:
        """Write a folder for ``lenskit.data.Dataset.load``; returns the files. ``Split.to_lenskit`` writes a split.

        Example:
            >>> [file.name for file in data.to_lenskit("exports/lenskit")]
            ['user.parquet', 'item.parquet', 'rating.parquet', 'schema.json']
        """
        return write_lenskit(check_path(folder, "folder"), self.catalog, self.interactions)

    def leave_one_out(self) -> Split:
        """Hold out each user's last item for test and the one before for validation.

        Example:
            >>> split = data.leave_one_out()
            >>> len(split.train), len(split.validation), len(split.test)
            (275, 30, 30)
        """
        return leave_one_out(self.interactions, self.catalog)

    def global_time(self, validation: float = 0.1, test: float = 0.1) -> Split:
        """Hold out the interactions after two points in time; see :func:`genre_gen.data.splits.global_time`.

        Example:
            >>> data.global_time(validation=0.1, test=0.2).name
            'global-time'
        """
        return global_time(self.interactions, self.catalog, validation, test)

    def hold_out_last(self) -> Split:
        """Hold out each user's last item for validation and nothing for a test; the refit learns from everything.

        Example:
            >>> split = data.hold_out_last()
            >>> len(split.validation), len(split.test)
            (30, 0)
        """
        return hold_out_last(self.interactions, self.catalog)

    def split(self, name: str) -> Split:
        """Split by name: ``leave-one-out``, ``global-time`` or ``all``; raises UsageError for another.

        Example:
            >>> data.split("leave-one-out").name
            'leave-one-out'
        """
        if not isinstance(name, str) or name not in SPLITS:
            raise UsageError(f"no split {quoted(name)}; choose {', '.join(SPLITS)}")
        return SPLITS[name](self.interactions, self.catalog)
