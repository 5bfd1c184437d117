"""What do reading and its checks cost, next to another version of the project?

    python -m eval.own_data.reading --old PATH [--rounds 5] [--interactions 1000000]

ML-100K is read by its domain, a made-up log by ``Dataset.from_tables``, which also infers the domain. Each reading is a
process of its own; those of both versions alternate. Seconds are those of the processor, so that other work on the
machine matters little, without the time of imports; memory is the peak of the process. The ratio is of the medians.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from eval.bench.points import Checkout, Limits, Point
from eval.bench.results import record, table
from eval.bench.script import at_least_one, new_parser, say, script
from eval.growth import checkouts
from genre_gen.errors import DataError

UNITS = {"processor": "seconds of the processor", "megabytes": "peak memory, MB"}
SIZES = ("users", "items", "interactions")
HEAD = ("data", "figure", "old", "new", "ratio")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both versions, print the table."""
    parser = new_parser(__doc__, "threads")
    parser.add_argument("--old", type=Path, required=True, help="another checkout of the project, to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="readings of each version [5]")
    parser.add_argument("--items", type=int, default=10_000, help="of the made-up log [10000]")
    parser.add_argument("--interactions", type=int, default=1_000_000, help="of the made-up log [1000000]")
    parser.add_argument("--seconds", type=float, default=600, help="limit of one process [600]")
    with script(parser, arguments) as options:
        at_least_one(options, "threads", "rounds", "items", "interactions")
        limits = Limits(options.seconds, 16_000)
        rows, figures = [], {}
        for point in (Point(domain="ml-100k"), Point(options.items, options.interactions)):
            found = compared(
                point, checkouts(options.old), options.rounds, limits, options.threads, options.out / "reading"
            )
            figures[point.name] = found
            rows += [
                (
                    point.name,
                    unit,
                    *(f"{found[version][key]:.2f}" for version in ("old", "new")),
                    f"{found['ratio'][key]:.2f}",
                )
                for key, unit in UNITS.items()
            ]
        commits = ", ".join(f"{version.label}: {version.commit}" for version in checkouts(options.old))
        text = f"Reading, {commits}; medians of {options.rounds}.\n\n" + table(HEAD, rows, words=2)
        record(options.out, "reading", f"{options.threads} threads", {"commits": commits, "points": figures}, text)
        print(text)


def compared(
    point: Point, versions: Sequence[Checkout], rounds: int, limits: Limits, threads: int, folder: Path
) -> dict[str, dict[str, Any]]:
    """Return the medians of each version and their ratio; raises DataError if a process failed or read otherwise."""
    order = {"part": "reading", **point.order(folder.resolve() / point.name.replace(" ", "-"))}
    found: dict[str, list[dict[str, Any]]] = {version.label: [] for version in versions}
    for number in range(rounds):
        for version in versions:
            result = version.run(order, limits, threads, folder.resolve() / f"{version.label}-{number}")
            if result["ended"] is not None:
                raise DataError(f"{version.path}: {point.name}: {result['ended']}")
            found[version.label].append(result)
            say(f"{version.label}: {point.name}: {result['processor']:.2f} s, {result['megabytes']:.0f} MB")
    sizes = {tuple(result[size] for size in SIZES) for results in found.values() for result in results}
    if len(sizes) > 1:
        raise DataError(f"{point.name}: the versions read different data: {sizes}")
    medians = {
        label: {unit: median(result[unit] for result in results) for unit in UNITS} for label, results in found.items()
    }
    ratio = {unit: medians["new"][unit] / medians["old"][unit] for unit in UNITS}
    return {**medians, "ratio": ratio, "sizes": dict(zip(SIZES, sizes.pop(), strict=True))}


if __name__ == "__main__":
    main()
