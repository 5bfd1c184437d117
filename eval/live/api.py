"""Requests of the server's interface: as bytes for the load generator, and as calls over one connection."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from genre_gen.errors import GenreGenError

JSON = "application/json"
BUSY = 503
Event = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status: of HTTP.
        body: as sent.
        headers: names in lower case.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Tell whether the request was fulfilled."""
        return 200 <= self.status < 300  # noqa: PLR2004 the classes of HTTP

    @property
    def json(self) -> Any:
        """Return the body's value; raises ValueError if it is not JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Api:
    """Where a server answers, and with which key.

    Attributes:
        port: on this machine.
        domain: the one that requests are about.
        key: sent with each request; "" for none.
    """

    port: int
    domain: str = "movies"
    key: str = ""
    host: str = "127.0.0.1"

    def path(self, *parts: str) -> str:
        """Return the path of a resource of the domain."""
        return "/".join(["/v1", quote(self.domain, safe=""), *(quote(part, safe="") for part in parts)])

    def headers(self, body: bytes | None = None, **others: str) -> dict[str, str]:
        """Return the headers of a request; underscores in names of others mean hyphens."""
        named = {"Host": f"{self.host}:{self.port}"}
        if self.key:
            named["Authorization"] = f"Bearer {self.key}"
        if body is not None:
            named |= {"Content-Type": JSON, "Content-Length": str(len(body))}
        return named | {name.replace("_", "-"): value for name, value in others.items()}

    def raw(self, method: str, path: str, value: Any = None, **headers: str) -> bytes:
        """Return a whole request as bytes; a body that is not bytes is sent as JSON."""
        body = value if isinstance(value, bytes) or value is None else encoded(value)
        head = "".join(f"{name}: {text}\r\n" for name, text in self.headers(body, **headers).items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")

    def recommend(self, user: str, n: int = 10, **options: Any) -> bytes:
        """Return a request for a list."""
        return self.raw("POST", self.path("recommend"), {"user": user, "n": n, **options})

    def events(self, events: Sequence[Event]) -> bytes:
        """Return a request that reports events."""
        return self.raw("POST", self.path("events"), {"events": list(events)})

    def stream(self, user: str, **headers: str) -> bytes:
        """Return a request for the stream of a user."""
        return self.raw("GET", f"{self.path('stream')}?user={quote(user, safe='')}", **headers)

    def caller(self, timeout: float = 10.0) -> Caller:
        """Return a connection that calls one after another."""
        return Caller(self, timeout)


class Caller:
    """One connection that is kept; a failed call raises OSError or HTTPException, and the next one connects again."""

    def __init__(self, api: Api, timeout: float) -> None:
        """Connect with the first call; ``timeout`` in seconds."""
        self.api = api
        self._connection = http.client.HTTPConnection(api.host, api.port, timeout=timeout)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._connection.close()

    def call(self, method: str, path: str, value: Any = None, **headers: str) -> Reply:
        """Send a request, wait for the answer."""
        body = value if isinstance(value, bytes) or value is None else encoded(value)
        try:
            self._connection.request(method, path, body, self.api.headers(body, **headers))
            answer = self._connection.getresponse()
            reply = Reply(answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()})
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return reply

    def recommend(self, user: str, n: int = 10, **options: Any) -> Reply:
        """Ask for a list."""
        return self.call("POST", self.api.path("recommend"), {"user": user, "n": n, **options})

    def items(self, user: str, n: int = 10, *, within: float = 10.0, **options: Any) -> list[str]:
        """Return the items of a list; a server that is busy (503) is asked again for some seconds.

        Raises:
            GenreGenError: there is no list.
        """
        limit = time.monotonic() + within
        while not (reply := self.recommend(user, n, **options)).ok:
            if reply.status != BUSY or time.monotonic() > limit:
                raise GenreGenError(f"no list for {user}: {reply.status} {reply.body[:300]!r}")
        return listed(reply.body)[0]

    def events(self, events: Sequence[Event]) -> Reply:
        """Report events."""
        return self.call("POST", self.api.path("events"), {"events": list(events)})


def encoded(value: Any) -> bytes:
    """Return JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def event(event_id: str, user: str, item: str, *, rating: float | None = None, at: float | None = None) -> Event:
    """Return an event of the domain's default kind, or a rating; without ``at`` it happens when it arrives."""
    made: Event = {"event_id": event_id, "user": user, "item": item}
    if rating is not None:
        made |= {"type": "rating", "rating": rating}
    return made if at is None else made | {"at": at}


def listed(body: bytes) -> tuple[list[str], list[float]]:
    """Return the items of a list, and their scores."""
    picks = json.loads(body)["items"]
    return [pick["item"] for pick in picks], [pick["score"] for pick in picks]
