"""Database: a store that is open in this process."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Connection

from genre_gen.store.writer import Writer


class Database:
    """An open store, in SQLite or PostgreSQL; one process has it at a time.

    Attributes:
        writer: changes it.
    """

    writer: Writer

    @classmethod
    def open(cls, url: str) -> Database:
        """Open a store, which is made if it does not exist, and brought to the newest schema.

        Args:
            url: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:PASSWORD@HOST/NAME``.

        Raises:
            StoreError: it cannot be opened, is damaged, was made by a newer version, or another process has it.
        """
        raise NotImplementedError

    def read(self) -> AbstractContextManager[Connection]:
        """Lend a connection that sees one state of what is committed, and can change nothing."""
        raise NotImplementedError

    def backup(self, path: Path) -> None:
        """Write a copy of the store while it is used; raises StoreError."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what waits, and close; later writes raise StoreError."""
        raise NotImplementedError
