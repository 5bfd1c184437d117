"""An open-loop load generator: requests leave when they are due, whether or not earlier ones have been answered.

Latency is measured from the moment at which a request was *meant* to be sent, so that waiting for a slow server counts
(no coordinated omission). It runs in a process of its own, and is bounded in time and count. It sends to this machine
only. A request that fails, or that is not answered in time, has an infinite latency.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import multiprocessing
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httptools
import numpy as np
import psutil
from numpy.typing import NDArray

from eval.live.streams import Message, Stream, first_messages, open_streams
from genre_gen.errors import UsageError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MOST_CALLS = 2_000_000
MOST_SECONDS = 3600.0
OPENED = 200
_SWEEP = 0.05  # seconds between searches for requests that took too long
_SAMPLE = 0.5  # seconds between samples of the server's memory
_STALE = 3.0  # seconds after which an idle connection is not used again: servers close them after five
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True)
class Call:
    """A request and its moment.

    Attributes:
        at: seconds after the beginning at which it is meant to be sent.
        kind: what it is counted as.
        data: the whole request.
    """

    at: float
    kind: str
    data: bytes


@dataclass(frozen=True)
class Plan:
    """What to send.

    Attributes:
        port: of the server on this machine.
        calls: in order of their moments.
        timeout: seconds after a request's moment at which it counts as failed.
        connections: the most that are open at a time; further requests wait, which counts.
        keep: the kinds whose bodies are returned.
        streams: requests for streams that are open meanwhile.
        settle: seconds for which streams stay open after the last answer.
        server: process whose processor time and memory are measured; 0 for none.
    """

    port: int
    calls: Sequence[Call]
    timeout: float = 2.0
    connections: int = 512
    keep: frozenset[str] = frozenset()
    streams: Sequence[bytes] = ()
    settle: float = 0.0
    server: int = 0
    host: str = "127.0.0.1"

    def check(self) -> None:
        """Raise UsageError for a plan that is not bounded, not in order, or not for this machine."""
        if self.host not in LOOPBACK:
            raise UsageError(f"host {self.host}: load is sent to this machine only; give one of {', '.join(LOOPBACK)}")
        if len(self.calls) > MOST_CALLS:
            raise UsageError(f"{len(self.calls)} calls; give at most {MOST_CALLS}")
        moments = [call.at for call in self.calls]
        if moments and not 0 <= moments[0] <= moments[-1] <= MOST_SECONDS:
            raise UsageError(f"calls from {moments[0]} to {moments[-1]} s; give moments from 0 to {MOST_SECONDS:g}")
        if any(later < earlier for earlier, later in itertools.pairwise(moments)):
            raise UsageError("the calls are not in order of their moments; sort them")


@dataclass(frozen=True)
class Outcome:
    """What came of the calls of a plan, in their order.

    Attributes:
        kinds: of each call.
        intended: float64 ``[calls]`` seconds on the clock ``time.monotonic``.
        sent: likewise; NaN if it was never sent.
        done: likewise; infinite if it failed.
        status: int32 ``[calls]`` of HTTP; 0 for a broken connection, -1 after the time limit.
        bodies: answers of the kinds that are kept, by the call's number.
        generator: processor seconds of this process while sending.
        server: likewise of the server.
        memory: pairs of seconds since the beginning and bytes of the server's resident memory.
        streams: the messages of each stream; None for one that was refused.
        lost: streams that ended before the test did.
    """

    kinds: NDArray[np.str_]
    intended: NDArray[np.float64]
    sent: NDArray[np.float64]
    done: NDArray[np.float64]
    status: NDArray[np.int32]
    bodies: dict[int, bytes] = field(repr=False)
    generator: float
    server: float
    memory: list[tuple[float, int]] = field(repr=False)
    streams: list[list[Message] | None] = field(default_factory=list, repr=False)
    lost: int = 0

    @property
    def seconds(self) -> float:
        """Return the time from the first intended moment to the last one, or to the last answer if that is later."""
        if not len(self.intended):
            return 0.0
        last = max(self.intended.max(), self.done.max(initial=0.0, where=np.isfinite(self.done)))
        return float(last - self.intended.min())

    def of(self, kind: str) -> NDArray[np.bool_]:
        """Return which calls are of a kind."""
        return np.asarray(self.kinds == kind)

    def fulfilled(self) -> NDArray[np.bool_]:
        """Return which calls were answered with a status of success."""
        return (self.status >= 200) & (self.status < 300)  # noqa: PLR2004 the classes of HTTP

    def latencies(self, kind: str) -> NDArray[np.float64]:
        """Return seconds from the intended moment to the answer; infinite without success."""
        chosen = self.of(kind)
        return np.where(self.fulfilled(), self.done - self.intended, np.inf)[chosen]

    def summary(self, kind: str) -> dict[str, Any]:
        """Return counts, and quantiles of the latency in milliseconds."""
        chosen = self.of(kind)
        waits = (self.sent - self.intended)[chosen]
        waits = waits[np.isfinite(waits)]
        return {
            "calls": int(chosen.sum()),
            "fulfilled": int((chosen & self.fulfilled()).sum()),
            "statuses": {str(code): count for code, count in sorted(Counter(self.status[chosen].tolist()).items())},
            "ms": quantiles(1e3 * self.latencies(kind)),
            "sent_late_ms": quantiles(1e3 * waits),
        }


def quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the quantiles and the greatest value; infinite values count, and no values give infinity."""
    if not len(values):
        return dict.fromkeys([*_QUANTILES, "max"], float("inf"))
    levels = np.quantile(values, list(_QUANTILES.values()), method="inverted_cdf")
    return dict(zip([*_QUANTILES, "max"], [*map(float, levels), float(values.max())], strict=True))


def poisson(rng: np.random.Generator, rate: float, seconds: float) -> NDArray[np.float64]:
    """Return the moments of a Poisson process of ``rate`` a second, from 0 to ``seconds``."""
    count = rng.poisson(rate * seconds)
    return np.sort(rng.uniform(0, seconds, count))


def fire(plan: Plan) -> Outcome:
    """Send the calls of a plan from a process of its own; return what came of them.

    Raises:
        UsageError: the plan is not bounded, or not for this machine.
        TimeoutError: the process did not end.
    """
    plan.check()
    limit = (plan.calls[-1].at if plan.calls else 0.0) + plan.timeout + plan.settle + 60.0 + len(plan.streams) / 10
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(send, plan).result(limit)


def send(plan: Plan) -> Outcome:
    """Send the calls of a plan from this process."""
    gc.collect()
    gc.freeze()  # a collection would make requests late
    gc.disable()
    try:
        return _in_loop(_Sender(plan).run)
    finally:
        gc.enable()


def _in_loop(main: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main())
    return uvloop.run(main())


class _Connection(asyncio.Protocol):
    """A connection with at most one request at a time."""

    __slots__ = ("call", "closing", "parser", "parts", "sender", "since", "transport")

    def __init__(self, sender: _Sender) -> None:
        self.sender = sender
        self.transport: Any = None
        self.call = -1  # the request that it waits for
        self.parts: list[bytes] | None = None
        self.closing = False
        self.since = 0.0  # when it became idle
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        if self.parts is not None:
            self.parts.append(body)

    def on_message_complete(self) -> None:
        reusable = self.parser.should_keep_alive()
        status = self.parser.get_status_code()
        self.parser = httptools.HttpResponseParser(self)
        self.sender.answered(self, status)
        if reusable:
            self.sender.free(self)
        else:
            self.closing = True
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.closing = True
        self.sender.lost(self)


class _Sender:
    """Sends the calls of one plan."""

    def __init__(self, plan: Plan) -> None:
        count = len(plan.calls)
        self.plan = plan
        self.intended = np.array([call.at for call in plan.calls])
        self.sent, self.done = np.full(count, np.nan), np.full(count, np.inf)
        self.status = np.zeros(count, np.int32)
        self.bodies: dict[int, bytes] = {}
        self.memory: list[tuple[float, int]] = []
        self.idle: list[_Connection] = []
        self.waiting: deque[int] = deque()
        self.flying: dict[int, _Connection | None] = {}  # in order of sending
        self.open = 0
        self.remaining = count
        self.begin = 0.0
        self.process = psutil.Process(plan.server) if plan.server else None

    async def run(self) -> Outcome:
        """Send all, wait for the last."""
        self.loop = asyncio.get_running_loop()
        self.finished = asyncio.Event()
        streams = await open_streams(self.plan.host, self.plan.port, list(self.plan.streams))
        await first_messages(streams, self.plan.timeout + len(streams) / 50)
        before = self._processor()
        self.begin = self.loop.time() + _SWEEP
        self.intended += self.begin
        watch = [asyncio.create_task(self._sweep()), asyncio.create_task(self._sample())]
        for index, due in enumerate(self.intended.tolist()):
            if (wait := due - self.loop.time()) > 0:
                await asyncio.sleep(wait)
            elif index % 16 == 0:
                await asyncio.sleep(0)  # answers are read meanwhile
            self._start(index)
        if self.remaining:
            await self.finished.wait()
        generator, server = (after - earlier for after, earlier in zip(self._processor(), before, strict=True))
        await asyncio.sleep(self.plan.settle)
        lost = sum(stream.lost for stream in streams)
        for task in watch:
            task.cancel()
        for transport in [each.transport for each in self.idle] + [each.transport for each in streams]:
            transport.abort()
        return self._outcome(generator, server, streams, lost)

    def _outcome(self, generator: float, server: float, streams: Sequence[Stream], lost: int) -> Outcome:
        return Outcome(
            np.array([call.kind for call in self.plan.calls], dtype=str),
            self.intended,
            self.sent,
            self.done,
            self.status,
            self.bodies,
            generator,
            server,
            self.memory,
            [stream.found if stream.status == OPENED else None for stream in streams],
            lost,
        )

    def _processor(self) -> tuple[float, float]:
        times = self.process.cpu_times() if self.process and self.process.is_running() else None
        return time.process_time(), times.user + times.system if times else 0.0

    async def _sample(self) -> None:
        while self.process and self.process.is_running():
            self.memory.append((self.loop.time() - self.begin, self.process.memory_info().rss))
            await asyncio.sleep(_SAMPLE)

    async def _sweep(self) -> None:
        while True:
            limit = self.loop.time() - self.plan.timeout
            while self.flying and self.intended[first := next(iter(self.flying))] < limit:
                connection = self.flying[first]
                self._end(first, -1)
                if connection is not None:
                    connection.call, connection.closing = -1, True
                    connection.transport.abort()
            while self.waiting and self.intended[self.waiting[0]] < limit:
                self._end(self.waiting.popleft(), -1)
            await asyncio.sleep(_SWEEP)

    def _start(self, index: int) -> None:
        while self.idle:
            connection = self.idle.pop()
            if not connection.closing and self.loop.time() - connection.since < _STALE:
                self._write(connection, index)
                return
            connection.closing = True
            connection.transport.close()
        if self.open < self.plan.connections:
            self.open += 1
            self.flying[index] = None
            self.loop.create_task(self._connect(index))
        else:
            self.waiting.append(index)

    async def _connect(self, index: int) -> None:
        try:
            _, connection = await self.loop.create_connection(lambda: _Connection(self), self.plan.host, self.plan.port)
        except OSError:
            self.open -= 1
            self._end(index, 0)
            return
        if index in self.flying:
            self._write(connection, index)
        else:  # too late
            self.free(connection)

    def _write(self, connection: _Connection, index: int) -> None:
        call = self.plan.calls[index]
        connection.call = index
        connection.parts = [] if call.kind in self.plan.keep else None
        self.flying[index] = connection
        self.sent[index] = self.loop.time()
        connection.transport.write(call.data)

    def answered(self, connection: _Connection, status: int) -> None:
        """Note the answer of the request that a connection waits for."""
        if (index := connection.call) < 0:
            return
        connection.call = -1
        self.done[index] = self.loop.time()
        if connection.parts is not None:
            self.bodies[index] = b"".join(connection.parts)
        self._end(index, status)

    def free(self, connection: _Connection) -> None:
        """Use a connection for the next request that waits."""
        if self.waiting and not connection.closing:
            self._write(connection, self.waiting.popleft())
        else:
            connection.since = self.loop.time()
            self.idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        """Note a connection that ended."""
        self.open -= 1
        if connection.call >= 0:
            index, connection.call = connection.call, -1
            self._end(index, 0)
        if self.waiting and self.open < self.plan.connections:
            self._start(self.waiting.popleft())

    def _end(self, index: int, status: int) -> None:
        self.flying.pop(index, None)
        self.status[index] = status
        if status <= 0:
            self.done[index] = np.inf
        self.remaining -= 1
        if not self.remaining:
            self.finished.set()
