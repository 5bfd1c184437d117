"""A process that writes events to a store, and says on stdout which are acknowledged; ``live.store_faults`` harms it.

    python -m eval.live.store_child URL [--first 0] [--rate 1000]

A line is the number of an event that is durable, or ``!`` and the number of one that was refused. It runs until it is
stopped.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future

from genre_gen.errors import BusyError, GenreGenError
from genre_gen.live.events import LiveEvent
from genre_gen.store.database import Database
from genre_gen.store.events import Added, EventLog

DOMAIN = "faults"
TWICE = 10
"""Each tenth event is sent again at once."""


def event(number: int) -> LiveEvent:
    """Return an event by its number."""
    return LiveEvent(f"e{number}", str(number % 97), str(number % 31), "view", 1e9 + number, 1e9 + number)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--first", type=int, default=0, help="number of the first event")
    parser.add_argument("--rate", type=float, default=1000.0, help="events a second")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    try:
        with Database.open(options.url) as database:
            write(database, options.first, options.rate)
    except GenreGenError as problem:
        sys.exit(f"error: {problem}")


def write(database: Database, first: int, rate: float) -> None:
    """Send events at a rate; acknowledgements are written by the thread that made them durable."""
    log = EventLog(database, DOMAIN)
    begun, number = time.monotonic(), first
    while True:
        time.sleep(max(0.0, begun + (number - first) / rate - time.monotonic()))
        try:
            for _ in range(2 if number % TWICE == 0 else 1):
                send(database, log, number)
        except BusyError:
            time.sleep(0.01)
            continue
        number += 1


def send(database: Database, log: EventLog, number: int) -> None:
    """Send one event."""

    def tell(done: Future[Added]) -> None:
        refused = "!" if done.exception() is not None else ""
        os.write(1, f"{refused}{number}\n".encode())  # a short line goes into a pipe whole or not at all

    database.writer.submit(lambda connection: log.add(connection, [event(number)])).add_done_callback(tell)


if __name__ == "__main__":
    main()
