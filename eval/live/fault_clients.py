"""Faults of clients: they send again, read slowly or not at all, and leave in the middle."""

from __future__ import annotations

import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from eval.live.api import Api
from eval.live.audience import BATCH, strangers
from eval.live.client import Call, Plan, fire, poisson, quantiles
from eval.live.fault_process import event_ids, served_lists
from eval.live.freshness import SETTLE, push_delays
from eval.live.replay import as_of, by_user, logged_rows
from eval.live.server import Server
from eval.live.trial import Row, Trial

LAST, CLIENTS = 27, 8
ON_TIME = 0.5  # seconds in which a list must be pushed while other readers are slow
GROWTH = 50e6  # bytes of memory that count as flat
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection


def retries(trial: Trial) -> Row:
    """Send the same events from eight clients, in orders and batches of their own."""
    count, rounds = trial.size(2_000, 60), trial.size(5, 2)
    accepted = 0
    with trial.server() as server:
        audience = strangers(trial.library, LAST, trial.size(200, 20))
        before = audience.store(server.api)
        rng = np.random.default_rng(trial.seed)
        events = [
            audience.new_event(rng, audience.users[place % len(audience.users)], f"r-{place}") | {"at": time.time()}
            for place in range(count)
        ]

        def send(seed: int) -> int:
            own, stored = np.random.default_rng(seed), 0
            with server.api.caller(60) as caller:
                for _ in range(rounds):
                    order = own.permutation(count).tolist()
                    while order:
                        size = int(own.integers(1, BATCH + 1))
                        reply = caller.events([events[place] for place in order[:size]])
                        if reply.ok:  # those of a busy server are sent again, as a client would
                            stored += reply.json["accepted"]
                            order = order[size:]
            return stored

        with ThreadPoolExecutor(CLIENTS) as pool:
            accepted = sum(pool.map(send, range(CLIENTS)))
        ids = event_ids(server.store)
        served = served_lists(server.api, audience.users[:50])
        log = by_user(trial.library, list(logged_rows(server.store)))
        found = trial.library.compared(
            (user, as_of(trial.library, log, user, seq), items, scores) for user, (items, scores, seq) in served.items()
        )
    doubled = sum(times > 1 for times in ids.values())
    return {
        "tried": CLIENTS * rounds * count,
        "broken": abs(accepted - count) + doubled + abs(len(ids) - count - before) + found.different,
        "events": count,
        "accepted": accepted,
        "doubled": doubled,
        "different_lists": found.different,
        "examples": found.examples,
    }


def slow_readers(trial: Trial) -> Row:
    """Hold streams open that are never read, and measure the others."""
    readers, deaf, rate = trial.size(900, 20), trial.size(100, 5), trial.size(100, 10)
    seconds = trial.size(60, 3)
    with trial.server() as server:
        audience = strangers(trial.library, LAST, readers + deaf)
        audience.store(server.api)
        heard, unheard = audience.users[:readers], audience.users[readers:]
        rng = np.random.default_rng(trial.seed)
        moments = poisson(rng, 2 * rate, seconds).tolist()
        users = [str(rng.choice(heard if place % 2 else unheard)) for place in range(len(moments))]
        calls = [
            Call(moment, "event", server.api.events([audience.new_event(rng, user, f"d-{place}")]))
            for place, (user, moment) in enumerate(zip(users, moments, strict=True))
        ]
        sockets = [deaf_stream(server.api, user) for user in unheard]
        streams = [server.api.stream(user) for user in heard]
        plan = Plan(server.port, calls, keep=frozenset({"event"}), streams=streams, settle=SETTLE, server=server.pid)
        outcome = fire(plan)
        delays = push_delays(outcome, users, heard)[1::2]
        sizes = [size for _, size in outcome.memory]
        growth = sizes[-1] - sizes[len(sizes) // 4]
        for each in sockets:
            each.close()
    late = int((delays > ON_TIME).sum())
    return {
        "tried": readers + deaf,
        "broken": int(late > 0.01 * len(delays)) + int(growth > GROWTH) + outcome.lost,
        "late": late,
        "lists": len(delays),
        "p99_ms": quantiles(1e3 * delays)["p99"],
        "memory_growth_mb": growth / 1e6,
        "events_refused": int((~outcome.fulfilled()).sum()),
    }


def deaf_stream(api: Api, user: str) -> socket.socket:
    """Return a connection that asks for a stream of long lists and is never read, with a small buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    connection.connect((api.host, api.port))
    connection.sendall(api.raw("GET", f"{api.path('stream')}?user={user}&n=100"))
    return connection


def vanished(trial: Trial) -> Row:
    """Let clients leave in the middle; count what remains of them."""
    count = trial.size(10_000, 100)
    with trial.server() as server:
        audience = strangers(trial.library, LAST, trial.size(200, 20))
        audience.store(server.api)
        _vanish(server.api, audience.users, CLIENTS * 4, trial.seed)  # what the first clients need stays
        time.sleep(1.0)
        before = _left(server)
        _vanish(server.api, audience.users, count, trial.seed + 1)
        after = _settled(server, before)
        served = len(served_lists(server.api, audience.users[:20]))
    return {
        "tried": count,
        "broken": max(after["files"] - before["files"], 0) + int(after["streams"]) + 20 - served,
        **{f"{name}_before": value for name, value in before.items()},
        **{f"{name}_after": value for name, value in after.items()},
    }


def _vanish(api: Api, users: list[str], count: int, seed: int) -> None:
    def some(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(count // CLIENTS):
            user = users[int(rng.integers(len(users)))]
            request = api.stream(user) if rng.random() < 0.5 else api.recommend(user)  # noqa: PLR2004 half of them
            leave(api, request, rng)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(some, range(seed * CLIENTS, (seed + 1) * CLIENTS)))


def leave(api: Api, request: bytes, rng: np.random.Generator) -> None:
    """Send a request, or a part of it, and leave: at once or after some milliseconds, politely or not."""
    with socket.create_connection((api.host, api.port), 5) as connection:
        if rng.random() < 0.5:  # noqa: PLR2004 half of them
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        whole = rng.random() < 0.8  # noqa: PLR2004 most of them
        connection.sendall(request if whole else request[: int(rng.integers(1, len(request)))])
        time.sleep(float(rng.choice([0.0, 0.0, 0.005, 0.02])))


def _left(server: Server) -> dict[str, float]:
    found = server.metrics()
    streams = found["genre_streams"]
    return {
        "files": server.files(),
        "threads": server.threads(),
        "memory_mb": server.memory() / 1e6,
        "streams": streams,
    }


def _settled(server: Server, before: dict[str, float], within: float = 30.0) -> dict[str, float]:
    """Return what remains as soon as it is no more than before, or after some time."""
    limit = time.monotonic() + within
    while (after := _left(server))["files"] > before["files"] or after["streams"]:
        if time.monotonic() > limit:
            break
        time.sleep(0.5)
    return after
