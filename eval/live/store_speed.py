"""How fast does a store take events, and how fast does a server with many of them start?

    python -m eval.live.store_speed [--url postgresql+psycopg://USER@HOST/NAME] [--events 1000000] [--quick]

Three figures for a store, by default a SQLite file in the folder of results:

* *batches*: events in batches of 500, sent as fast as the writer takes them, a second, with the processor's seconds.
* *single*: events one by one, open loop at ``--rate``, from the intended time of sending until durable.
* *columns*: reading all events as columns, as a start does, with the growth of memory.
"""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np

from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from genre_gen.live.events import LiveEvent
from genre_gen.store.database import Database
from genre_gen.store.events import EventLog

BATCH = 500


def event(number: int, prefix: str = "e") -> LiveEvent:
    """Return an event of one of 10,000 users and 5,000 items."""
    user, item = str(number * 7919 % 10_000), str(number * 104_729 % 5_000)
    return LiveEvent(f"{prefix}{number}", user, item, "view", 1e9 + number, 1e9 + number)


def batches(database: Database, log: EventLog, count: int) -> dict[str, float]:
    """Store events in batches."""
    made = [[event(number) for number in range(first, first + BATCH)] for first in range(0, count, BATCH)]
    begun, used = time.perf_counter(), time.process_time()
    futures = [
        database.writer.submit(partial(log.add, events=events), rows=BATCH, wait=True) for events in made
    ]  # fmt: skip
    for future in futures:
        future.result()
    seconds = time.perf_counter() - begun
    sent = BATCH * len(made)
    return {"events a second": sent / seconds, "microseconds of processor": (time.process_time() - used) / sent * 1e6}


def single(database: Database, log: EventLog, rate: float, seconds: float) -> dict[str, float]:
    """Store events one by one, whatever the writer does."""
    count, begun = int(rate * seconds), time.perf_counter()
    ends = np.zeros(count)
    used = time.process_time()

    def tell(number: int, _: Future[Any]) -> None:
        ends[number] = time.perf_counter()

    futures = []
    for number in range(count):
        time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        future = database.writer.submit(partial(log.add, events=[event(number, "s")]), wait=True)
        future.add_done_callback(partial(tell, number))
        futures.append(future)
    for future in futures:
        future.result()
    waited = (ends - begun - np.arange(count) / rate) * 1000
    return {
        "events a second": count / (ends.max() - begun),
        "p50 ms": float(np.percentile(waited, 50)),
        "p99 ms": float(np.percentile(waited, 99)),
        "microseconds of processor": (time.process_time() - used) / count * 1e6,
    }


def columns(log: EventLog) -> dict[str, float]:
    """Read all events."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    count = len(log.columns())
    seconds = time.perf_counter() - begun
    return {
        "events": count,
        "seconds": seconds,
        "MB more": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def markdown(content: Mapping[str, Mapping[str, float]]) -> str:
    """Return the table."""
    rows = [(part, name, f"{value:,.1f}") for part, figures in content.items() for name, value in figures.items()]
    return table(("part", "figure", ""), rows, words=2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "quick")
    parser.add_argument("--url", help="an empty store; by default a new SQLite file, deleted afterwards")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=1_500.0, help="single events a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of single events")
    with script(parser, arguments) as options:
        if options.quick:
            options.events, options.seconds = min(options.events, 2 * BATCH), min(options.seconds, 0.2)
        folder = options.out / "store speed"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            with Database.open(options.url or f"sqlite:///{folder}/store.db") as database:
                log = EventLog(database, "speed")
                content = {
                    "batches": batches(database, log, options.events),
                    "single": single(database, log, options.rate, options.seconds),
                    "columns": columns(log),
                }
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        key = "postgresql" if options.url and options.url.startswith("postgresql") else "sqlite"
        text = markdown(content)
        record(options.out, "live_store_speed", key, {**content, "threads": 1}, text)
        print(text)


if __name__ == "__main__":
    main()
