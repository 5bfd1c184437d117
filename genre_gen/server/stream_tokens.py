"""Stream tokens: a signed permission to read the stream of one user for minutes, for clients that send no headers.

A browser's ``EventSource`` cannot send a key, and a key must not be in a page. A server of yours, which has a key,
asks for a token and gives it to the page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time

from genre_gen.errors import UsageError

PREFIX = "gs_"
MOST_MINUTES = 24 * 60
_LONGEST = 2000  # characters of a token; user ids have at most 500
_SIGNATURE = 32  # bytes of HMAC-SHA256


class StreamTokens:
    """Issues and checks tokens with one secret.

    Example:
        >>> tokens = StreamTokens(b"0" * 32)
        >>> token = tokens.issue("movies", "196", minutes=10, now=0)
        >>> tokens.valid_until(token, "movies", "196", now=599)
        600.0
    """

    def __init__(self, secret: bytes) -> None:
        """Hold the secret, of at least 32 bytes."""
        if len(secret) < _SIGNATURE:
            raise UsageError(f"a secret of {len(secret)} bytes is too short; give {_SIGNATURE} random bytes")
        self._secret = secret

    def issue(self, domain: str, user: str, minutes: float, now: float | None = None) -> str:
        """Return a token for one user of one domain; raises UsageError for 0 minutes or more than a day."""
        if not 0 < minutes <= MOST_MINUTES:
            raise UsageError(f"minutes is {minutes:g}; give a number above 0 and up to {MOST_MINUTES}")
        expires = round((time.time() if now is None else now) + minutes * 60, 3)
        payload = json.dumps([domain, user, expires], separators=(",", ":")).encode()
        return PREFIX + base64.urlsafe_b64encode(self._sign(payload) + payload).decode().rstrip("=")

    def valid_until(self, token: str, domain: str, user: str, now: float | None = None) -> float | None:
        """Return when a token ends, in seconds since 1970; None if it is forged, over, or for another user."""
        if not token.startswith(PREFIX) or len(token) > _LONGEST or not token.isascii():
            return None
        body = token.removeprefix(PREFIX)
        try:
            content = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        signature, payload = content[:_SIGNATURE], content[_SIGNATURE:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            return None
        whose, who, expires = json.loads(payload)  # signed, so it is what ``issue`` wrote
        over = expires <= (time.time() if now is None else now)
        return None if over or (whose, who) != (domain, user) else float(expires)

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, b"stream\0" + payload, hashlib.sha256)
