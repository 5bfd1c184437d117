"""Push: after a change, the newest list of each user who listens arrives by itself, as server-sent events.

A stream sends state, not a log: the id of an event names the list's version, and a client that comes back with
``Last-Event-ID`` gets the present list if it is another one. Nothing is stored, so nothing can be lost. Many changes
of one user come to one list, and a stream holds one list that its reader has not taken; a newer one replaces it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple, Protocol

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from genre_gen.errors import BusyError, GenreGenError
from genre_gen.server.logs import Receive, Scope, Send

log = logging.getLogger(__name__)

EVENT = "recommendations"
RETRY = 2000
"""Milliseconds after which a client whose connection broke comes back."""
KEEP_ALIVE = 15.0
"""Seconds without a list after which a comment is sent, so that proxies keep the connection."""
_LONGEST_PAUSE = 60.0  # seconds until a list is tried again that failed several times


class Version(NamedTuple):
    """What a list was made from; a user's list is another one only if this is."""

    generation: str
    view: int
    history_seq: int


@dataclass(frozen=True)
class NewList:
    """The newest list of a user.

    Attributes:
        version: what it was made from.
        data: the content of the event, JSON values.
        items: ids of the items that the list holds.
    """

    version: Version
    data: Mapping[str, Any]
    items: frozenset[str]


class ListSource(Protocol):
    """Makes the lists that a hub pushes; its methods are called in the event loop."""

    async def newest(self, domain: str, user: str, n: int) -> NewList:
        """Return the list of a user as of now; raises BusyError, after whose ``retry_after`` it is asked again."""
        ...

    def version(self, domain: str, user: str) -> Version:
        """Return the version that a list would have now, without making it."""
        ...


class _Key(NamedTuple):
    domain: str
    user: str
    n: int


@dataclass(frozen=True)
class _Sent:
    """A list as it goes over the wire."""

    ident: str
    wire: bytes
    items: frozenset[str]


@dataclass(eq=False)
class _Channel:
    """The streams of one user that want lists of one length, and the list that was made for them last."""

    key: _Key
    streams: set[Stream] = field(default_factory=set)
    last: _Sent | None = None
    wanted: bool = False  # a list is to be made: the channel is queued, or waits for its present list
    busy: bool = False  # a list is being made
    since: float | None = None  # when the first change came that no list has
    because: str | None = None  # id of the newest event that no list has
    anyway: bool = False  # the next list is sent even if its version is that of the last
    failures: int = 0  # in a row


@dataclass
class _Mark:
    """A change of one user that the event loop has not seen."""

    since: float
    because: str | None = None
    anyway: bool = False


@dataclass
class PushStats:
    """Counts since the start; ``freshness`` is called with the seconds from each change to its list."""

    opened: int = 0
    refused: int = 0
    lists: int = 0
    failed: int = 0
    coalesced: int = 0
    freshness: Callable[[float], None] | None = None


class Stream:
    """One client that listens; its reader iterates over it."""

    def __init__(self, hub: PushHub, channel: _Channel, seen: str | None, until: float, lists: float) -> None:
        """Belong to a channel; ``seen`` is the id of the list that the client has."""
        self._hub, self._channel, self._seen = hub, channel, seen
        self._until, self._lists = until, lists
        self._pending: _Sent | None = None
        self._closed = False
        self._ready = asyncio.Event()

    def offer(self, sent: _Sent, *, anyway: bool = False) -> None:
        """Hold a list for the reader, in the place of one that was not taken; the one it has is not sent again."""
        if self._closed or (sent.ident == self._seen and not anyway):
            return
        self._hub.stats.coalesced += self._pending is not None
        self._seen, self._pending = sent.ident, sent
        self._ready.set()

    def close(self) -> None:
        """End the stream when its reader comes back."""
        self._closed = True
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield bytes for the client until the stream is closed, has sent its lists, or its permission ends."""
        yield format_sse_event(retry=RETRY)
        while not self._closed and self._lists > 0 and (left := self._until - time.time()) > 0:
            try:
                async with asyncio.timeout(min(left, self._hub.keep_alive)):
                    await self._ready.wait()
            except TimeoutError:
                yield KEEPALIVE_COMMENT
                continue
            self._ready.clear()
            if self._pending is not None and not self._closed:
                sent, self._pending = self._pending, None
                self._lists -= 1
                yield sent.wire

    def leave(self) -> None:
        """Forget the stream; a channel without streams goes too."""
        self._hub.leave(self, self._channel)


class StreamResponse(EventSourceResponse):
    """Sends a stream to its client; however that ends, the stream is forgotten."""

    def __init__(self, stream: Stream) -> None:
        """Answer with a stream, which no cache and no proxy may hold back."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(aiter(stream), headers=headers)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Send until the client leaves or the stream ends."""
        try:
            await super().__call__(scope, receive, send)  # type: ignore[arg-type]
        finally:
            self._stream.leave()


class PushHub:
    """The open streams, and the lists that are made for them.

    ``changed``, ``withdrawn`` and ``renewed`` may be called in any thread and never wait; the rest belongs to the
    event loop. At most ``concurrency`` lists are made at once, so that a new model does not fill the engine's queue.
    """

    def __init__(
        self,
        source: ListSource,
        *,
        max_streams: int = 2000,
        max_per_user: int = 8,
        concurrency: int = 64,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        """Push the lists of a source."""
        self.keep_alive, self.stats = keep_alive, PushStats()
        self._source, self._max_streams, self._max_per_user = source, max_streams, max_per_user
        self._concurrency, self._running = concurrency, 0
        self._run = secrets.token_hex(2)  # views are counted from the start of the process
        self._channels: dict[tuple[str, str], dict[int, _Channel]] = {}
        self._queue: deque[_Channel] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open = 0
        self._closing = False
        self._lock = threading.Lock()
        self._marks: dict[tuple[str, str], _Mark] = {}
        self._withdrawn: dict[str, set[str] | None] = {}  # None: a new model, so every list
        self._woken = False

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._open

    def open(
        self,
        domain: str,
        user: str,
        n: int = 10,
        *,
        last_event_id: str | None = None,
        until: float = inf,
        lists: float = inf,
    ) -> Stream:
        """Open a stream, which begins with the present list unless the client has it.

        Args:
            domain: of the user.
            user: any id; one without history gets what is ranked for unknown users.
            n: length of the lists.
            last_event_id: id of the list that the client has.
            until: seconds since 1970 at which the stream ends.
            lists: number of lists after which it ends.

        Raises:
            BusyError: too many streams are open, in all or of this user, or the server stops.
        """
        self._loop = asyncio.get_running_loop()
        of_user = self._channels.get((domain, user), {})
        if self._closing or self._open >= self._max_streams:
            self.stats.refused += 1
            told = "the server stops" if self._closing else f"{self._open} streams are open, as many as there may be"
            raise BusyError(f"{told}; try again later, or ask for lists by POST recommend", retry_after=5.0)
        if sum(len(channel.streams) for channel in of_user.values()) >= self._max_per_user:
            self.stats.refused += 1
            told = f"this user has {self._max_per_user} open streams, as many as there may be"
            raise BusyError(f"{told}; close one, or share one among the pages", retry_after=5.0)
        channel = of_user.get(n) or _Channel(_Key(domain, user, n))
        stream = Stream(self, channel, last_event_id, until, lists)
        self._channels.setdefault((domain, user), {})[n] = channel  # before the version is asked for: none is missed
        channel.streams.add(stream)
        self._open += 1
        self.stats.opened += 1
        self._begin(stream, channel, last_event_id)
        return stream

    def _begin(self, stream: Stream, channel: _Channel, seen: str | None) -> None:
        try:
            ident = self._ident(self._source.version(channel.key.domain, channel.key.user))
        except GenreGenError:
            self.leave(stream, channel)
            raise
        if channel.last is not None and channel.last.ident == ident:
            stream.offer(channel.last)
        elif ident != seen:
            self._want(channel)

    def leave(self, stream: Stream, channel: _Channel) -> None:
        """Forget a stream; the second time does nothing."""
        if stream not in channel.streams:
            return
        channel.streams.remove(stream)
        self._open -= 1
        if not channel.streams:
            of_user = self._channels[channel.key[:2]]
            del of_user[channel.key.n]
            if not of_user:
                del self._channels[channel.key[:2]]

    def changed(
        self, domain: str, users: Iterable[str], because: Mapping[str, str] | None = None, *, anyway: bool = False
    ) -> None:
        """Push the lists of users whose histories changed.

        Args:
            domain: of the users.
            users: their ids; those without a stream are passed over.
            because: id of the last event of each.
            anyway: also if the last event is the same, as after two users became one.
        """
        now, because = time.monotonic(), because or {}
        heard = [(domain, user) for user in users if (domain, user) in self._channels]
        if not heard:
            return
        with self._lock:
            for key in heard:
                mark = self._marks.setdefault(key, _Mark(now))
                mark.because = because.get(key[1], mark.because)
                mark.anyway |= anyway
        self._wake()

    def withdrawn(self, domain: str, items: Collection[str]) -> None:
        """Push the lists of all users whose last list holds one of some items."""
        if not self._channels:
            return
        with self._lock:
            known = self._withdrawn.setdefault(domain, set())
            if known is not None:
                known.update(items)
        self._wake()

    def renewed(self, domain: str) -> None:
        """Push the lists of all users of a domain, which has a new model."""
        if not self._channels:
            return
        with self._lock:
            self._withdrawn[domain] = None
        self._wake()

    def _wake(self) -> None:
        """Have the event loop look at the changes, once for all that come until then."""
        with self._lock:
            if self._woken or self._loop is None:
                return
            self._woken = True
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._take_marks)

    def _take_marks(self) -> None:
        with self._lock:
            marks, self._marks = self._marks, {}
            withdrawn, self._withdrawn = self._withdrawn, {}
            self._woken = False
        for key, mark in marks.items():
            for channel in self._channels.get(key, {}).values():
                channel.anyway |= mark.anyway
                self._want(channel, mark.since, mark.because)
        if withdrawn:
            self._want_other_lists(withdrawn)

    def _want_other_lists(self, withdrawn: Mapping[str, set[str] | None]) -> None:
        now = time.monotonic()
        for channel in [channel for of_user in self._channels.values() for channel in of_user.values()]:
            if channel.key.domain not in withdrawn:
                continue
            items = withdrawn[channel.key.domain]
            # Without a last list the client has one of an earlier connection, of which the items are not known.
            if items is None or channel.busy or channel.last is None or not channel.last.items.isdisjoint(items):
                self._want(channel, now)

    def _want(self, channel: _Channel, since: float | None = None, because: str | None = None) -> None:
        channel.since = since if channel.since is None else channel.since
        channel.because = because or channel.because
        if channel.wanted:
            self.stats.coalesced += 1
            return
        channel.wanted = True
        if not channel.busy:
            self._queue.append(channel)
            self._start()

    def _start(self) -> None:
        """Make lists, as many at once as there may be."""
        while self._queue and self._running < self._concurrency and not self._closing:
            channel = self._queue.popleft()
            channel.wanted = False
            if channel.streams:
                channel.busy = True
                self._running += 1
                task = asyncio.get_running_loop().create_task(self._make(channel))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _make(self, channel: _Channel) -> None:
        since, because, anyway = channel.since, channel.because, channel.anyway
        channel.since = channel.because = None
        channel.anyway = False
        pause = None
        try:
            if anyway or not self._is_current(channel):
                made = await self._source.newest(*channel.key)
                self._deliver(channel, made, channel.because or because, anyway=anyway)
                if since is not None and self.stats.freshness is not None:
                    self.stats.freshness(time.monotonic() - since)
            channel.failures = 0
        except BusyError as problem:
            pause = max(problem.retry_after, 0.05)
        except Exception:
            log.exception("a list could not be pushed")
            self.stats.failed += 1
            channel.failures += 1
            pause = min(2.0**channel.failures, _LONGEST_PAUSE)
        finally:
            channel.busy = False
            self._running -= 1
            if pause is not None:
                channel.since = channel.since if since is None else since
                channel.because = channel.because or because
                channel.anyway |= anyway
                channel.wanted = True
                asyncio.get_running_loop().call_later(pause, self._requeue, channel)
            elif channel.wanted:
                self._queue.append(channel)
            self._start()

    def _requeue(self, channel: _Channel) -> None:
        self._queue.append(channel)
        self._start()

    def _is_current(self, channel: _Channel) -> bool:
        """Tell whether the last list has all changes already, since they came while it was waited for."""
        version = self._source.version(channel.key.domain, channel.key.user)
        return channel.last is not None and channel.last.ident == self._ident(version)

    def _deliver(self, channel: _Channel, made: NewList, because: str | None, *, anyway: bool) -> None:
        ident = self._ident(made.version)
        data = dict(made.data)
        if because is not None:
            data["because"] = {"event_id": because}
        text = json.dumps(data, separators=(",", ":"))
        wire = format_sse_event(data_str=text, event=EVENT, id=ident)
        channel.last = sent = _Sent(ident, wire, made.items)
        for stream in channel.streams:
            stream.offer(sent, anyway=anyway)
        self.stats.lists += 1

    def _ident(self, version: Version) -> str:
        return f"{version.generation}-{self._run}-{version.view}.{version.history_seq}"

    async def close(self) -> None:
        """End all streams and forget the lists that are being made; later streams are refused."""
        self._closing = True
        self._queue.clear()
        for of_user in self._channels.values():
            for channel in of_user.values():
                for stream in channel.streams:
                    stream.close()
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
