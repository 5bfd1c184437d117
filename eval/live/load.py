"""What load does the server bear? Lists, explanations and events at given rates, from an open-loop generator.

    python -m eval.live.load [runs/movies] [--parts lists overload] [--quick]

The generator runs on the same cores, in a process of its own. Requests have Poisson moments, and latency counts from
the moment at which a request was meant to be sent; a request that fails counts as infinitely late. Half of the requests
for lists follow a new event of the same user, sent 100 ms earlier. Each level has a server of its own, with an empty
store and cold caches.

* *lists*: ten items for strangers with the last 27 interactions of a user; 50 and 300 requests a second, and the
  highest rate at which the 99th percentile is within 100 ms.
* *whole*: users of the data, with whole histories: how many are answered when more ask than can be, next to
  ``answer_many`` in batches of 64 in the same run.
* *explanations*: ten items with explanations, at 40 a second.
* *events*: reported one by one, and in batches of 500, each acknowledged when it is durable and visible.
* *overload*: three times the highest rate: how many are answered in time, memory, and answers after their deadline.
* *peers*: a constant answer over the same HTTP server, and the library behind a lock.

The lists that were served are kept next to the results, for ``eval.live.replay``.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from eval.bench.results import table
from eval.bench.script import say, script
from eval.live import pictures
from eval.live.audience import Audience, event_calls, list_calls, strangers, trained_users
from eval.live.client import Outcome, Plan, fire
from eval.live.library import users_a_second
from eval.live.replay import Kept, keep_lists
from eval.live.server import Server
from eval.live.trial import Row, Trial, measure, measured, new_trial, new_trial_parser, number

LAST = 27
LIST_LIMIT, EXPLAINED_LIMIT, EVENT_LIMIT = 100.0, 300.0, 20.0  # ms, of the 99th percentile
STATED = {"lists": 300.0, "median": 50.0, "explanations": 40.0, "events": 1500.0, "batches": 80.0}
DEADLINE = 1.0  # seconds, the server's default
GRACE = 0.05  # seconds from the socket to the server and back
EXPLAINED_DEADLINE = 10.0
BATCH = 500
MOST_STRANGERS = 3772
STEM = "live_load"
HEAD = ("what", "a second", "answered in time a second", "p50 ms", "p99 ms", "p99.9 ms", "failed", "server cores",
        "generator cores", "MB at the end")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parts = {
        "lists": lists,
        "whole": whole,
        "explanations": explanations,
        "events": events,
        "overload": overload,
        "peers": peers,
    }
    parser = new_trial_parser(__doc__, list(parts))
    parser.add_argument("--seconds", type=float, help="of one level [20; stated ones 60]")
    parser.add_argument("--highest", type=float, help="rate that the server bears, for overload without lists")
    with script(parser, arguments) as options:
        found = measured(STEM, options).get("lists", {})
        kept = Kept(options.out, options.run.name)
        trial = LoadTrial(new_trial(options), options.seconds, options.highest or found.get("highest"), kept)
        trial.best_goodput = found.get("best_goodput")
        bound = {name: lambda _, part=part: part(trial) for name, part in parts.items()}
        figures = measure(STEM, options, trial.trial, bound, markdown)
        pictures.load(figures, options.out / f"live_load_{options.run.name}.png")
        print(markdown(figures))


class LoadTrial:
    """A trial with the lengths of its levels, and what levels tell later ones."""

    def __init__(self, trial: Trial, seconds: float | None, highest: float | None, kept: Kept) -> None:
        """Hold them."""
        self.trial, self.highest, self.kept = trial, highest, kept
        self.best_goodput: float | None = None
        self.stated_seconds = seconds or trial.size(60, 2)
        self.seconds = seconds or trial.size(20, 2)

    def rate(self, rate: float) -> float:
        """Return a stated rate, or a tenth of it for trying."""
        return rate / 10 if self.trial.quick else rate


def lists(load: LoadTrial) -> Row:
    """Measure lists at the stated rates, and search for the highest one."""
    alone = library_speed(load, LAST)
    stated = [
        lists_level(load, load.rate(STATED[name]), load.stated_seconds, keep=name) for name in ("median", "lists")
    ]
    levels = stated[1:]

    def bears(rate: float) -> bool:
        levels.append(lists_level(load, rate, load.seconds))
        return within(levels[-1], LIST_LIMIT)

    if within(levels[0], LIST_LIMIT):
        load.highest = highest(bears, levels[0]["rate"], known=True, steps=load.trial.size(6, 1))
    else:  # from what the library could do at best
        load.highest = highest(bears, min(levels[0]["rate"], 0.7 * alone), steps=load.trial.size(6, 1))
    load.best_goodput = max([level["goodput"] for level in levels if within(level, LIST_LIMIT)], default=0.0)
    found = {"stated": stated, "levels": levels, "highest": load.highest, "best_goodput": load.best_goodput}
    return {**found, "answer_many": alone}


def library_speed(load: LoadTrial, last: int | None) -> float:
    """Return how many users a second the library answers in batches of 64, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(users_a_second, load.trial.run, last, load.trial.size(2, 1)).result(600)


def lists_level(load: LoadTrial, rate: float, seconds: float, *, keep: str = "") -> Row:
    """Measure lists of strangers with the last 27 interactions at one rate."""
    count = min(MOST_STRANGERS, max(20, int(rate * seconds)))
    with load.trial.server() as server:
        audience = strangers(load.trial.library, LAST, count)
        audience.store(server.api)
        row, outcome, users = level(server, audience, rate, seconds, seed=load.trial.seed)
        if keep:
            keep_lists(load.kept, keep, server, outcome, users)
    say(f"  {rate:.0f}/s: p50 {number(row['lists']['ms']['p50'])} ms, p99 {number(row['lists']['ms']['p99'])} ms")
    return row


def level(
    server: Server,
    audience: Audience,
    rate: float,
    seconds: float,
    *,
    seed: int = 0,
    deadline: float = DEADLINE,
    **options: Any,
) -> tuple[Row, Outcome, list[str]]:
    """Send requests for lists at one rate; return figures, what came of each call, and the users."""
    calls, users = list_calls(server.api, audience, rate, seconds, seed=seed, **options)
    outcome = fire(Plan(server.port, calls, timeout=2 * deadline, keep=frozenset({"list", "event"}), server=server.pid))
    row = {"rate": rate, **shares(outcome), "lists": outcome.summary("list"), "events": outcome.summary("event")}
    in_time = outcome.latencies("list") <= deadline
    row["goodput"] = float(in_time.sum() / seconds)
    taken = (outcome.done - outcome.sent)[outcome.of("list") & outcome.fulfilled()]
    row["after_deadline"] = int((taken > deadline + GRACE).sum())
    row["slowest_ms"] = float(1e3 * taken.max(initial=0.0))
    row["metrics"] = batch_figures(server)
    return row, outcome, users


def shares(outcome: Outcome) -> Row:
    """Return processor time of server and generator in cores, and the server's memory."""
    seconds = max(outcome.seconds, 1e-9)
    sizes = [size for _, size in outcome.memory]
    return {
        "server_cores": outcome.server / seconds,
        "generator_cores": outcome.generator / seconds,
        "memory_mb": {"first": sizes[0] / 1e6, "middle": sizes[len(sizes) // 2] / 1e6, "last": sizes[-1] / 1e6}
        if sizes
        else {},
    }


def batch_figures(server: Server) -> Row:
    """Return the sums and counts of the server's own metrics, without buckets."""
    try:
        found = server.metrics()
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in found.items() if name.startswith("genre") and "_bucket" not in name}


def within(row: Row, limit: float, kind: str = "lists") -> bool:
    """Tell whether the 99th percentile of a level is within a limit in milliseconds."""
    return bool(row[kind]["ms"]["p99"] <= limit)


def highest(
    bears: Callable[[float], bool], start: float, *, known: bool | None = None, factor: float = 1.25, steps: int = 6
) -> float:
    """Return the highest rate that is borne, by steps of a factor and then by halving what lies between.

    Args:
        bears: measures a rate.
        start: first rate.
        known: whether the first rate is borne, if that has been measured.
        factor: of neighbouring rates in the first steps.
        steps: measurements at most.

    Returns:
        The rate, 0 if none was borne.
    """
    borne, refused, rate = 0.0, float("inf"), start
    for step in range(steps + (known is not None)):
        good = known if known is not None and step == 0 else bears(rate)
        borne, refused = (max(borne, rate), refused) if good else (borne, min(refused, rate))
        if refused == float("inf"):
            rate = borne * factor
        elif not borne:
            rate = refused / factor
        elif refused / borne < 1.05:  # noqa: PLR2004 as near as figures of a shared machine can tell
            break
        else:
            rate = (borne + refused) / 2
    return borne


def whole(load: LoadTrial) -> Row:
    """Measure how many users with whole histories are answered, next to the library in batches."""
    alone = library_speed(load, None)
    rate = min(1.3 * alone, load.trial.size(2000, 100))
    with load.trial.server() as server:
        audience = trained_users(load.trial.library)
        row, _, _ = level(server, audience, rate, load.seconds, seed=load.trial.seed)
    generator = min(row["generator_cores"] / 2, 1.0)
    asked = 0.75 * alone * (1 - generator)
    row |= {"answer_many": alone, "share": row["goodput"] / alone, "asked_for": asked}
    levels = []
    for part in (0.5, 0.7, 0.9):
        with load.trial.server() as server:
            audience = trained_users(load.trial.library)
            levels.append(level(server, audience, part * alone, load.seconds, seed=load.trial.seed)[0])
    return {"saturated": row, "levels": levels}


def explanations(load: LoadTrial) -> Row:
    """Measure lists with explanations at the stated rate."""
    rate = load.rate(STATED["explanations"])
    rows = []
    for times in (1.0, 1.5, 2.0)[: load.trial.size(3, 1)]:
        with load.trial.server() as server:
            count = min(MOST_STRANGERS, max(20, int(rate * times * load.seconds)))
            audience = strangers(load.trial.library, LAST, count)
            audience.store(server.api)
            rows.append(
                level(
                    server,
                    audience,
                    rate * times,
                    load.seconds,
                    seed=load.trial.seed,
                    deadline=EXPLAINED_DEADLINE,
                    explain=True,
                )[0]
            )
        if not within(rows[-1], EXPLAINED_LIMIT):
            break
    return {"levels": rows}


def events(load: LoadTrial) -> Row:
    """Measure events one by one and in batches of 500."""
    single: list[Row] = []
    batches: list[Row] = []

    def bears_single(rate: float) -> bool:
        single.append(events_level(load, rate, 1))
        return within(single[-1], EVENT_LIMIT, "events")

    def bears_batches(rate: float) -> bool:
        batches.append(events_level(load, rate, BATCH))
        return within(batches[-1], 1e3 * DEADLINE, "events")

    steps = load.trial.size(4, 1)
    found = {"single_rate": highest(bears_single, load.rate(STATED["events"]), steps=steps)}
    found["batch_rate"] = BATCH * highest(bears_batches, load.rate(STATED["batches"]), steps=steps)
    return {**found, "single": single, "batches": batches}


def events_level(load: LoadTrial, rate: float, size: int) -> Row:
    """Measure reports of events at one rate."""
    with load.trial.server() as server:
        audience = trained_users(load.trial.library)
        calls = event_calls(server.api, audience, rate, load.seconds, seed=load.trial.seed, size=size)
        outcome = fire(Plan(server.port, calls, timeout=2 * DEADLINE, server=server.pid))
        row = {"rate": rate, "size": size, **shares(outcome), "events": outcome.summary("event")}
        row["metrics"] = batch_figures(server)
    row["events_a_second"] = row["events"]["fulfilled"] * size / max(outcome.seconds, load.seconds)
    say(f"  {rate:.0f} x {size}: p50 {number(row['events']['ms']['p50'])}, p99 {number(row['events']['ms']['p99'])} ms")
    return row


def overload(load: LoadTrial) -> Row:
    """Measure three times the highest rate."""
    rate = 3 * (load.highest or load.rate(STATED["lists"]))
    row = lists_level(load, rate, load.stated_seconds, keep="overload")
    return {**row, "times": 3, "best_goodput": load.best_goodput}


def peers(load: LoadTrial) -> Row:
    """Measure the ceiling of HTTP, and the library behind a lock, which keeps no events."""
    found: Row = {}
    for peer, rates in (("constant", (300.0, 1000.0, 2000.0)), ("naive", (50.0, 100.0, 200.0))):
        command = [sys.executable, "-m", "eval.live.peers", peer, "--run", str(load.trial.run)]
        found[peer] = []
        for rate in rates[: load.trial.size(3, 1)]:
            with load.trial.server(command=command) as server:
                audience = trained_users(load.trial.library)
                row, _, _ = level(server, audience, load.rate(rate), load.seconds, seed=load.trial.seed)
            found[peer].append(row)
            if not within(row, 1e3 * DEADLINE):
                break
    return found


def markdown(figures: Mapping[str, Row]) -> str:
    """Return the table of all levels."""
    rows = [_cells(name, row) for name, row in _levels(figures)]
    text = table(HEAD, rows)
    if lists_part := figures.get("lists"):
        text += "\n\nHistories of 27 films, `answer_many` in batches of 64: "
        text += f"{number(lists_part['answer_many'])} users a second."
    if whole_part := figures.get("whole"):
        row = whole_part["saturated"]
        text += f"\n\n`answer_many` in batches of 64: {number(row['answer_many'])} users a second; "
        text += f"the server answered {number(row['share'], 2)} of that, {number(row['goodput'])} a second."
    return text


def _levels(figures: Mapping[str, Row]) -> list[tuple[str, Row]]:
    found: list[tuple[str, Row]] = []
    if part := figures.get("lists"):
        found += [("lists", row) for row in [part["stated"][0], *part["levels"]]]
    if part := figures.get("whole"):
        found += [("lists, whole histories", row) for row in [*part["levels"], part["saturated"]]]
    if part := figures.get("explanations"):
        found += [("lists with explanations", row) for row in part["levels"]]
    if part := figures.get("events"):
        found += [("events", row) for row in part["single"]]
        found += [(f"batches of {BATCH} events", row) for row in part["batches"]]
    if part := figures.get("overload"):
        found.append(("lists, overload", part))
    for peer, rows in figures.get("peers", {}).items():
        found += [(f"peer: {peer}", row) for row in (rows if isinstance(rows, list) else [])]
    return found


def _cells(name: str, row: Row) -> list[str]:
    counted = row.get("lists") or row["events"]
    good = row.get("goodput", row.get("events_a_second"))
    cells = [name, number(row["rate"], 0), number(good, 0)]
    cells += [number(counted["ms"][level]) for level in ("p50", "p99", "p999")]
    cells += [str(counted["calls"] - counted["fulfilled"])]
    cells += [number(row["server_cores"], 2), number(row["generator_cores"], 2)]
    return [*cells, number(row["memory_mb"].get("last"), 0) if row["memory_mb"] else ""]


if __name__ == "__main__":
    main()
