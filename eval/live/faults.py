"""What does the server survive? Kills, retries, slow and vanished clients, hostile requests, and large stores.

    python -m eval.live.faults [runs/movies] [--parts kills retries] [--quick]

* *kills*: the server is killed (SIGKILL) at a random moment under 1,000 events a second, 50 times. Each acknowledged
  event must be in the store once, and lists after the restart must be the library's for the log of the store.
* *retries*: eight clients send the same events again and again; each must be stored once.
* *slow readers*: 1,000 streams, of which 100 are never read; the others must be on time, and memory must not grow.
* *vanished*: 10,000 clients leave in the middle of a request or of a stream; no stream and no file may be left over.
* *stop*: SIGTERM with open streams and requests; the server must end within 5 seconds, and keep what it acknowledged.
* *hostile*: bodies and paths that are too large, too deep, or not what they claim; each must be refused (4xx) within
  50 ms of the server's time, without more memory.
* *clock*: events out of order, from the past and from the future.
* *restart*: a store of a million events: seconds until ready, memory, and the same lists as before.

Each part has a count under ``broken``, which must be 0. Exit code 1 if it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.bench.results import table
from eval.bench.script import script
from eval.live import fault_clients, fault_process, hostile
from eval.live.trial import Part, Row, measure, new_trial, new_trial_parser

PARTS: dict[str, Part] = {
    "kills": fault_process.kills,
    "retries": fault_clients.retries,
    "slow-readers": fault_clients.slow_readers,
    "vanished": fault_clients.vanished,
    "stop": fault_process.stops,
    "hostile": hostile.refused,
    "clock": fault_process.clock,
    "restart": fault_process.restart,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Attack, count and write; exit code 1 where a promise was broken."""
    parser = new_trial_parser(__doc__, list(PARTS))
    with script(parser, arguments) as options:
        figures = measure("live_faults", options, new_trial(options), PARTS, markdown)
        print(markdown(figures))
        raise SystemExit(int(any(figures[name]["broken"] for name in options.parts)))


def markdown(figures: Mapping[str, Row]) -> str:
    """Return the table: each part, how often it was tried, what was broken, and the figures that it adds."""
    rows = [[name, row["tried"], row["broken"], _told(row)] for name, row in figures.items()]
    return table(("fault", "tried", "broken", "figures"), rows)


def _told(row: Mapping[str, Any]) -> str:
    simple = {
        key: round(value, 2) if isinstance(value, float) else value
        for key, value in row.items()
        if key not in {"tried", "broken", "seconds"} and isinstance(value, int | float)
    }
    return ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in simple.items())


if __name__ == "__main__":
    main()
