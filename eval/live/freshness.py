"""Does an event count at once? Lists right after an event, and lists pushed on other connections.

    python -m eval.live.freshness [runs/movies] [--tries 10000] [--quick]

* *lists*: eight threads report an event and then ask for the user's list, over connections of their own. Users have no
  event in common, so the right history is known without the server. A list is *stale* if it holds the item of the
  event, or if it is not the library's list for the history with the event (items whose scores differ by at most 1e-4
  may change places).
* *push*: 1,000 users listen on streams; 100 events a second arrive on other connections, at Poisson moments. The delay
  counts from the moment at which the event was meant to be sent to the arrival of a list that knows of it.

Exit code 1 if a list is stale.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.bench.results import table
from eval.bench.script import say, script
from eval.live.api import Api, Event, listed
from eval.live.audience import Audience, strangers, trained_users
from eval.live.client import Call, Outcome, Plan, fire, quantiles
from eval.live.library import Comparison, Library, Logged
from eval.live.streams import Message
from eval.live.trial import Row, Trial, measure, new_trial, new_trial_parser, number
from genre_gen.data.history import History
from genre_gen.errors import GenreGenError

THREADS = 8
LAST = 27
STREAMS, RATE = 1000, 100.0
SETTLE = 3.0  # seconds after the last event in which a list still counts


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write; exit code 1 if a list was stale."""
    parser = new_trial_parser(__doc__, ["lists", "push"])
    parser.add_argument("--tries", type=int, help="events that are followed by a list [10,000]")
    parser.add_argument("--seconds", type=float, help="of events while streams are open [60]")
    with script(parser, arguments) as options:
        trial = new_trial(options)
        tries = options.tries or trial.size(10_000, 40)
        seconds = options.seconds or trial.size(60, 3)
        parts: dict[str, Callable[[Trial], Row]] = {
            "lists": lambda trial: fresh_lists(trial, tries),
            "push": lambda trial: pushed(trial, seconds),
        }
        figures = measure("live_freshness", options, trial, parts, markdown)
        print(markdown(figures))
        raise SystemExit(int("lists" in options.parts and bool(figures["lists"]["stale"])))


@dataclass
class Seen:
    """What one thread was told."""

    lists: list[tuple[str, History, list[str], list[float]]] = field(default_factory=list)
    holding: int = 0  # lists with the item of the event
    behind: int = 0  # lists that name an earlier event
    failed: int = 0
    milliseconds: list[tuple[float, float]] = field(default_factory=list)


def fresh_lists(trial: Trial, tries: int) -> Row:
    """Report events and ask for lists from eight threads; compare all lists with the library's."""
    library = trial.library
    with trial.server() as server:
        groups = [_group(library, thread) for thread in range(THREADS)]
        for audience in groups:
            audience.store(server.api)
        each = -(-tries // THREADS)
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = [
                pool.submit(_thread, server.api, library, audience, each, trial.seed + thread)
                for thread, audience in enumerate(groups)
            ]
            seen = [job.result() for job in jobs]
    lists = [each for one in seen for each in one.lists]
    say(f"  {len(lists)} lists are compared with the library's")
    found: Comparison = library.compared_in_batches(lists)
    taken = np.array([pair for one in seen for pair in one.milliseconds]).reshape(-1, 2)
    holding, behind = sum(one.holding for one in seen), sum(one.behind for one in seen)
    return {
        "tries": len(lists),
        "threads": THREADS,
        "failed": sum(one.failed for one in seen),
        "stale": holding + found.different + behind,
        "holding_the_item": holding,
        "behind_the_event": behind,
        **vars(found),
        "event_ms": quantiles(taken[:, 0]),
        "list_ms": quantiles(taken[:, 1]),
    }


def _group(library: Library, thread: int) -> Audience:
    """Return the users of one thread: some of the data, and strangers."""
    mine = library.users[thread::THREADS][:20]
    audience = strangers(library, LAST, 40, f"t{thread}-")
    whole = trained_users(library)
    return Audience(
        [*audience.users, *mine], {**audience.seen, **{u: whole.seen[u] for u in mine}}, library.ids, audience.before
    )


def _thread(api: Api, library: Library, audience: Audience, tries: int, seed: int) -> Seen:
    rng, seen = np.random.default_rng(seed), Seen()
    logs = _logs(library, audience.before)
    with api.caller() as caller:
        for number_ in range(tries):
            user = audience.users[int(rng.integers(len(audience.users)))]
            made = audience.new_event(rng, user, f"f{seed}-{number_}")
            begin = time.perf_counter()
            told = caller.events([made])
            middle = time.perf_counter()
            reply = caller.recommend(user)
            end = time.perf_counter()
            if not (told.ok and reply.ok):
                seen.failed += 1
                if not told.ok:  # whether it counts is unknown
                    raise GenreGenError(f"an event was refused: {told.status} {told.body[:300]!r}")
                logs.setdefault(user, []).append(_logged(library, made, time.time()))
                continue
            seen.milliseconds.append((1e3 * (middle - begin), 1e3 * (end - middle)))
            logs.setdefault(user, []).append(_logged(library, made, time.time()))
            items, scores = listed(reply.body)
            seen.holding += made["item"] in items
            seen.behind += reply.json["history_seq"] < told.json["seq"]
            seen.lists.append((f"{user} after {made['event_id']}", library.history(user, logs[user]), items, scores))
    return seen


def _logs(library: Library, before: Sequence[Event]) -> dict[str, list[Logged]]:
    logs: dict[str, list[Logged]] = {}
    for made in before:
        logs.setdefault(made["user"], []).append(_logged(library, made, made["at"]))
    return logs


def _logged(library: Library, made: Event, at: float) -> Logged:
    return Logged(library.rows[made["item"]], at, made.get("rating", float("nan")))


def pushed(trial: Trial, seconds: float) -> Row:
    """Measure the delay from an event to the list on the user's stream."""
    count, rate = trial.size(STREAMS, 20), trial.size(int(RATE), 10)
    library, rng = trial.library, np.random.default_rng(trial.seed)
    with trial.server() as server:
        audience = strangers(library, LAST, count)
        audience.store(server.api)
        users = [audience.users[int(rng.integers(count))] for _ in range(rng.poisson(rate * seconds))]
        moments = np.sort(rng.uniform(0, seconds, len(users)))
        calls = [
            Call(moment, "event", server.api.events([audience.new_event(rng, user, f"p-{place}")]))
            for place, (user, moment) in enumerate(zip(users, moments.tolist(), strict=True))
        ]
        streams = [server.api.stream(user) for user in audience.users]
        plan = Plan(server.port, calls, keep=frozenset({"event"}), streams=streams, settle=SETTLE, server=server.pid)
        before = server.memory()
        outcome = fire(plan)
        after = server.memory()
    delays = push_delays(outcome, users, audience.users)
    return {
        "streams": count,
        "refused": sum(found is None for found in outcome.streams),
        "lost": outcome.lost,
        "rate": rate,
        "events": outcome.summary("event"),
        "pushes": sum(len(found or []) for found in outcome.streams),
        "missing": int(np.isinf(delays).sum()),
        "ms": quantiles(1e3 * delays),
        "memory_mb": {"before": before / 1e6, "after": after / 1e6},
        "server_cores": outcome.server / max(outcome.seconds, 1e-9),
        "generator_cores": outcome.generator / max(outcome.seconds, 1e-9),
    }


def push_delays(outcome: Outcome, users: Sequence[str], listeners: Sequence[str]) -> Any:
    """Return seconds from each event to the first list that knows of it; infinite if none came.

    Args:
        outcome: of the generator, with the answers to the events.
        users: of each event.
        listeners: the user of each stream.
    """
    found: Mapping[str, list[Message]] = {
        user: heard or [] for user, heard in zip(listeners, outcome.streams, strict=True)
    }
    delays = np.full(len(users), np.inf)
    fulfilled = outcome.fulfilled()
    for place, user in enumerate(users):
        if fulfilled[place]:
            seq = json.loads(outcome.bodies[place])["seq"]
            arrived = [heard.at for heard in found.get(user, []) if heard.seq >= seq]
            if arrived:
                delays[place] = min(arrived) - outcome.intended[place]
    return delays


def markdown(figures: Mapping[str, Row]) -> str:
    """Return the tables."""
    parts = []
    if row := figures.get("lists"):
        head = ("lists right after an event", "stale", "failed", "same as the library's", "equal scores", "different")
        cells = [row["tries"], row["stale"], row["failed"], row["same"], row["tied"], row["different"]]
        parts.append(table([*head, "event p99 ms", "list p99 ms"], [
            [*cells, number(row["event_ms"]["p99"]), number(row["list_ms"]["p99"])]
        ]))  # fmt: skip
    if row := figures.get("push"):
        columns = ("streams", "events a second", "p50 ms", "p99 ms", "missing", "lost streams", "MB before", "MB after")
        ms, memory = row["ms"], row["memory_mb"]
        cells = [row["streams"], row["rate"], number(ms["p50"]), number(ms["p99"]), row["missing"], row["lost"]]
        parts.append(table(columns, [[*cells, number(memory["before"], 0), number(memory["after"], 0)]]))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
