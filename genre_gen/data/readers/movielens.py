"""MovieLens as GroupLens publishes it, folder or zip, in three layouts: ml-100k; ml-1m and 10m; latest, 20m and later.

Format: the README of each set at https://grouplens.org/datasets/movielens
"""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.delimited import fixed, read_delimited
from genre_gen.data.readers.encodings import WESTERN
from genre_gen.data.readers.files import Folder, Table, named
from genre_gen.data.settings import DataSettings

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The flags of ``u.item``, in its order."""

_INTERACTIONS = ("user_id", "item_id", "rating", "timestamp")
_ITEMS = ("item_id", "title", "genres")
_FIRST_LINE = 1 << 10  # bytes
_FLAGGED_ITEMS = ("item_id", "title", "release_date", "video_release_date", "url", *GENRES)
_NO_GENRES = "(no genres listed)"


class MovieLens(Reader):
    """Reads all three layouts into the columns user_id, item_id, rating, timestamp, title and genres."""

    name = "movielens"
    headless = MappingProxyType({"u.data": "u.item", "ratings.dat": "movies.dat"})

    def recognises(self, folder: Folder) -> bool:
        """Tell whether the folder has the pair of files of one of the layouts."""
        layout = _layout(folder)
        if layout != "ratings.dat":
            return layout is not None
        with (folder / layout).open("rb") as file:
            return b"::" in file.readline(_FIRST_LINE)

    def items(self, folder: Folder, settings: DataSettings) -> Table:
        """Return ids, titles as ``Toy Story (1995)`` and genres."""
        layout = _layout(folder)
        if layout == "u.data":
            table = _headless(folder, settings, "u.item", "|", _FLAGGED_ITEMS)
            flags = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES]
            genres = pl.concat_list(flags).list.drop_nulls().alias("genres")
            return table.with_frame(table.frame.select("item_id", "title", genres))
        if layout == "ratings.dat":
            table = _headless(folder, settings, "movies.dat", "::", _ITEMS)
            return table.with_frame(table.frame.with_columns(pl.col("genres").replace(_NO_GENRES, "")))
        names = dict(zip(("movieId", "title", "genres"), _ITEMS, strict=True))
        table = _headed(folder, settings, "movies.csv", names)
        return table.with_frame(table.frame.with_columns(pl.col("genres").replace(_NO_GENRES, "")))

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return the ratings."""
        layout = _layout(folder)
        if layout == "u.data":
            return _headless(folder, settings, "u.data", "\t", _INTERACTIONS)
        if layout == "ratings.dat":
            return _headless(folder, settings, "ratings.dat", "::", _INTERACTIONS)
        names = ("userId", "movieId", "rating", "timestamp")
        return _headed(folder, settings, "ratings.csv", dict(zip(names, _INTERACTIONS, strict=True)))


def _layout(folder: Folder) -> str | None:
    """Return the name of the ratings file, which identifies the layout; None if there is none."""
    for ratings, items in (("u.data", "u.item"), ("ratings.dat", "movies.dat"), ("ratings.csv", "movies.csv")):
        if (folder / ratings).is_file() and (folder / items).is_file():
            return ratings
    return None


def _headless(folder: Folder, settings: DataSettings, name: str, separator: str, columns: tuple[str, ...]) -> Table:
    """Read a file of the older layouts, without header and quotes: 10m is in UTF-8, 100k and 1m are in Latin-1."""
    form = fixed(settings.format_of("items" if columns[0] == "item_id" else "interactions"), separator)
    return read_delimited(named(folder, name), form, WESTERN, columns=columns)


def _headed(folder: Folder, settings: DataSettings, name: str, names: dict[str, str]) -> Table:
    """Read a file of the newer layout, CSV."""
    form = settings.format_of("items" if "title" in names.values() else "interactions")
    table = read_delimited(named(folder, name), form, required=names)
    return table.with_frame(table.frame.rename(names))
