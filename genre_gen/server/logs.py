"""Logs of the server: one JSON object a line on stderr, with request ids, and without keys, tokens and passwords."""

from __future__ import annotations

import json
import logging
import random
import re
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Observe: TypeAlias = Callable[[str, str, int, float | None], None]
"""Called once a request: route, method, status, and seconds, None for a stream."""

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request that the present task answers; log lines have it."""
UNMATCHED = "unmatched"
"""The route of requests that no route matches; their paths are not logged, since they may hold anything."""
GONE = 499
"""The status in logs and metrics of requests whose client left before the answer began."""

_PAUSE, _MOST_LINES = 0.1, 10_000

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HIDDEN = (
    (re.compile(r"(gk_[A-Za-z0-9]{1,16}_)[\w-]{8,}"), r"\1…"),
    (re.compile(r"(gs_)[\w.=-]{8,}"), r"\1…"),
    (re.compile(r"\b(bearer|basic)\s+[^\s\"',;…]+", re.I), r"\1 …"),
    (re.compile(r"\b(x-api-key|token|password|passwd|secret)(['\"]?\s*[=:]\s*['\"]?)[^\s\"'&,;…]+", re.I), r"\1\2…"),
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), r"\1…@"),
)
# Each secret that these patterns find contains this, in JSON too: most lines do not, and need one look.
_SUSPECT = re.compile(r"g[ks]_|bearer|basic|api-key|token|passw|secret|://", re.I)


def redacted(text: str) -> str:
    """Return a text without the secrets in it: of keys their public prefix stays, of addresses all but the password."""
    for secret, instead in _HIDDEN:
        text = secret.sub(instead, text)
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    return list(value) if isinstance(value, (set, frozenset)) else redacted(str(value))


_ENCODER = json.JSONEncoder(default=_plain)


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object of ASCII characters: no value can break a line or colour a terminal.

    A dictionary in the record's attribute ``fields`` is added to the object. Every text is redacted, exceptions too.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if ident := REQUEST_ID.get():
            entry["request_id"] = ident
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["error"] = "".join(traceback.format_exception(*record.exc_info))
        line = _ENCODER.encode(entry)
        return line if _SUSPECT.search(line) is None else _ENCODER.encode(_clean(entry))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit: the standard library would print them as they are
        return str(record.msg)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {redacted(str(key)): _clean(part) for key, part in value.items()}
    return [_clean(part) for part in value] if isinstance(value, (list, tuple, set)) else value


class GatheringHandler(logging.Handler):
    """Writes lines together, ten times a second, in a thread of its own, so that no request waits for the stream.

    Warnings and errors are written at once, with the lines before them. If the stream takes nothing, the oldest lines
    are dropped, and their number is written.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to a stream."""
        super().__init__()
        self._stream = stream
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._there, self._writing = threading.Event(), threading.Lock()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; the caller holds the handler's lock, which ``flush`` does not need."""
        try:
            self._lines.append(self.format(record))
        except Exception:  # as the standard library does
            self.handleError(record)
            return
        if len(self._lines) > _MOST_LINES:
            self._lines.popleft()
            self._dropped += 1
        if record.levelno >= logging.WARNING:
            self.flush()
        elif not self._there.is_set():
            self._there.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_often, name="log", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write what was taken."""
        with self._writing:
            lines, dropped, self._dropped = [], self._dropped, 0
            while self._lines:
                lines.append(self._lines.popleft())
            if dropped:
                lines.append(
                    json.dumps({"level": "warning", "logger": __name__, "message": f"{dropped} lines dropped"})
                )
            with suppress(OSError, ValueError):  # it is read by no process, or was closed
                self._stream.write("".join(f"{line}\n" for line in lines))
                self._stream.flush()

    def _write_often(self) -> None:
        while True:
            self._there.wait()
            time.sleep(_PAUSE)
            self._there.clear()
            self.flush()


def set_up_logs(level: int = logging.INFO) -> None:
    """Send the logs of the whole process to stderr as JSON; requests are logged at INFO, of other packages warnings."""
    handler = GatheringHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("genre_gen").setLevel(level)


def new_request_id(given: str | None = None) -> str:
    """Return the id that a client gave to a request if it is short and plain, else a new one."""
    if given is not None and _ID.fullmatch(given):
        return given
    return f"{random.getrandbits(128):032x}"


class RequestLog:
    """ASGI middleware: gives each request an id, logs one line about it, and answers 500 if the app fails.

    The line has the route's template and not the path, which contains ids of users and items.
    """

    def __init__(self, app: App, observe: Observe | None = None) -> None:
        """Wrap an app; ``observe`` counts each request."""
        self._app, self._observe = app, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        ident = new_request_id(given.decode("latin-1"))
        scope.setdefault("state", {})["request_id"] = ident
        mark = REQUEST_ID.set(ident)
        answer = _Answer(send, ident)
        begun = time.perf_counter()
        try:
            await self._app(scope, receive, answer)
        except Exception:
            log.exception("a request failed")
            await answer.fail()
        finally:
            self._tell(scope, answer, time.perf_counter() - begun)
            REQUEST_ID.reset(mark)

    def _tell(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        route, method, status = route_of(scope), str(scope["method"]), answer.status or GONE
        if self._observe is not None:
            self._observe(route, method, status, None if answer.streams else seconds)
        if log.isEnabledFor(logging.INFO):
            fields = {"route": route, "method": method, "status": status, "milliseconds": round(seconds * 1000, 1)}
            log.info("request", extra={"fields": fields})


class _Answer:
    """The sending side of a request: adds the id, and remembers the status."""

    def __init__(self, send: Send, ident: str) -> None:
        self._send, self._ident = send, ident
        self.status, self.streams = 0, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [(name, value) for name, value in message["headers"] if name.lower() != b"x-request-id"]
            self.streams = any(value.startswith(b"text/event-stream") for _, value in headers)
            message = {**message, "headers": [*headers, (b"x-request-id", self._ident.encode())]}
        await self._send(message)

    async def fail(self) -> None:
        """Answer that the server failed, unless an answer has begun."""
        if self.status:
            return
        problem = {
            "type": "urn:genre-gen:failure",
            "title": "Internal Server Error",
            "status": 500,
            "detail": f"the server failed; its log has the reason under the request id {self._ident}",
            "request_id": self._ident,
        }
        body = json.dumps(problem).encode()
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
        await self({"type": "http.response.start", "status": 500, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def route_of(scope: Scope) -> str:
    """Return the template of the route that a request took, such as ``/v1/{domain}/events``."""
    route = scope.get("route")
    return getattr(route, "path_format", None) or getattr(route, "path", None) or UNMATCHED
