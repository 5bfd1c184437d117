"""What every reader offers: a new data format is one new file with one class like this."""

from __future__ import annotations

from typing import ClassVar, Protocol

from genre_gen.data.readers.files import Folder, Table
from genre_gen.domain import DataSettings


class Reader(Protocol):
    """One data format. A reader finds files and columns; ``to_catalog`` and ``to_interactions`` check the values.

    Attributes:
        name: its name in ``domain.toml``.
        suffixes: how its files' names end, where that tells the format.
        separator: what stands between the labels of a list, where the format does not mark lists itself.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    separator: ClassVar[str] = "|"

    def recognises(self, folder: Folder) -> bool:
        """Tell whether the folder's files are in this format."""
        ...

    def items(self, folder: Folder, settings: DataSettings) -> Table | None:
        """Return one record per item; None where the data says nothing about its items."""
        ...

    def interactions(self, folder: Folder, settings: DataSettings) -> Table:
        """Return one record per interaction, in file order."""
        ...
