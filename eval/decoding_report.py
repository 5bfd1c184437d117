"""The tables and the picture of eval/decoding_speed.py."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def save(content: Row, file: Path) -> None:
    """Write the figures as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def report(content: Row, file: Path) -> None:
    """Write the tables and the picture next to the JSON file."""
    file.with_suffix(".md").write_text(markdown(content), encoding="utf-8")
    draw(content, file.with_suffix(".png"))


def markdown(content: Row) -> str:
    """Return all tables; figures are medians with the least and the greatest."""
    where = content["machine"]
    text = [
        "# Decoding speed",
        "",
        f"`eval/decoding_speed.py`, {content['model']}, prompts of up to {content['prompt_tokens']} tokens, "
        f"{where['threads']} threads, {where['system']}, torch {where['torch']}. Medians (least to greatest), "
        "measured by turns.",
    ]
    for part, title, table in (
        ("trie", "Stores of codes", trie_table),
        ("search", "Requests against catalogs of every size", search_table),
        ("peers", "Ways to generate", peer_table),
        ("users", "Users at once", user_table),
        ("default", "The default of ours, and the usual way", default_table),
    ):
        if part in content:
            text += ["", f"## {title}", "", *table(content[part])]
    return "\n".join(text) + "\n"


def trie_table(rows: list[Row]) -> list[str]:
    """Return build costs and steps of the stores."""
    beams = sorted({row["beams"] for row in rows if "beams" in row})
    lines = grid("items", "store", "build s", "bytes per item", *(f"µs per step, {b} beams" for b in beams))
    steps = {(row["items"], row["name"], row["beams"]): row["us"] for row in rows if "us" in row}
    for row in rows:
        if "failure" in row:
            lines.append(line(f"{row['items']:,}", row["name"], row["failure"], "", *([""] * len(beams))))
        elif "build_seconds" in row:
            own = [shown(steps.get((row["items"], row["name"], b)), 0) for b in beams]
            cells = f"{row['build_seconds']:.2f}", f"{row['bytes_per_item']:.0f}"
            lines.append(line(f"{row['items']:,}", row["name"], *cells, *own))
    return lines


def search_table(rows: list[Row]) -> list[str]:
    """Return milliseconds per request and what they are beside a bare pass."""
    passes = ("bare_pass_ms", "packed_pass_ms")
    names = "ms per request", "ms of a bare pass", "ms with packed layers", "ratio to these", "outside the model"
    lines = grid("layers", "beams", "items", *names, "of it the constraint")
    for row in rows:
        ratios = ", ".join(f"{row['ms']['median'] / row[one]['median']:.2f}" for one in passes)
        beside = (f"{row[part]:.1%}" for part in ("outside_model", "constraint"))
        cells = shown(row["ms"]), *(shown(row[one]) for one in passes), ratios, *beside
        lines.append(line(row["layers"] or "all", row["beams"], f"{row['items']:,}", *cells))
    return lines


def peer_table(rows: list[Row]) -> list[str]:
    """Return milliseconds per request, how often ours is faster, and the checks."""
    lines = grid("items", "way", "build s", "MB", "beams", "ms per request", "times the fastest")
    builds = {(row["items"], row["name"]): row for row in rows if "build_seconds" in row}
    for row in rows:
        build = builds.get((row["items"], row["name"]), {})
        costs = (f"{build['build_seconds']:.2f}", f"{build['bytes'] / 1e6:.0f}") if build else ("", "")
        name, beams = row["name"], row.get("beams", "")
        if "failure" in row:
            lines.append(line(f"{row['items']:,}", name, *costs, beams, row["failure"], ""))
        elif "ms" in row:
            best = min(
                o["ms"]["median"] for o in rows if "ms" in o and (o["items"], o["beams"]) == (row["items"], beams)
            )
            ratio = f"{row['ms']['median'] / best:.1f}"
            lines.append(line(f"{row['items']:,}", name, *costs, beams, shown(row["ms"]), ratio))
    checks = [row for row in rows if "same" in row]
    good = sum(row["same"] for row in checks)
    apart = max((row["apart"] for row in checks), default=0.0)
    lines += ["", f"Same items and scores in {good} of {len(checks)} comparisons; furthest apart {apart:.1e}."]
    return lines


def user_table(rows: list[Row]) -> list[str]:
    """Return users per second."""
    names = "one at a time", "together", "times", "times by the processor", "same"
    lines = grid("tokens per code", "bits", "items of a history", "users", *names)
    kinds = ("code_tokens", "quantization", "history", "users")
    known = {(*(row[kind] for kind in kinds), row["together"]): row for row in rows}
    for row in rows:
        if row["together"]:
            own = [row[kind] for kind in kinds]
            alone, together = known[(*own, False)], known[(*own, True)]
            same = {True: "yes", False: "NO", None: ""}[row["same"]]
            measures = "users_per_second", "users_per_processor_second"
            times = [f"{together[one]['median'] / alone[one]['median']:.1f}" for one in measures]
            lines.append(line(*own, *(shown(way[measures[0]]) for way in (alone, together)), *times, same))
    return lines


def default_table(rows: list[Row]) -> list[str]:
    """Return milliseconds per request, and how many times faster than the usual way."""
    lines = grid("way", "ms per request", "times the usual way's speed")
    for row in rows:
        lines.append(line(row["name"], shown(row["ms"]), f"{row['times']:.0f}" if "times" in row else ""))
    return lines


def grid(*names: str) -> list[str]:
    """Return the head of a table."""
    return [line(*names), line(*(["---"] * len(names)))]


def line(*cells: Any) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def shown(figure: dict[str, float] | None, digits: int = 1) -> str:
    """Return a median with its spread."""
    if figure is None:
        return ""
    return f"{figure['median']:,.{digits}f} ({figure['low']:,.{digits}f} to {figure['high']:,.{digits}f})"


def draw(content: Row, file: Path) -> None:
    """Draw cost against the size of the catalog: per step of the stores, and per request of the ways to generate."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(16, 5), layout="constrained")
    curves(left, [row for row in content.get("trie", []) if row.get("beams") == 20], "us")  # noqa: PLR2004
    curves(right, [row for row in content.get("peers", []) if row.get("beams") == 20], "ms")  # noqa: PLR2004
    left.set(title="Stores of codes, 20 beams", ylabel="µs per step")
    right.set(title="Ways to generate, 20 beams", ylabel="ms per request")
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


COLOURS = (*(f"C{place}" for place in range(10)), "black")
MARKERS = "osD^v<>Ph*Xpd8"  # not as many as colours, so that no two of the ways are drawn alike


def curves(axes: Any, rows: list[Row], key: str) -> None:
    """Draw one curve for each name over the sizes, ours solid; the legend beside it is in the order of the curves."""
    rows = sorted((row for row in rows if key in row), key=lambda row: row["items"])  # runs append to the file
    names = dict.fromkeys(row["name"] for row in rows)
    for name, colour, marker in zip(names, itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False):
        own = [row for row in rows if row["name"] == name]
        line = "-" if name.startswith("ours") else "--"
        medians = [row[key]["median"] for row in own]
        axes.plot([row["items"] for row in own], medians, line, color=colour, marker=marker, label=name)
    axes.set(xscale="log", yscale="log", xlabel="items in the catalog")
    if rows:
        costs = {name: max(row[key]["median"] for row in rows if row["name"] == name) for name in names}
        drawn = sorted(axes.get_lines(), key=lambda one: -costs[one.get_label()])
        axes.legend(handles=drawn, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
