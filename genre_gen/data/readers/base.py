"""The interface of readers. A new data format is one new file with one such class."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Protocol

from genre_gen.data.readers.files import Folder, Table
from genre_gen.data.settings import DataSettings


class Reader(Protocol):
    """One data format. A reader finds files and columns; ``to_catalog`` and ``to_interactions`` check values.

    Attributes:
        name: its name in ``domain.toml``.
        suffixes: file name suffixes that identify the format, if any.
        separator: the separator of labels in a list, for formats without a list type.
        headless: name of the interaction file -> name of the item file, of pairs without headers, whose columns only
            this reader knows.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    separator: ClassVar[str] = "|"
    headless: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def recognises(self, folder: Folder) -> bool:
        """Tell whether the folder's files are in this format."""
        ...

    def fits(self, folder: Folder, name: str) -> bool:
        """Tell whether a file of a folder is in this format, by default by its name."""
        return name.endswith(self.suffixes)

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return one record per item; None if the data has no item file."""
        ...

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return one record per interaction, in file order."""
        ...
