"""Keys: who calls, what the caller may do, and in which domains. Checking a key needs no store."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from starlette.requests import Request

from genre_gen.server.errors import ApiError
from genre_gen.server.limits import TokenBucket, too_many
from genre_gen.server.settings import ServerSettings
from genre_gen.store.keys import KeyRow

_SECRET = re.compile(r"gk_([A-Za-z0-9]{8})_[A-Za-z0-9_-]{43}")
_NOBODY = hashlib.sha256(b"no such key").hexdigest()


class Role(IntEnum):
    """What a key may do; each role includes those before it."""

    READ = 0
    INGEST = 1
    MANAGE = 2
    ADMIN = 3

    @classmethod
    def named(cls, name: str) -> Role:
        """Return the role of a name, such as ``read``."""
        return cls[name.upper()]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        prefix: the public part of the key.
        role: what it may do.
        domains: that it opens; None for all.
    """

    prefix: str
    role: Role
    domains: frozenset[str] | None

    def opens(self, domain: str) -> bool:
        """Tell whether the key is for a domain."""
        return self.domains is None or domain in self.domains


ANYONE = Caller("", Role.READ, frozenset())
"""A caller without a key, which opens no domain."""


class _Entry:
    """A key in memory."""

    __slots__ = ("bucket", "caller", "expires", "sha256")

    def __init__(self, row: KeyRow, settings: ServerSettings) -> None:
        domains = None if row.domains is None else frozenset(row.domains)
        self.caller = Caller(row.prefix, Role.named(row.role), domains)
        self.sha256, self.expires = row.sha256, row.expires
        self.bucket = TokenBucket(row.rate or settings.rate, row.burst or settings.burst)


class Keyring:
    """All keys that are valid, in memory: revoking one is effective with the next request."""

    def __init__(self, rows: Iterable[KeyRow], settings: ServerSettings) -> None:
        """Take the keys of the store."""
        self._settings, self._entries = settings, dict[str, _Entry]()
        self.used: dict[str, float] = {}
        for row in rows:
            self.put(row)

    def put(self, row: KeyRow) -> None:
        """Take a key, or drop one that is revoked."""
        if row.revoked is not None:
            self._entries.pop(row.prefix, None)
        else:
            self._entries[row.prefix] = _Entry(row, self._settings)

    def caller(self, request: Request) -> Caller:
        """Return who sends a request.

        Raises:
            ApiError: 401 without a valid key, 429 if the key sends too many requests.
        """
        secret = _secret_of(request)
        if secret is None:
            raise _refused("no key; send it as Authorization: Bearer gk_..., or as X-API-Key")
        match = _SECRET.fullmatch(secret)
        entry = self._entries.get(match[1]) if match else None
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        same = hmac.compare_digest(digest, _NOBODY if entry is None else entry.sha256)  # as long without an entry
        now = time.time()
        if entry is None or not same or (entry.expires is not None and entry.expires <= now):
            raise _refused("the key is not valid, or no longer; ask an administrator for a new one")
        if pause := entry.bucket.take():
            raise too_many(pause)
        self.used[entry.caller.prefix] = now
        return entry.caller


def _secret_of(request: Request) -> str | None:
    """Return the key that a request has, if any."""
    found = None
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            scheme, _, secret = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                return str(secret.strip())
        elif name == b"x-api-key":
            found = value.decode("latin-1").strip()
    return found


def _refused(told: str) -> ApiError:
    return ApiError(401, "key", told, headers={"WWW-Authenticate": "Bearer"})


def check_role(caller: Caller, role: Role) -> None:
    """Raise ApiError 403 unless a caller has a role."""
    if caller.role < role:
        raise ApiError(
            403, "role", f"this needs a key of role {role.name.lower()}; this key's is {caller.role.name.lower()}"
        )
