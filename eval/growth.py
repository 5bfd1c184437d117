"""What does training cost as data grows: time by stage, memory, size on disk, loading, a request?

    python -m eval.growth [--quick] [--old PATH] [--axes interactions items length real] [--points TEXT]

Each point is a process that reads tables as a user has them, trains with the settings that are proposed for them, and
saves. A second process loads what was saved and answers. Three axes are made-up logs (``bench/law.py``): more
interactions, more items, longer histories. The fourth is real data (``GENRE_DATA`` names its folder).

Of the language model a fixed number of steps is trained, and neither a time budget nor a refit changes the other
stages. A process that needs more than ``--seconds`` or ``--gigabytes`` is ended: the table says in which stage, and
larger points of the axis are not tried. ``--old`` names another checkout of the project, whose points alternate with
those of this one; each version trains with the settings that it proposes itself.

Exponents are slopes of least-squares lines in log-log, through the three largest points of an axis. Points are kept in
``OUT/growth``: a run that was interrupted continues, and measures again only what changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.bench.plots import new_figure, save
from eval.bench.points import Checkout, Limits, Point, Runs, exponent, short
from eval.bench.results import record, table
from eval.bench.script import ROOT, assignments, at_least_one, new_parser, say, script
from genre_gen.errors import UsageError

AXES = {
    "interactions": [Point(10_000, n) for n in (10_000, 100_000, 1_000_000, 10_000_000)],
    "items": [Point(n, 1_000_000) for n in (1_000, 10_000, 100_000, 1_000_000)],
    "length": [Point(9_000, 100_000, n) for n in (10, 40, 160, 640)],
    "real": [Point(domain=name) for name in ("ml-100k", "amazon-scientific", "amazon-beauty", "amazon-sports")],
}
QUICK = {
    "interactions": [Point(200, n, 20) for n in (1_000, 2_000, 4_000)],
    "items": [Point(n, 2_000, 20) for n in (100, 200, 400)],
    "length": [Point(200, 2_000, n) for n in (10, 20, 40)],
}
SIZES = {"interactions": "interactions", "items": "items", "length": "length"}
LLM = "language model, "
SECONDS = (
    "reading", "splitting", "members", "tuning", "teacher", "soft targets", LLM + "building", LLM + "examples",
    "blend weights", "rest of training", "saving",
)  # fmt: skip
TIMES = {name: "s" for name in (*SECONDS, "training")} | {"step": "ms"}
OTHERS = {
    "peak memory": "MB", "folder": "MB", "load": "s", "load and first answer, processor": "s", "request": "ms",
    "memory of serving": "MB",
}  # fmt: skip
UNITS = TIMES | OTHERS
PANELS = {
    "seconds of training": ("reading", "members", "tuning", "soft targets", LLM + "examples", "blend weights"),
    "megabytes": ("peak memory", "folder", "memory of serving"),
    "milliseconds": ("step", "request"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the chosen points, print the tables, and draw the picture."""
    parser = new_parser(__doc__, "threads", "quick", "set")
    parser.add_argument(
        "--axes", nargs="+", choices=list(AXES), default=None, help="[all; with --quick only made-up ones]"
    )
    parser.add_argument("--points", default="", metavar="TEXT", help="only points with this text in their names")
    parser.add_argument("--old", type=Path, help="another checkout of the project, to compare with")
    parser.add_argument("--seconds", type=float, default=600, help="limit of one process [600]")
    parser.add_argument("--gigabytes", type=float, default=8, help="limit of one process's memory [8]")
    parser.add_argument("--steps", type=int, default=20, help="of the language model [20; 6 with --quick]")
    with script(parser, arguments) as options:
        at_least_one(options, "threads", "steps")
        grid = QUICK if options.quick else AXES
        axes = {name: points for name, points in grid.items() if name in (options.axes or grid)}
        axes = {name: [point for point in points if options.points in point.name] for name, points in axes.items()}
        if not any(axes.values()):
            raise UsageError(f"--points {options.points}: no such point in {', '.join(axes)}; leave it out to run all")
        steps = min(options.steps, 6) if options.quick else options.steps
        limits = Limits(options.seconds, 1000 * options.gigabytes)
        settings = {"training.batch_tokens": 1024, **assignments(options.set)}
        runs = Runs(options.out / "growth", limits, options.threads, steps, settings)
        results = measured(runs, checkouts(options.old), axes)
        key = f"{'quick, ' if options.quick else ''}{options.threads} threads"
        text = markdown(axes, results, key)
        record(options.out, "growth", key, {"points": results, "exponents": exponents(axes, results)}, text)
        draw(axes, results, options.out / f"growth_{key.replace(', ', '_').replace(' ', '_')}.png")
        print(text)


def checkouts(old: Path | None) -> list[Checkout]:
    """Return this version, and before it the old one, if any; raises UsageError if it is not a checkout."""
    if old is None:
        return [Checkout("new", ROOT)]
    if not (old / "genre_gen" / "__init__.py").is_file():
        raise UsageError(f"--old {old}: no checkout of the project; make one with git worktree add")
    return [Checkout("old", old.resolve()), Checkout("new", ROOT)]


def measured(
    runs: Runs, versions: Sequence[Checkout], axes: Mapping[str, Sequence[Point]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return figures by version and name of a point; points beyond one that did not finish are left out."""
    results: dict[str, dict[str, dict[str, Any]]] = {version.label: {} for version in versions}
    for axis, points in axes.items():
        failed: set[str] = set()
        for point in points:
            for version in versions:
                if version.label in failed:
                    say(f"{version.label}: {point.name} is not tried: a smaller point did not finish")
                    continue
                result = runs.measure(version, point)
                results[version.label][point.name] = figures(result)
                if result["ended"] is not None and axis != "real":
                    failed.add(version.label)
            runs.forget_data(point)
    return results


def figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the quantities of a point in the units of ``UNITS``, the members' seconds, the folder's parts, the end."""
    seconds, serving = result["seconds"], result.get("serving", {})
    members = {name.removeprefix("member "): value for name, value in seconds.items() if name.startswith("member ")}
    ended = result["ended"] or serving.get("ended")
    quantities: dict[str, float | None] = {name: seconds.get(name) for name in SECONDS}
    quantities |= {
        "members": sum(members.values()) if members else None,
        "training": None
        if result["ended"]
        else sum(v for n, v in seconds.items() if n not in {"reading", "splitting"}),
        "step": result["step"] * 1000 if "step" in result else None,
        "peak memory": result.get("megabytes"),
        "folder": sum(result["folder"].values()) if "folder" in result else None,
        "load": serving.get("load"),
        "load and first answer, processor": serving.get("processor"),
        "request": serving["request"] * 1000 if "request" in serving else None,
        "memory of serving": serving.get("serving"),
    }
    if result["ended"]:  # the stage that was cut short has no figure
        quantities[result["stage"] or ""] = quantities["peak memory"] = None
    where = f" ({result['stage']})" if result.get("stage") else ""
    sizes = {name: result.get(name) for name in ("items", "users", "interactions")}
    return {
        **sizes,
        "quantities": {name: quantities.get(name) for name in UNITS},
        "members": members,
        "folder": result.get("folder", {}),
        "ended": None if ended is None else f"{ended}{where}",
        "commit": result["about"]["commit"],
    }


def exponents(
    axes: Mapping[str, Sequence[Point]], results: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, dict[str, dict[str, tuple[float, int] | None]]]:
    """Return quantity -> axis -> version -> exponent and the number of points that it was fitted to."""
    made_up = {axis: points for axis, points in axes.items() if axis in SIZES}
    return {
        quantity: {
            axis: {version: exponent(*series(axis, points, found, quantity)) for version, found in results.items()}
            for axis, points in made_up.items()
        }
        for quantity in UNITS
    }


def series(
    axis: str, points: Sequence[Point], found: Mapping[str, Mapping[str, Any]], quantity: str
) -> tuple[list[int], list[float | None]]:
    """Return sizes of an axis and the values of a quantity; None for points without one."""
    values = [found[point.name]["quantities"][quantity] if point.name in found else None for point in points]
    return [getattr(point, SIZES[axis]) for point in points], values


def markdown(
    axes: Mapping[str, Sequence[Point]], results: Mapping[str, Mapping[str, Mapping[str, Any]]], key: str
) -> str:
    """Return the tables: exponents, quantities by point, members, and parts of the folder."""
    versions = list(results)
    fitted = exponents(axes, results)
    columns = [(axis, version) for axis in axes if axis in SIZES for version in versions]
    head = ["exponent of growth", *(f"in {axis}{_of(version, versions)}" for axis, version in columns)]
    rows = [[q, *(_exponent(fitted[q][axis][version]) for axis, version in columns)] for q in UNITS]
    parts = [f"Growth, {key}, {_commits(results)}.", table(head, rows) if columns else ""]
    names = list(dict.fromkeys(point.name for points in axes.values() for point in points))
    for units in (TIMES, OTHERS):
        rows = [
            [name, version, *(_figure(one["quantities"][quantity]) for quantity in units), one["ended"] or ""]
            for name in names
            for version in versions
            if (one := results[version].get(name))
        ]
        heads = (f"{quantity}, {unit}" for quantity, unit in units.items())
        parts.append(table(["point", "version", *heads, "ended"], rows, words=2))
    for what, unit in (("members", "s"), ("folder", "MB")):
        inner = sorted({part for found in results.values() for one in found.values() for part in one[what]})
        rows = [
            [name, version, *(_figure(results[version][name][what].get(part)) for part in inner)]
            for name in names
            for version in versions
            if results[version].get(name, {}).get(what)
        ]
        parts.append(table(["point", "version", *(f"{part}, {unit}" for part in inner)], rows, words=2))
    return "\n\n".join(filter(None, parts))


def _commits(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    commits = {name: {one["commit"] for one in found.values()} for name, found in results.items()}
    return ", ".join(f"{name}: {' '.join(sorted(commits[name])) or 'nothing'}" for name in results)


def _of(version: str, versions: Sequence[str]) -> str:
    return f", {version}" if len(versions) > 1 else ""


def _exponent(fitted: tuple[float, int] | None) -> str:
    return "" if fitted is None else f"{fitted[0]:.2f} ({fitted[1]} points)"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 digits


def draw(
    axes: Mapping[str, Sequence[Point]], results: Mapping[str, Mapping[str, Mapping[str, Any]]], file: Path
) -> None:
    """Draw the quantities of ``PANELS`` over each axis, in log-log; the old version is dashed."""
    made_up = [axis for axis in axes if axis in SIZES and axes[axis]]
    if not made_up:
        return
    figure, panels = new_figure(4.6 * len(made_up), 10, len(made_up), rows=len(PANELS), squeeze=False)
    for column, axis in enumerate(made_up):
        for row, (unit, quantities) in enumerate(PANELS.items()):
            panel = panels[row][column]
            _draw_panel(panel, axis, axes[axis], results, quantities)
            panel.set(xscale="log", yscale="log", xlabel=_label(axis, axes[axis]), ylabel="" if column else unit)
            sizes = [getattr(point, SIZES[axis]) for point in axes[axis]]
            panel.set_xticks(sizes, [short(size) for size in sizes])
            panel.set_xticks([], minor=True)
            panel.grid(alpha=0.3)
            if column == len(made_up) - 1 and panel.get_legend_handles_labels()[0]:
                panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    versions = "solid: new, dashed: old; " if len(results) > 1 else ""
    figure.suptitle(f"{versions}grey: exponent 1", fontsize=9)
    save(figure, file)


def _draw_panel(
    panel: Any,
    axis: str,
    points: Sequence[Point],
    results: Mapping[str, Mapping[str, Mapping[str, Any]]],
    quantities: Iterable[str],
) -> None:
    low: list[float] = []
    for colour, quantity in enumerate(quantities):
        for version, found in results.items():
            x, y = series(axis, points, found, quantity)
            pairs = [(size, value) for size, value in zip(x, y, strict=True) if value]
            style, label = ("--", None) if version == "old" else ("-", quantity)
            panel.plot(*zip(*pairs, strict=True) if pairs else ([], []), f"C{colour}.{style}", label=label)
            low += [value for _, value in pairs]
    sizes = [getattr(point, SIZES[axis]) for point in points]
    if low:  # a line of exponent 1, to compare with
        panel.plot([sizes[0], sizes[-1]], [min(low), min(low) * sizes[-1] / sizes[0]], color="#B8BEC4", zorder=0)


def _label(axis: str, points: Sequence[Point]) -> str:
    """Return what an axis is, and what stays the same along it."""
    point = points[0]
    same = {
        "items": f"{short(point.items)} items",
        "interactions": f"{short(point.interactions)} interactions",
        "length": f"{point.length} a user",
    }
    name = "interactions a user" if axis == "length" else axis
    return f"{name} ({', '.join(text for other, text in same.items() if other != axis)})"


if __name__ == "__main__":
    main()
