"""What the server must reach, next to what was measured: a table of all results of ``eval.live`` in a folder.

    python -m eval.live.claims [runs/movies] [--out runs/eval]

Exit code 1 if a figure was measured and does not reach its bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from eval.live.trial import Row, entry_of, measured, number

STEMS = ("live_load", "live_freshness", "live_changes", "live_replay", "live_faults")
INFINITY = float("inf")
FLAT = 50.0  # MB that memory may grow in the second half of an overload
Figures = Mapping[str, Mapping[str, Row]]


@dataclass(frozen=True)
class Claim:
    """A bound, and the figure that must reach it.

    Attributes:
        what: in words.
        stem: file of results.
        part: of its entry.
        value: the figure of the part.
        most: greatest value allowed, or None.
        least: least value allowed, or None; both may depend on the part.
        unit: of the figure.
    """

    what: str
    stem: str
    part: str
    value: Callable[[Row], float]
    most: float | Callable[[Row], float] | None = None
    least: float | Callable[[Row], float] | None = None
    unit: str = ""

    def cells(self, figures: Figures) -> tuple[list[str], bool | None]:
        """Return the cells of the table, and whether the bound is reached; None if it was not measured."""
        part = figures.get(self.stem, {}).get(self.part)
        if part is None:
            return [self.what, "", "not measured", ""], None
        value, bound = finite(self.value(part)), self.most if self.most is not None else self.least
        limit = finite(bound(part)) if callable(bound) else float(bound or 0)
        good = value <= limit if self.most is not None else value >= limit
        sign = "at most" if self.most is not None else "at least"
        asked = f"{sign} {number(limit)}{self.unit}"
        return [self.what, asked, f"{number(value)}{self.unit}", "yes" if good else "no"], good


def finite(value: Any) -> float:
    """Return a figure of a file, in which null is what was infinite."""
    return INFINITY if value is None else float(value)


CLAIMS = (
    Claim("lists at 50 a second, median", "live_load", "lists",
          lambda part: finite(part["stated"][0]["lists"]["ms"]["p50"]), most=15, unit=" ms"),
    Claim("lists at 300 a second, 99th percentile", "live_load", "lists",
          lambda part: finite(part["stated"][1]["lists"]["ms"]["p99"]), most=100, unit=" ms"),
    Claim("highest rate of lists with a 99th percentile of 100 ms", "live_load", "lists",
          lambda part: part["highest"], least=300, unit="/s"),
    Claim("lists for whole histories, when more ask than can be answered", "live_load", "whole",
          lambda part: part["saturated"]["goodput"], least=lambda part: part["saturated"]["asked_for"], unit="/s"),
    Claim("lists with explanations at 40 a second, 99th percentile", "live_load", "explanations",
          lambda part: finite(part["levels"][0]["lists"]["ms"]["p99"]), most=300, unit=" ms"),
    Claim("events one by one at 1,500 a second, 99th percentile", "live_load", "events",
          lambda part: finite(part["single"][0]["events"]["ms"]["p99"]), most=20, unit=" ms"),
    Claim("events in batches of 500", "live_load", "events",
          lambda part: part["batch_rate"], least=40_000, unit="/s"),
    Claim("stale lists right after an event", "live_freshness", "lists", lambda part: part["stale"], most=0),
    Claim("event to pushed list, 99th percentile", "live_freshness", "push",
          lambda part: finite(part["ms"]["p99"]), most=150, unit=" ms"),
    Claim("three times the load: lists in time", "live_load", "overload",
          lambda part: part["goodput"], least=lambda part: 0.9 * finite(part["best_goodput"]), unit="/s"),
    Claim("three times the load: answers after their deadline", "live_load", "overload",
          lambda part: part["after_deadline"], most=0),
    Claim("three times the load: growth of memory in the second half", "live_load", "overload",
          lambda part: part["memory_mb"]["last"] - part["memory_mb"]["middle"], most=FLAT, unit=" MB"),
    Claim("item added, greatest time until it is in a list", "live_changes", "added",
          lambda part: finite(part["ms"]["max"]), most=1000, unit=" ms"),
    Claim("item withdrawn, 99th percentile", "live_changes", "withdrawn",
          lambda part: finite(part["ms"]["p99"]), most=50, unit=" ms"),
    Claim("lists with a withdrawn item", "live_changes", "race", lambda part: part["broken"], most=0),
    Claim("requests that failed during swaps", "live_changes", "swap", lambda part: part["failed"], most=0),
    Claim("99th percentile in the two seconds after a swap", "live_changes", "swap",
          lambda part: finite(part["near_ms"]["p99"]), most=lambda part: 2 * finite(part["other_ms"]["p99"]),
          unit=" ms"),
    Claim("a million events: start to ready", "live_faults", "restart",
          lambda part: part["start_seconds_greatest"], most=15, unit=" s"),
    Claim("a million events: memory", "live_faults", "restart", lambda part: part["memory_mb"], most=700, unit=" MB"),
    Claim("lists that differ from the library's, replayed alone", "live_replay", "replay",
          lambda part: sum(row["different"] for row in part["levels"].values()), most=0),
    *(Claim(f"fault: {name.replace('-', ' ')}", "live_faults", name, lambda part: part["broken"], most=0)
      for name in ("kills", "retries", "slow-readers", "vanished", "stop", "hostile", "clock", "restart")),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and write; exit code 1 if a bound is not reached."""
    parser = new_parser(__doc__, "demo run", "quick")
    with script(parser, arguments) as options:
        figures = {stem: measured(stem, options) for stem in STEMS}
        found = [claim.cells(figures) for claim in CLAIMS]
        text = table(("what", "asked for", "measured", "reached"), [cells for cells, _ in found], words=4)
        reached = {claim.what: good for claim, (_, good) in zip(CLAIMS, found, strict=True)}
        record(options.out, "live_claims", entry_of(options), {"reached": reached}, text)
        print(text)
        raise SystemExit(int(any(good is False for _, good in found)))


if __name__ == "__main__":
    main()
