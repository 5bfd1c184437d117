"""Streams of server-sent events: many open connections of the load generator, with the moment of each message."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httptools


@dataclass(frozen=True)
class Message:
    """A message of a stream.

    Attributes:
        at: seconds on the clock ``time.monotonic``.
        id: as sent, such as ``g-1.88123``; "" for none.
        event: its name; "" for none.
        data: its data.
    """

    at: float
    id: str
    event: str
    data: str

    @property
    def seq(self) -> int:
        """Return the event of the log that the message knows of: the number at the end of its id; -1 for none."""
        _, _, last = self.id.rpartition(".")
        return int(last) if last.isdecimal() else -1


def message(at: float, block: bytes) -> Message:
    """Return the message of a block of lines."""
    fields: dict[str, list[str]] = {}
    for line in block.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    first = {name: "\n".join(values) for name, values in fields.items()}
    return Message(at, first.get("id", ""), first.get("event", ""), first.get("data", ""))


class Stream(asyncio.Protocol):
    """A connection that asks for one stream and notes its messages.

    Attributes:
        status: of HTTP; 0 before the answer.
        found: its messages; comments and settings without data are not messages.
        lost: whether the connection has ended.
    """

    def __init__(self, request: bytes, opened: asyncio.Future[None] | None = None) -> None:
        """Hold the request; ``opened`` is told when the answer begins."""
        self.request, self.opened = request, opened
        self.status, self.found, self.lost = 0, list[Message](), False
        self.transport: Any = None
        self._buffer = b""
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: Any) -> None:
        """Ask."""
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Read."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Note that the stream is open."""
        self.status = self._parser.get_status_code()
        self._tell()

    def on_body(self, body: bytes) -> None:
        """Note the messages that are complete."""
        now = asyncio.get_running_loop().time()
        self._buffer = (self._buffer + body).replace(b"\r\n", b"\n")
        *blocks, self._buffer = self._buffer.split(b"\n\n")
        self.found += [made for made in (message(now, block) for block in blocks) if made.data]

    def connection_lost(self, _: Exception | None) -> None:
        """Note the end."""
        self.lost = True
        self._tell()

    def _tell(self) -> None:
        if self.opened is not None and not self.opened.done():
            self.opened.set_result(None)


async def open_streams(host: str, port: int, requests: list[bytes], at_once: int = 50) -> list[Stream]:
    """Open a stream for each request, some at a time; return them when each has been answered or refused."""
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    for start in range(0, len(requests), at_once):
        some = [Stream(request, loop.create_future()) for request in requests[start : start + at_once]]
        for stream in some:
            await loop.create_connection(lambda stream=stream: stream, host, port)  # type: ignore[misc]
        await asyncio.wait([stream.opened for stream in some if stream.opened is not None], timeout=10)
        streams += some
    return streams


async def first_messages(streams: list[Stream], within: float) -> None:
    """Wait until each stream that is open has a message, or some seconds have passed."""
    limit = asyncio.get_running_loop().time() + within
    while any(not stream.found and not stream.lost for stream in streams):
        if asyncio.get_running_loop().time() > limit:
            return
        await asyncio.sleep(0.05)
