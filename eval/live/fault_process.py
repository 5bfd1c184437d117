"""Faults of the process: it is killed, stopped and restarted, and its clock is not that of the clients."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from eval.bench.script import say
from eval.live.api import Api, Event, event, listed
from eval.live.audience import BATCH, Audience, event_calls, list_calls, strangers
from eval.live.client import Outcome, Plan, fire
from eval.live.library import Comparison, Library
from eval.live.replay import as_of, by_user, logged_rows, queried
from eval.live.server import Server, fresh_folder
from eval.live.trial import Row, Trial
from genre_gen.errors import GenreGenError

LAST = 27
EVENT_RATE = 1000.0
ROUND = 1.5  # seconds of events in which the server is killed
STOPS_WITHIN = 5.0
DAY = 86_400.0


def kills(trial: Trial, rounds: int | None = None) -> Row:
    """Kill the server under events; count acknowledged events that are lost or doubled, and lists that are wrong."""
    rounds, rng = rounds or trial.size(50, 2), np.random.default_rng(trial.seed)
    acknowledged: list[str] = []
    starts, found = [], Comparison()
    with fresh_folder() as folder:
        audience = strangers(trial.library, LAST, trial.size(500, 20))
        with trial.server(folder=Path(folder)) as server:
            audience.store(server.api)
            for number in range(rounds):
                acknowledged += _killed(trial, server, audience, rng, number)
                starts.append(server.start())
                _compare_lists(trial.library, server, audience, found, rng)
            ids = event_ids(server.store)
    lost, doubled = len(set(acknowledged) - ids.keys()), sum(count > 1 for count in ids.values())
    return {
        "tried": rounds,
        "broken": lost + doubled + found.different,
        "acknowledged": len(acknowledged),
        "lost": lost,
        "doubled": doubled,
        "lists": found.lists,
        "different_lists": found.different,
        "examples": found.examples,
        "start_seconds_greatest": max(starts),
    }


def _killed(trial: Trial, server: Server, audience: Audience, rng: np.random.Generator, number: int) -> list[str]:
    """Send events, kill the server meanwhile; return the ids of acknowledged events."""
    rate = trial.size(int(EVENT_RATE), 50)
    calls = event_calls(server.api, audience, rate, ROUND, seed=trial.seed + 1000 * (number + 1))
    plan = Plan(server.port, calls, timeout=1.0)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(fire, plan)
        _wait_for_first_event(server, calls[0].data)
        time.sleep(float(rng.uniform(0.1, ROUND - 0.2)))
        server.kill()
        outcome: Outcome = sending.result()
    say(f"  kill {number + 1}: {int(outcome.fulfilled().sum())} of {len(calls)} events were acknowledged")
    return [sent_id(calls[place].data) for place in np.flatnonzero(outcome.fulfilled()).tolist()]


def _wait_for_first_event(server: Server, request: bytes, within: float = 30.0) -> None:
    """Wait until an event of the generator is in the store, since its process takes a while to start."""
    wanted, limit = sent_id(request), time.monotonic() + within
    while time.monotonic() < limit:
        with suppress(Exception):
            if wanted in event_ids(server.store):
                return
        time.sleep(0.05)


def sent_id(request: bytes) -> str:
    """Return the id of the event in a request."""
    return str(json.loads(request.partition(b"\r\n\r\n")[2])["events"][0]["event_id"])


def event_ids(store: Path) -> Counter[str]:
    """Return how often each event id is in a store."""
    return Counter(row[0] for row in queried(store, "SELECT event_id FROM event"))


def _compare_lists(
    library: Library, server: Server, audience: Audience, found: Comparison, rng: np.random.Generator, lists: int = 5
) -> None:
    """Compare some lists with the library's for the log of the store."""
    users = [str(user) for user in rng.choice(audience.users, lists)]
    served = served_lists(server.api, users)
    log = by_user(library, list(logged_rows(server.store)))
    for user, (items, scores, seq) in served.items():
        more = library.compared([(user, as_of(library, log, user, seq), items, scores)])
        found.lists, found.same, found.tied = found.lists + 1, found.same + more.same, found.tied + more.tied
        found.different += more.different
        found.examples = [*(found.examples or []), *(more.examples or [])][:5]


def served_lists(api: Api, users: Iterable[str]) -> dict[str, tuple[list[str], list[float], int]]:
    """Return items, scores and ``history_seq`` of a list for each user."""
    served = {}
    with api.caller() as caller:
        for user in users:
            reply = caller.recommend(user)
            if not reply.ok:
                raise GenreGenError(f"no list for {user}: {reply.status} {reply.body[:300]!r}")
            served[user] = (*listed(reply.body), int(reply.json["history_seq"]))
    return served


def stops(trial: Trial) -> Row:
    """Stop the server with SIGTERM while streams are open and requests arrive."""
    rounds, streams = trial.size(5, 1), trial.size(200, 10)
    late = lost = unanswered = 0
    seconds = []
    for number in range(rounds):
        with fresh_folder() as folder, trial.server(folder=Path(folder)) as server:
            audience = strangers(trial.library, LAST, max(streams, 20))
            audience.store(server.api)
            calls, _ = list_calls(server.api, audience, trial.size(100, 20), 3.0, seed=trial.seed + number)
            requests = [server.api.stream(user) for user in audience.users[:streams]]
            plan = Plan(server.port, calls, timeout=3.0, streams=requests, settle=1.0)
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(fire, plan)
                _wait_for_first_event(server, next(call.data for call in calls if call.kind == "event"))
                time.sleep(0.5)
                taken = server.stop(within=3 * STOPS_WITHIN)
                outcome: Outcome = sending.result()
            seconds.append(taken)
            late += taken > STOPS_WITHIN
            events = outcome.of("event") & outcome.fulfilled()
            acknowledged = {sent_id(calls[place].data) for place in np.flatnonzero(events).tolist()}
            lost += len(acknowledged - event_ids(server.store).keys())
            unanswered += int((outcome.status == -1).sum())
            lost += sum(found is not None for found in outcome.streams) - outcome.lost
    return {
        "tried": rounds,
        "broken": late + lost,
        "streams": streams,
        "requests_without_answer_or_end": unanswered,
        "seconds_greatest": max(seconds),
    }


def clock(trial: Trial) -> Row:
    """Send events out of order, from the past and from the future; compare lists, and count what was accepted."""
    library, now = trial.library, time.time()
    users = [f"clock-{number}" for number in range(trial.size(200, 5))]
    rng = np.random.default_rng(trial.seed)
    refused = 0
    with trial.server() as server:
        with server.api.caller() as caller:
            for user in users:
                rows = rng.permutation(len(library.ids))[:6].tolist()
                moments = [now - 5 * DAY, now - 3600, now - 7200, now - 3600, now + 3600, now - 30 * 365 * DAY]
                made = [
                    event(f"{user}-{place}", user, library.ids[row], rating=4.0, at=moment)
                    for place, (row, moment) in enumerate(zip(rows, moments, strict=True))
                ]
                for one in made:  # one request each, so that the log has this order
                    caller.events([one])
                future = event(f"{user}-far", user, library.ids[int(rng.integers(len(library.ids)))], at=now + 3 * DAY)
                reply = caller.events([future])
                refused += not reply.ok or len(reply.json["rejected"]) == 1
        served = served_lists(server.api, users)
        log = by_user(library, list(logged_rows(server.store)))
        found = library.compared(
            (user, as_of(library, log, user, seq), items, scores) for user, (items, scores, seq) in served.items()
        )
    return {
        "tried": len(users),
        "broken": found.different + len(users) - refused,
        "different_lists": found.different,
        "examples": found.examples,
        "refused_of_the_future": refused,
    }


def restart(trial: Trial) -> Row:
    """Fill a store, restart, and compare lists."""
    events, of_user = trial.size(1_000_000, 2_000), 50
    rng = np.random.default_rng(trial.seed)
    users = [f"u{number}" for number in range(events // of_user)]
    some = [str(user) for user in rng.choice(users, trial.size(100, 5))]
    with fresh_folder() as folder, trial.server(folder=Path(folder)) as server:
        begin = time.monotonic()
        accepted = fill(server.api, trial.library, users, of_user, rng)
        filled = time.monotonic() - begin
        before = served_lists(server.api, some)
        memory_before = server.memory()
        server.stop()
        starts, memories = [], []
        for _ in range(trial.size(3, 1)):
            starts.append(server.start())
            memories.append(server.memory())
            after = served_lists(server.api, some)
            memories.append(server.memory())
            server.stop()
        size = server.store.stat().st_size
    different = sum(before[user] != after[user] for user in some)
    return {
        "tried": len(some),
        "broken": different + events - accepted,
        "events": accepted,
        "events_a_second": accepted / filled,
        "different_lists": different,
        "start_seconds": float(np.median(starts)),
        "start_seconds_greatest": max(starts),
        "memory_mb_while_filling": memory_before / 1e6,
        "memory_mb": max(memories) / 1e6,
        "store_mb": size / 1e6,
    }


def fill(
    api: Api, library: Library, users: Sequence[str], of_user: int, rng: np.random.Generator, connections: int = 4
) -> int:
    """Store events of many users in batches, over some connections; return how many were accepted."""
    count = min(of_user, len(library.ids) // 2)
    accepted, lock, start = [0], threading.Lock(), time.time() - 10 * DAY
    seeds = rng.integers(2**31, size=connections).tolist()

    def some(part: Sequence[str], seed: int) -> None:
        own, batch = np.random.default_rng(seed), list[Event]()
        with api.caller(60) as caller:
            for user in part:
                rows = own.integers(len(library.ids), size=4 * count)
                rows = rows[np.sort(np.unique(rows, return_index=True)[1])][:count].tolist()
                for place, row in enumerate(rows):
                    batch.append(event(f"{user}-{place}", user, library.ids[row], rating=4.0, at=start + place))
                while len(batch) >= BATCH:
                    _send(caller, batch[:BATCH], accepted, lock)
                    batch = batch[BATCH:]
            if batch:
                _send(caller, batch, accepted, lock)

    with ThreadPoolExecutor(connections) as pool:
        jobs = [pool.submit(some, users[place::connections], seed) for place, seed in enumerate(seeds)]
        for job in jobs:
            job.result()
    return accepted[0]


def _send(caller: object, batch: list[Event], accepted: list[int], lock: threading.Lock) -> None:
    reply = caller.events(batch)  # type: ignore[attr-defined]
    if not reply.ok:
        raise GenreGenError(f"events were refused: {reply.status} {reply.body[:300]!r}")
    with lock:
        accepted[0] += reply.json["accepted"]
