"""Hostile requests: bodies, paths and headers that are too large, too deep, or not what they claim to be."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.live.api import Api
from eval.live.server import Server
from eval.live.trial import Row, Trial

MEGABYTE = 2**20
LIMIT = 0.05  # seconds in which a request must be refused
GROWTH = 30e6  # bytes of memory that count as flat
CLIENT_ERRORS = range(400, 500)


@dataclass(frozen=True)
class Hostile:
    """A request that must be refused.

    Attributes:
        name: what is wrong with it.
        body: as sent.
        path: behind the domain, unless it begins with a slash.
        method: of HTTP.
        headers: in addition; None removes one.
        within: seconds in which it must be refused.
    """

    name: str
    body: bytes | None = None
    path: str = "recommend"
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    within: float = LIMIT


def requests() -> Iterator[Hostile]:
    """Yield requests that no server may fulfil."""
    user = b'{"user": "1", '
    yield Hostile("body of 10 MB", b'{"user": "' + b"a" * (10 * MEGABYTE) + b'"}', within=0.5)
    yield Hostile("deep JSON", b'{"user":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield Hostile("deep objects", b'{"a":' * 50_000 + b"1" + b"}" * 50_000)
    yield Hostile("deep, unfinished", b"[" * 500_000)
    yield Hostile("NaN", user + b'"n": NaN}')
    yield Hostile("infinity", user + b'"n": Infinity}')
    yield Hostile("1e308", user + b'"n": 1e308}')
    yield Hostile("1e999", user + b'"n": 1e999}')
    yield Hostile("number of 500,000 digits", user + b'"n": ' + b"9" * 500_000 + b"}")
    yield Hostile("negative number", user + b'"n": -1}')
    yield Hostile("number as text", user + b'"n": "10"}')
    yield Hostile("truth value as number", user + b'"n": true}')
    yield Hostile("a billion items", user + b'"n": 1000000000}')
    yield Hostile("lone surrogate", b'{"history": ["\\ud800"]}')
    yield Hostile("bytes that are not UTF-8", b'{"user": "\xff\xfe"}')
    yield Hostile("UTF-16", '{"user": "1"}'.encode("utf-16"))
    yield Hostile("null character", b'{"user": "a\\u0000b"}')
    yield Hostile("__proto__", user + b'"__proto__": {"admin": true}}')
    yield Hostile("constructor", user + b'"constructor": {"prototype": {"n": 1}}}')
    yield Hostile("unknown key", user + b'"admin": true}')
    yield Hostile("repeated braces", b"{{}}")
    yield Hostile("list instead of object", b"[]")
    yield Hostile("text instead of object", b'"user"')
    yield Hostile("empty body", b"")
    yield Hostile("where of 10,000 terms", user + b'"where": "' + b" or ".join([b"year == 1990"] * 10_000) + b'"}')
    yield Hostile("where that is deep", user + b'"where": "' + b"(" * 900 + b"year > 1" + b")" * 900 + b'"}')
    yield Hostile("where with a call", user + b"\"where\": \"__import__('os').system('id')\"}")
    yield Hostile("where with an attribute", user + b'"where": "title.__class__ == 1"}')
    yield Hostile("where with a power", user + b'"where": "year == 9 ** 9 ** 9"}')
    yield Hostile("query of 900,000 characters", user + b'"query": "' + b"space " * 150_000 + b'"}')
    yield Hostile("user of 600 characters", b'{"user": "' + b"u" * 600 + b'"}')
    yield Hostile("history of 100,000 titles", json.dumps({"history": ["Alien"] * 100_000}).encode())
    yield Hostile("exclude of 100,000 titles", json.dumps({"user": "1", "exclude": ["m1"] * 100_000}).encode())
    yield Hostile("template in a title", b'{"history": ["{{ 7 * 7 }}{% for x in y %}"]}')
    yield Hostile("gzip bomb", gzip.compress(b" " * (10 * MEGABYTE)), headers={"Content-Encoding": "gzip"})
    yield Hostile("other content type", b"user=1", headers={"Content-Type": "application/x-www-form-urlencoded"})
    yield Hostile("YAML", b"user: !!python/object/apply:os.system ['id']", headers={"Content-Type": "text/yaml"})
    yield from _events()
    yield from _paths()


def _events() -> Iterator[Hostile]:
    one = {"event_id": "h", "user": "1", "item": "1"}
    many = json.dumps({"events": [one] * 501}).encode()
    yield Hostile("501 events", many, "events")
    yield Hostile("no events", b'{"events": []}', "events")
    yield Hostile("100,000 empty events", b'{"events": [' + b",".join([b"{}"] * 100_000) + b"]}", "events", within=0.2)
    for name, value in (("rating of 1e308", b"1e308"), ("rating NaN", b"NaN"), ("rating as text", b'"5"')):
        yield Hostile(
            name, b'{"events": [{"event_id": "h1", "user": "1", "item": "1", "rating": ' + value + b"}]}", "events"
        )
    body = json.dumps({"events": [{**one, "at": 1e300}]}).encode()
    yield Hostile("event of the far future", body, "events")


def _paths() -> Iterator[Hostile]:
    yield Hostile("domain that climbs", b'{"user": "1"}', "/v1/..%2f..%2fetc/recommend")
    yield Hostile("domain of another name", b'{"user": "1"}', "/v1/nothing/recommend")
    yield Hostile("path of 10,000 characters", None, "/" + "a" * 10_000, "GET")
    yield Hostile("item that climbs", None, "items/..%2f..%2fetc%2fpasswd", "GET")
    yield Hostile("list that is SQL", None, "lists/'%20or%201=1--", "GET")
    yield Hostile("parameter n", None, "recommend?user=1&n=9999999999999999999999", "GET")
    yield Hostile("method", None, "recommend", "TRACE")
    yield Hostile("time limit as text", b'{"user": "1"}', headers={"X-Timeout-Ms": "soon"})
    yield Hostile("time limit that is negative", b'{"user": "1"}', headers={"X-Timeout-Ms": "-5"})
    yield Hostile("key that is wrong", b'{"user": "1"}', headers={"Authorization": "Bearer gk_aaaaaaaa_" + "b" * 43})
    yield Hostile("key of 5,000 characters", b'{"user": "1"}', headers={"Authorization": "Bearer " + "k" * 5_000})


@dataclass(frozen=True)
class Answered:
    """What came of a hostile request.

    Attributes:
        status: of HTTP; 0 if the connection was closed without an answer.
        seconds: until the answer was there.
        body: of the answer.
    """

    status: int
    seconds: float
    body: bytes

    @property
    def refused(self) -> bool:
        """Tell whether it was refused as a whole, or each of its events was."""
        if self.status in CLIENT_ERRORS:
            return True
        with suppress(ValueError, KeyError, TypeError):
            answer = json.loads(self.body)
            return self.status == 200 and not answer["accepted"] and bool(answer["rejected"])  # noqa: PLR2004
        return False


def answered(api: Api, request: Hostile, timeout: float = 10.0) -> Answered:
    """Send a request over a connection of its own; return what came of it."""
    path = request.path if request.path.startswith("/") else f"{api.path()}/{request.path}"
    headers = {**api.headers(request.body), "Connection": "close", **request.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    data = f"{request.method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (request.body or b"")
    begin, answer = time.perf_counter(), b""
    with socket.create_connection((api.host, api.port), timeout) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.sendall(data)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
    seconds = time.perf_counter() - begin
    first, _, body = answer.partition(b"\r\n\r\n")
    parts = first.split(b" ", 2)
    return Answered(int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0, seconds, body)


def refused(trial: Trial) -> Row:
    """Send each hostile request some times; count those that are fulfilled, fail, take long or leave memory."""
    times = trial.size(20, 2)
    rows: list[dict[str, Any]] = []
    with trial.server() as server:
        for request in requests():  # what the first requests need stays
            answered(server.api, request)
        before = server.memory()
        for request in requests():
            results = [answered(server.api, request) for _ in range(times)]
            rows.append(
                {
                    "name": request.name,
                    "statuses": sorted({each.status for each in results}),
                    "refused": all(each.refused for each in results),
                    "ms": 1e3 * float(np.median([each.seconds for each in results])),
                    "within": 1e3 * request.within,
                }
            )
        after = server.memory()
        alive = _serves(server)
    wrong = [row for row in rows if not row["refused"]]
    slow_ones = [row for row in rows if row["ms"] > row["within"]]
    return {
        "tried": len(rows) * times,
        "broken": len(wrong) + len(slow_ones) + int(after - before > GROWTH) + (not alive),
        "not_refused": len(wrong),
        "slow": len(slow_ones),
        "slowest_ms": max(row["ms"] for row in rows),
        "memory_growth_mb": (after - before) / 1e6,
        "wrong": wrong,
        "late": slow_ones,
        "requests": rows,
    }


def _serves(server: Server) -> bool:
    with server.api.caller() as caller:
        return caller.call("GET", "/health/ready").ok
