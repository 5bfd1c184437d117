"""Does the catalog change while it serves? Items that are added and withdrawn, and whole models that are swapped.

    python -m eval.live.changes [runs/movies] [--quick]

* *added*: seconds from sending a new item until a list holds it, with 50 requests a second next to it.
* *withdrawn*: milliseconds from sending the change to its acknowledgement, with the same load; no list that is asked
  for afterwards may hold the item.
* *race*: eight connections ask without pause, while items of their lists are withdrawn and brought back; lists that
  began after an acknowledgement and hold the item are counted.
* *swap*: the whole model is exchanged many times under load; requests that fail, lists of two models, and latencies
  in the two seconds after an exchange.

Exit code 1 if a withdrawn item was in a list, or a request failed because of a swap.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.bench.results import table
from eval.bench.script import script
from eval.live.api import Api, listed
from eval.live.audience import Audience, list_calls, strangers
from eval.live.client import Outcome, Plan, fire, quantiles
from eval.live.library import Library
from eval.live.replay import as_of, by_user, logged_rows
from eval.live.server import STORE, Server
from eval.live.trial import Row, Trial, measure, new_trial, new_trial_parser, number
from genre_gen.data.history import History
from genre_gen.errors import GenreGenError

LAST, RATE, CONNECTIONS = 27, 50.0, 8
BACK = 0.3  # seconds for which an item is withdrawn in the race
TIMES = {
    "swap": "swaps",
    "load": "loading the next model",
    "near": "lists in the two seconds after a swap",
    "loading": "lists while the next model is loaded",
    "other": "lists at other times",
}
WINDOW = 2.0  # seconds after a swap in which latencies may be twice as high


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write; exit code 1 if a promise was broken."""
    parts: dict[str, Callable[[Trial], Row]] = {
        "added": added,
        "withdrawn": withdrawn,
        "race": lambda trial: race(trial, lists),
        "swap": lambda trial: swaps(trial, count),
    }
    parser = new_trial_parser(__doc__, list(parts))
    parser.add_argument("--lists", type=int, help="that are asked for in the race [100,000]")
    parser.add_argument("--swaps", type=int, help="[100]")
    with script(parser, arguments) as options:
        trial = new_trial(options)
        lists, count = options.lists or trial.size(100_000, 200), options.swaps or trial.size(100, 2)
        figures = measure("live_changes", options, trial, parts, markdown)
        print(markdown(figures))
        raise SystemExit(int(any(_broken(figures[name]) for name in options.parts)))


def _broken(row: Row) -> int:
    return int(row.get("broken", 0)) + int(row.get("different", 0))


@contextmanager
def under_load(
    trial: Trial, server: Server, audience: Audience, seconds: float, rate: float = RATE
) -> Iterator[Future[Outcome]]:
    """Send requests for lists meanwhile; the future has what came of them when the time is over."""
    calls, _ = list_calls(server.api, audience, rate, seconds, seed=trial.seed + 99)
    plan = Plan(server.port, calls, keep=frozenset({"list"}), server=server.pid)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(fire, plan)


def added(trial: Trial) -> Row:
    """Measure the time until new items are recommended."""
    count = trial.size(50, 3)
    waits, acks = [], []
    with trial.server() as server:
        audience = _audience(trial, server)
        with (
            under_load(trial, server, audience, count * 0.6, trial.size(int(RATE), 5)) as load,
            server.api.caller() as caller,
        ):
            for place in range(count):
                item = f"new-{trial.seed}-{place}"
                body = _description(trial, place)
                begin = time.perf_counter()
                reply = caller.call("PUT", server.api.path("items", item), body)
                if not reply.ok:
                    raise GenreGenError(f"an item was refused: {reply.status} {reply.body[:300]!r}")
                acks.append(1e3 * (time.perf_counter() - begin))
                user = audience.users[place % len(audience.users)]
                while item not in caller.items(user, 1, include=[item]):
                    if time.perf_counter() - begin > 10:  # noqa: PLR2004 it is not coming
                        raise GenreGenError(f"item {item} was not recommended in 10 s")
                waits.append(1e3 * (time.perf_counter() - begin))
            outcome = load.result()
    return {"items": count, "ack_ms": quantiles(np.array(acks)), "ms": quantiles(np.array(waits)), **_load(outcome)}


def _description(trial: Trial, place: int) -> dict[str, Any]:
    """Return the body of a new item: the fields of an item of the catalog, and a title of its own."""
    catalog = trial.library.state.catalog
    like = catalog[place % len(catalog)]
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in like.attributes.items()}
    return {"title": f"New film {place} (1999)", "fields": fields}


def withdrawn(trial: Trial) -> Row:
    """Measure the time until an item is withdrawn, and look for it afterwards."""
    count = trial.size(50, 3)
    acks, broken, asked = [], 0, 0
    with trial.server() as server:
        audience = _audience(trial, server)
        with (
            under_load(trial, server, audience, count * 0.6, trial.size(int(RATE), 5)) as load,
            server.api.caller() as caller,
        ):
            for place in range(count):
                user = audience.users[place % len(audience.users)]
                item = caller.items(user)[0]
                begin = time.perf_counter()
                _set_available(server.api, caller, item, False)
                acks.append(1e3 * (time.perf_counter() - begin))
                for other in (user, *audience.users[:3]):
                    broken += item in caller.items(other)
                    asked += 1
                _set_available(server.api, caller, item, True)
            outcome = load.result()
    return {"items": count, "lists": asked, "broken": broken, "ms": quantiles(np.array(acks)), **_load(outcome)}


def _set_available(api: Api, caller: Any, item: str, available: bool) -> None:
    reply = caller.call("PATCH", api.path("items", item), {"available": available})
    if not reply.ok:
        raise GenreGenError(f"a change of an item was refused: {reply.status} {reply.body[:300]!r}")


@dataclass
class Race:
    """What the threads of the race write down."""

    lists: list[tuple[float, float, list[str]]] = field(default_factory=list)
    gone: list[tuple[str, float, float]] = field(default_factory=list)
    failed: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def broken(self) -> tuple[int, int]:
        """Return the lists that were asked for while an item was withdrawn, and those of them that held it."""
        intervals: dict[str, list[tuple[float, float]]] = {}
        for item, acknowledged, restored in self.gone:
            intervals.setdefault(item, []).append((acknowledged, restored))
        begins = np.array([begin for begin, _, _ in self.lists])
        ends = np.array([end for _, end, _ in self.lists])
        meanwhile = np.zeros(len(begins), bool)
        for _, acknowledged, restored in self.gone:
            meanwhile |= (begins >= acknowledged) & (ends <= restored)
        holding = sum(
            any(begin >= since and end <= until for item in items for since, until in intervals.get(item, ()))
            for begin, end, items in self.lists
        )
        return int(meanwhile.sum()), holding

    def others(self) -> int:
        """Return how many lists held an item that was withdrawn at another time: so the race can be lost."""
        names = {item for item, _, _ in self.gone}
        return sum(bool(names.intersection(items)) for _, _, items in self.lists)


def race(trial: Trial, lists: int) -> Row:
    """Withdraw items while eight connections ask."""
    found = Race()
    with trial.server() as server:
        audience = _audience(trial, server)
        with ThreadPoolExecutor(CONNECTIONS + 1) as pool:
            withdrawing = pool.submit(_withdraw, server.api, found)
            asking = [
                pool.submit(_ask, server.api, audience, found, lists // CONNECTIONS, trial.seed + thread)
                for thread in range(CONNECTIONS)
            ]
            try:
                for job in asking:
                    job.result()
            finally:
                found.over.set()
            withdrawing.result()
    meanwhile, broken = found.broken()
    return {
        "lists": len(found.lists),
        "failed": found.failed,
        "withdrawals": len(found.gone),
        "lists_meanwhile": meanwhile,
        "lists_with_such_items_at_other_times": found.others(),
        "broken": broken,
    }


def _ask(api: Api, audience: Audience, found: Race, lists: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with api.caller() as caller:
        for _ in range(lists):
            begin = time.monotonic()
            reply = caller.recommend(audience.users[int(rng.integers(len(audience.users)))])
            if reply.ok:
                found.lists.append((begin, time.monotonic(), listed(reply.body)[0]))
            else:
                found.failed += 1


def _withdraw(api: Api, found: Race) -> None:
    with api.caller() as caller:
        while not found.over.is_set():
            recent = Counter(item for _, _, items in found.lists[-200:] for item in items).most_common(5)
            if not recent:
                time.sleep(0.01)
                continue
            item = recent[len(found.gone) % len(recent)][0]
            _set_available(api, caller, item, False)
            acknowledged = time.monotonic()
            found.over.wait(BACK)
            found.gone.append((item, acknowledged, time.monotonic()))
            _set_available(api, caller, item, True)


def swaps(trial: Trial, count: int) -> Row:
    """Exchange the model under load, once in three seconds."""
    pause = 0.5 if trial.quick else 3.0
    command = [sys.executable, "-m", "eval.live.swapping", "--run", str(trial.run), "--domain", trial.domain]
    told: list[tuple[float, Row]] = []
    with trial.server(command=[*command, "--store", STORE]) as server:
        audience = _audience(trial, server)
        calls, users = list_calls(
            server.api, audience, trial.size(100, 10), (count + 2) * pause + 2, seed=trial.seed + 99
        )
        plan = Plan(server.port, calls, keep=frozenset({"list"}), server=server.pid)
        with ThreadPoolExecutor(1) as pool, server.api.caller(60) as caller:
            sending = pool.submit(fire, plan)
            while len(told) < count and not sending.done():
                time.sleep(pause)
                begin = time.monotonic()
                reply = caller.call("POST", "/swap")
                if not reply.ok:
                    raise GenreGenError(f"the swap was refused: {reply.status} {reply.body[:300]!r}")
                told.append((begin + reply.json["load_seconds"], reply.json))
            outcome = sending.result()
        log = list(logged_rows(server.store))
    return {"swaps": len(told), **_after_swaps(outcome, told), **_generations(trial, outcome, users, log)}


def _after_swaps(outcome: Outcome, told: Sequence[tuple[float, Row]]) -> Row:
    """Return failures, and latencies near the exchanges, while models were loaded, and at other times."""
    lists = outcome.of("list")
    taken = 1e3 * np.where(outcome.fulfilled(), outcome.done - outcome.intended, np.inf)
    near, loading = np.zeros(len(lists), bool), np.zeros(len(lists), bool)
    for moment, row in told:
        near |= (outcome.intended >= moment - 0.1) & (outcome.intended < moment + WINDOW)
        loading |= (outcome.intended >= moment - row["load_seconds"]) & (outcome.intended < moment)
    failed = int((lists & ~outcome.fulfilled()).sum())
    return {
        "lists": int(lists.sum()),
        "failed": failed,
        "broken": failed,
        "swap_ms": quantiles(1e3 * np.array([row["seconds"] for _, row in told])),
        "load_ms": quantiles(1e3 * np.array([row["load_seconds"] for _, row in told])),
        "near_ms": quantiles(taken[lists & near]),
        "loading_ms": quantiles(taken[lists & loading & ~near]),
        "other_ms": quantiles(taken[lists & ~near & ~loading]),
    }


def _generations(trial: Trial, outcome: Outcome, users: Sequence[str], log: list[Any], most: int = 1000) -> Row:
    """Compare lists with those of the model that they name."""
    from eval.live.swapping import models

    libraries = {f"g-{each.state.fingerprint()[:8]}": Library(each) for each in models(trial.run)}
    places = np.flatnonzero(outcome.of("list") & outcome.fulfilled())
    chosen = places[np.linspace(0, len(places) - 1, min(most, len(places))).astype(int)].tolist()
    named: Counter[str] = Counter()
    different, unknown, examples = 0, 0, list[str]()
    by_generation: dict[str, list[tuple[str, History, list[str], list[float]]]] = {name: [] for name in libraries}
    logs = by_user(trial.library, log)
    for place in chosen:
        answer = json.loads(outcome.bodies[place])
        named[answer["generation"]] += 1
        if answer["generation"] not in libraries:
            unknown += 1
            continue
        history = as_of(trial.library, logs, users[place], answer["history_seq"])
        by_generation[answer["generation"]].append((users[place], history, *listed(outcome.bodies[place])))
    for name, lists in by_generation.items():
        found = libraries[name].compared_in_batches(lists)
        different, examples = different + found.different, [*examples, *(found.examples or [])][:5]
    return {
        "generations": dict(named),
        "compared": len(chosen),
        "different": different,
        "unknown_generation": unknown,
        "examples": examples,
    }


def _audience(trial: Trial, server: Server) -> Audience:
    audience = strangers(trial.library, LAST, trial.size(500, 20))
    audience.store(server.api)
    return audience


def _load(outcome: Outcome) -> Row:
    return {"lists_meanwhile": outcome.summary("list")}


def markdown(figures: Mapping[str, Row]) -> str:
    """Return the table."""
    rows = []
    for name in ("added", "withdrawn"):
        if row := figures.get(name):
            ms = [number(row["ms"][level]) for level in ("p50", "p99", "max")]
            rows.append([f"items {name}", row["items"], row.get("broken", 0), *ms])
    if row := figures.get("race"):
        rows.append(["lists of the race", row["lists"], row["broken"], "", "", ""])
    if row := figures.get("swap"):
        for name, words in TIMES.items():
            ms = [number(row[f"{name}_ms"][level]) for level in ("p50", "p99", "max")]
            rows.append([words, row["lists"] if "lists" in words else row["swaps"], row["broken"], *ms])
    return table(("what", "count", "broken promises", "p50 ms", "p99 ms", "greatest ms"), rows)


if __name__ == "__main__":
    main()
