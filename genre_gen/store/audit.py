"""AuditLog: who did what, in rows that are chained by hashes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from genre_gen.errors import StoreError
from genre_gen.store.database import Database
from genre_gen.store.schema import audit as table
from genre_gen.store.texts import to_json


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
    """Entries that are added and never changed: one that is changed or taken out breaks the chain after it.

    To notice that the last ones are missing, keep what :meth:`verify` returns at another place.

    Example:
        >>> entries = AuditLog(database)
        >>> row = database.writer.submit(lambda connection: entries.add(connection, "", "key.create", "a1")).result()
        >>> entries.verify() == row.chain
        True
    """

    def __init__(self, database: Database) -> None:
        """Take the entries of a store."""
        self._database = database

    def add(
        self, connection: Connection, key: str, action: str, subject: str = "", detail: Mapping[str, Any] | None = None
    ) -> AuditRow:
        """Add an entry. A person's id belongs into none: give its hash, since entries survive a deletion."""
        before = connection.execute(select(table).order_by(table.c.seq.desc()).limit(1)).first()
        seq, chain = (before.seq + 1, before.chain) if before is not None else (1, "")
        at, written = time.time(), to_json(dict(detail or {}))
        linked = _linked(chain, seq, at, key, action, subject, written)
        row = {"seq": seq, "at": at, "key": key, "action": action, "subject": subject, "detail": written}
        connection.execute(table.insert().values(**row, chain=linked))
        return AuditRow(seq, at, key, action, subject, dict(detail or {}), linked)

    def rows(self, n: int = 100, before_seq: int | None = None) -> list[AuditRow]:
        """Return the newest ``n`` entries, the newest first."""
        finding = select(table).order_by(table.c.seq.desc()).limit(n)
        if before_seq is not None:
            finding = finding.where(table.c.seq < before_seq)
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(finding)]

    def verify(self) -> str:
        """Return the hash of the last entry, "" without entries; raises StoreError at the first that was changed."""
        chain, expected = "", 1
        with self._database.read() as connection:
            for row in connection.execute(select(table).order_by(table.c.seq)):
                chain = _linked(chain, expected, row.at, row.key, row.action, row.subject, row.detail)
                if row.seq != expected or row.chain != chain:
                    raise StoreError(
                        f"entry {expected} of the audit log was changed or taken out; compare it with a backup"
                    )
                expected += 1
        return chain


def _linked(chain: str, *values: Any) -> str:
    return hashlib.sha256(json.dumps([chain, *values]).encode()).hexdigest()


def _entry(row: Row[Any]) -> AuditRow:
    return AuditRow(row.seq, row.at, row.key, row.action, row.subject, json.loads(row.detail), row.chain)
