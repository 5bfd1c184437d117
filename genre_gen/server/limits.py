"""Limits of requests: rate per key, size and form of the body, and the deadline."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

from genre_gen.server.errors import ApiError

_JSON = b"application/json"
BODY_SECONDS = 10.0
"""Seconds in which a body must arrive."""


class TokenBucket:
    """Lets ``burst`` requests through at once and ``rate`` a second on average.

    Example:
        >>> bucket = TokenBucket(rate=2.0, burst=1, clock=lambda: 0.0)
        >>> bucket.take(), bucket.take()
        (0.0, 0.5)
    """

    __slots__ = ("_burst", "_clock", "_last", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin full."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._last = float(burst), clock()

    def take(self) -> float:
        """Take one token; return 0, or the seconds after which there is one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._last) * self._rate)
        self._last = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate


def too_many(seconds: float) -> ApiError:
    """Return the error for a key that sends too much."""
    pause = max(1, math.ceil(seconds))
    told = "this key sends more requests than it may; wait for the seconds of Retry-After, or ask for a key of more"
    return ApiError(429, "rate", told, headers={"Retry-After": str(pause)})


def _header(request: Request, name: bytes) -> bytes | None:
    return next((value for key, value in request.scope["headers"] if key == name), None)


def check_content(request: Request) -> None:
    """Raise ApiError 415 unless a body is plain JSON."""
    kind = (_header(request, b"content-type") or b"").split(b";", 1)
    if kind[0].strip().lower() != _JSON or (len(kind) > 1 and b"utf-8" not in kind[1].lower() and kind[1].strip()):
        raise ApiError(415, "content-type", "the body must be JSON in UTF-8; send Content-Type: application/json")
    encoding = _header(request, b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in {b"", b"identity"}:
        raise ApiError(415, "content-encoding", "compressed bodies are not read; send the body as it is")


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request; raises ApiError 413 before more than ``limit`` bytes are held."""
    declared = _header(request, b"content-length") or b"0"
    if not declared.isdigit() or len(declared) > 15 or int(declared) > limit:  # noqa: PLR2004 - Python refuses longer
        raise too_large(limit)
    part, more = await _part(request)
    if not more and len(part) <= limit:
        return part
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _rest(request, part, limit)
    except TimeoutError:
        told = f"the body did not arrive within {BODY_SECONDS:g} seconds; send it at once"
        raise ApiError(408, "slow-body", told, headers={"Connection": "close"}) from None


async def _part(request: Request) -> tuple[bytes, bool]:
    """Return the next part of a body, and whether there are more; raises ClientDisconnect."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


async def _rest(request: Request, part: bytes, limit: int) -> bytes:
    parts, size, more = [part], len(part), True
    while more and size <= limit:
        part, more = await _part(request)
        parts.append(part)
        size += len(part)
    if size > limit:
        raise too_large(limit)
    return b"".join(parts)


def too_large(limit: int) -> ApiError:
    """Return the error for a body that is too large; the connection is closed, since the rest of it is not read."""
    told = f"the body has more than {limit:,} bytes; send less at once"
    return ApiError(413, "too-large", told, headers={"Connection": "close"})


def timeout_of(request: Request, usual_ms: int, largest_ms: int) -> float:
    """Return the seconds that a request may take; raises ApiError 422 for an invalid ``X-Timeout-Ms``."""
    given = _header(request, b"x-timeout-ms")
    if given is None:
        return usual_ms / 1000
    if not given.isdigit() or len(given) > 9 or not 1 <= int(given) <= largest_ms:  # noqa: PLR2004 - far above any
        raise ApiError(
            422,
            "invalid",
            f"X-Timeout-Ms is not a whole number from 1 to {largest_ms}; send milliseconds, or leave it out",
        )
    return int(given) / 1000
