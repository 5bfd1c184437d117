"""KeyTable: API keys, of which only hashes are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from genre_gen.store.database import Database

ROLES = ("read", "ingest", "manage", "admin")
"""From the least to the most; a role includes those before it."""


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
        raise NotImplementedError


class KeyTable:
    """The API keys of a store."""

    def __init__(self, database: Database) -> None:
        """Take the keys of a store."""
        raise NotImplementedError

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
        raise NotImplementedError

    def find(self, prefix: str) -> KeyRow | None:
        """Return a key, None if there is none."""
        raise NotImplementedError

    def list(self) -> list[KeyRow]:
        """Return all keys, the oldest first, also those that expired or were revoked."""
        raise NotImplementedError

    def revoke(self, connection: Connection, prefix: str) -> KeyRow:
        """Revoke a key for good; raises UsageError if there is none."""
        raise NotImplementedError

    def touch(self, connection: Connection, used: Mapping[str, float]) -> None:
        """Note when keys were last used: prefix -> seconds since 1970."""
        raise NotImplementedError
