"""A client of the server for the commands that talk to one: one connection, patience, and errors with the remedy."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from genre_gen.errors import GenreGenError, UsageError

KEY_VARIABLE, URL_VARIABLE = "GENRE_KEY", "GENRE_URL"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
LONGEST_PAUSE = 60.0
"""Seconds that are waited at a time, whatever the server asks for."""
PATIENCE = 900.0
"""Seconds for which a busy server is asked again."""
_TIMEOUT = 60.0
_SLOW_DOWN = frozenset({429, 503})
_FAILED, _UNAUTHORIZED, _FORBIDDEN = 400, 401, 403


class NoServerError(GenreGenError):
    """No server answers at an address."""


class RefusedError(GenreGenError):
    """A request that the server refused.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, message: str, status: int) -> None:
        """Hold the message and the status."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Reply:
    """An answer of the server: status, headers in lower case, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """Return the body as JSON; None if it is something else."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


class Api:
    """One server, asked over one connection that stays open.

    Args:
        url: such as ``http://127.0.0.1:8000``.
        key: sent with each request; None sends none.
        on_pause: called with the seconds before each pause that the server asks for.
        sleep: waits.

    Raises:
        UsageError: an address that is not one.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        on_pause: Callable[[float], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect at the first request."""
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
            raise UsageError(f"{url!r} is not the address of a server; give one such as http://127.0.0.1:8000")
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise UsageError("the key has characters that no key has; copy it again")
        self.url, self.host, self.secure = url.rstrip("/"), host, parts.scheme == "https"
        self._port, self._path, self._key = port, parts.path.rstrip("/"), key
        self._on_pause, self._sleep = on_pause, sleep
        self._connection: http.client.HTTPConnection | None = None

    @property
    def in_the_clear(self) -> bool:
        """Whether keys cross a network without encryption."""
        return not self.secure and self.host not in LOOPBACK

    def ask(self, method: str, path: str, content: Any = None, *, patient: bool = False) -> Any:
        """Send a request and return the JSON of the answer.

        Args:
            method: of HTTP.
            path: below the address.
            content: JSON values for the body.
            patient: a server that is busy is asked again after the time that it names.

        Raises:
            NoServerError: no server answers.
            RefusedError: with the reason and the remedy that the server gives.
        """
        begun = time.monotonic()
        while True:
            reply = self.send(method, path, content)
            if not (patient and reply.status in _SLOW_DOWN and time.monotonic() - begun < PATIENCE):
                break
            pause = _pause(reply)
            if self._on_pause is not None:
                self._on_pause(pause)
            self._sleep(pause)
        if reply.status >= _FAILED:
            raise RefusedError(self._told(reply), reply.status)
        return reply.content

    def send(self, method: str, path: str, content: Any = None) -> Reply:
        """Send a request and return the answer, whatever its status; raises NoServerError."""
        body = None if content is None else json.dumps(content, allow_nan=False).encode()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        for attempt in (1, 2):  # a connection that was kept may have been closed meanwhile
            fresh = self._connection is None
            connection = self._connection or self._connect()
            try:
                connection.request(method, self._path + path, body, headers)
                answer = connection.getresponse()
                found = {name.lower(): value for name, value in answer.getheaders()}
                self._connection = connection
                return Reply(answer.status, found, answer.read())
            except (OSError, http.client.HTTPException) as problem:
                self.close()
                if fresh or attempt == 2:  # noqa: PLR2004 - the last
                    raise self._no_server(problem) from None
        raise AssertionError  # unreachable

    def _connect(self) -> http.client.HTTPConnection:
        if self.secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self.host, self._port, timeout=_TIMEOUT, context=context)
        return http.client.HTTPConnection(self.host, self._port, timeout=_TIMEOUT)

    def _no_server(self, problem: Exception) -> NoServerError:
        told = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        return NoServerError(
            f"no server answers at {self.url} ({told}); start one (`genre-gen serve`), or give another address as --url"
        )

    def _told(self, reply: Reply) -> str:
        content = reply.content
        detail = content.get("detail") if isinstance(content, dict) else None
        told = detail if isinstance(detail, str) else f"status {reply.status} without a reason; is it a GENRE server?"
        if reply.status == _UNAUTHORIZED:
            told += f"; give a key as --key, or in the variable {KEY_VARIABLE}"
        return f"{self.url} refused: {told}"

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _pause(reply: Reply) -> float:
    try:
        return min(max(float(reply.headers.get("retry-after", "1")), 0.1), LONGEST_PAUSE)
    except ValueError:
        return 1.0


def given_url(url: str | None) -> str | None:
    """Return the address that an option or ``GENRE_URL`` gives; None if neither does."""
    return url or os.environ.get(URL_VARIABLE) or None


def given_key(key: str | None) -> str | None:
    """Return the key that an option or ``GENRE_KEY`` gives; None if neither does."""
    return key or os.environ.get(KEY_VARIABLE) or None
