"""Indonesia Tourism Destination: places in five cities with descriptions in Indonesian, and ratings.

``tourism_with_id.csv`` holds the places, ``tourism_rating.csv`` user, place and rating from 1 to 5.
Format: https://www.kaggle.com/datasets/aprabowo/indonesia-tourism-destination

There are no times, so the file's order is taken as the order of visits. Nothing confirms it, so results that depend
on order (the split, sequential rules) mean little here. Users often rated a place twice; ``data.policies.duplicates``
decides which rating counts. ``user.csv`` (home town and age) is not read: recommendations use interactions only.
"""

from __future__ import annotations

import re
from dataclasses import replace

from genre_gen.data.readers.base import Reader
from genre_gen.data.readers.delimited import read_text
from genre_gen.data.readers.encodings import decode
from genre_gen.data.readers.files import Folder, Table, named
from genre_gen.data.settings import DataSettings, TextFormat

PLACES, RATINGS = "tourism_with_id.csv", "tourism_rating.csv"
_PLACES = {
    "Place_Id": "item_id",
    "Place_Name": "title",
    "Description": "description",
    "Category": "category",
    "City": "city",
    "Price": "price",
    "Rating": "average_rating",
    "Time_Minutes": "minutes",
    "Lat": "latitude",
    "Long": "longitude",
}
_BARE_COORDINATE = re.compile(r",(\{'lat':[^{}\"\n]*\})")  # the last places of the published file lack its quotes
_RATINGS = {"User_Id": "user_id", "Place_Id": "item_id", "Place_Ratings": "rating"}


class Tourism(Reader):
    """Reads the two files under the names item_id, title, description, category, city, price, ... and rating."""

    name = "tourism"
    suffixes = (RATINGS,)
    separator = ","

    def recognises(self, folder: Folder) -> bool:
        """Tell whether there is a ``tourism_rating.csv``."""
        return (folder / RATINGS).is_file()

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return the places (prices in rupiah); None if there is no file of them."""
        if settings.items is None and not (folder / PLACES).is_file():
            return None
        return _read(named(folder, settings.items or PLACES), settings.format_of("items"), _PLACES)

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return the ratings in file order."""
        return _read(named(folder, settings.interactions or RATINGS), settings.format_of("interactions"), _RATINGS)


def _read(file: Folder, form: TextFormat, names: dict[str, str]) -> Table:
    text = decode(file, form.encoding)
    text = replace(text, content=_BARE_COORDINATE.sub(r',"\1"', text.content))
    table = read_text(text, form, required=names)
    return table.with_frame(table.frame.select(list(names)).rename(names))
