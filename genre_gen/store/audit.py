"""AuditLog: who did what, in rows that are chained by hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from genre_gen.store.database import Database


@dataclass(frozen=True)
class AuditRow:
    """One entry.

    Attributes:
        seq: from 1.
        at: seconds since 1970.
        key: prefix of the key that was used, or "".
        action: such as ``key.revoke``.
        subject: what it was done to.
        detail: JSON values.
        chain: SHA-256 of the entry and of the chain before it.
    """

    seq: int
    at: float
    key: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    chain: str


class AuditLog:
    """Entries that are added and never changed."""

    def __init__(self, database: Database) -> None:
        """Take the entries of a store."""
        raise NotImplementedError

    def add(
        self, connection: Connection, key: str, action: str, subject: str = "", detail: Mapping[str, Any] | None = None
    ) -> AuditRow:
        """Add an entry. A person's id belongs into none: give its hash, since entries survive a deletion."""
        raise NotImplementedError

    def rows(self, n: int = 100, before_seq: int | None = None) -> list[AuditRow]:
        """Return the newest ``n`` entries, the newest first."""
        raise NotImplementedError

    def verify(self) -> str:
        """Return the hash of the last entry, "" without entries; raises StoreError at the first that was changed."""
        raise NotImplementedError
