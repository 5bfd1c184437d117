"""KeyTable: API keys, of which only hashes are stored."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import string
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from genre_gen.errors import UsageError, quoted
from genre_gen.store.database import Database
from genre_gen.store.schema import api_key as table
from genre_gen.store.texts import to_json

ROLES = ("read", "ingest", "manage", "admin")
"""From the least to the most; a role includes those before it."""
_LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class KeyRow:
    """An API key as it is stored.

    Attributes:
        prefix: eight characters, by which the key is named.
        sha256: of the whole secret, in hexadecimal digits.
        role: one of ``ROLES``.
        domains: that it opens; None for all.
        created: seconds since 1970, as all times here.
        expires, revoked, last_used: None for never.
        rate: requests a second, None for the server's.
        burst: requests at once, None for the server's.
        label: for people.
    """

    prefix: str
    sha256: str
    role: str
    domains: tuple[str, ...] | None
    created: float
    expires: float | None = None
    revoked: float | None = None
    last_used: float | None = None
    rate: float | None = None
    burst: int | None = None
    label: str = ""

    def opens(self, secret: str, now: float) -> bool:
        """Tell whether a secret is that of this key, and the key valid at a moment (seconds since 1970)."""
        same = hmac.compare_digest(hashed(secret), self.sha256)
        return same and self.revoked is None and (self.expires is None or now < self.expires)


class KeyTable:
    """The API keys of a store. A secret is random and long, so a fast hash protects it.

    Example:
        >>> keys = KeyTable(database)
        >>> secret, row = database.writer.submit(lambda connection: keys.create(connection, "read")).result()
        >>> secret.startswith(f"gk_{row.prefix}_"), keys.find(row.prefix).opens(secret, now=row.created)
        (True, True)
    """

    def __init__(self, database: Database) -> None:
        """Take the keys of a store."""
        self._database = database

    def create(
        self,
        connection: Connection,
        role: str,
        domains: Iterable[str] | None = None,
        expires: float | None = None,
        rate: float | None = None,
        burst: int | None = None,
        label: str = "",
    ) -> tuple[str, KeyRow]:
        """Create a key; return its secret, which is stored nowhere, and its row; or raise UsageError."""
        if role not in ROLES:
            raise UsageError(f"no role {quoted(role)}; give one of {', '.join(ROLES)}")
        if (rate is not None and not rate > 0) or (burst is not None and burst < 1):
            raise UsageError(f"rate {rate}, burst {burst}: give more than 0, or neither for the server's")
        named = None if domains is None else tuple(sorted(set(domains)))
        if named == ():
            raise UsageError("a key without a domain opens nothing; name one, or none for all")
        prefix = "".join(secrets.choice(_LETTERS) for _ in range(8))
        secret = f"gk_{prefix}_{secrets.token_urlsafe(32)}"
        now = time.time()
        row = KeyRow(prefix, hashed(secret), role, named, now, expires, None, None, rate, burst, label)
        values = {**vars(row), "domains": None if named is None else to_json(named)}
        connection.execute(table.insert().values(values))
        return secret, row

    def find(self, prefix: str) -> KeyRow | None:
        """Return a key, None if there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.prefix == prefix)).first()
        return None if row is None else _key(row)

    def list(self) -> list[KeyRow]:
        """Return all keys, the oldest first, also those that expired or were revoked."""
        with self._database.read() as connection:
            return [_key(row) for row in connection.execute(select(table).order_by(table.c.created, table.c.prefix))]

    def revoke(self, connection: Connection, prefix: str) -> KeyRow:
        """Revoke a key for good; raises UsageError if there is none."""
        this = table.c.prefix == prefix
        connection.execute(table.update().where(this, table.c.revoked.is_(None)).values(revoked=time.time()))
        row = connection.execute(select(table).where(this)).first()
        if row is None:
            raise UsageError(f"no key {quoted(prefix)}; list the keys there are")
        return _key(row)

    def touch(self, connection: Connection, used: Mapping[str, float]) -> None:
        """Note when keys were last used: prefix -> seconds since 1970."""
        for prefix, at in sorted(used.items()):
            connection.execute(table.update().where(table.c.prefix == prefix).values(last_used=at))


def hashed(secret: str) -> str:
    """Return the SHA-256 of a secret in hexadecimal digits; any text has one."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: Row[Any]) -> KeyRow:
    values = dict(row._mapping)
    domains = values.pop("domains")
    return KeyRow(**values, domains=None if domains is None else tuple(json.loads(domains)))
