"""The tables and the picture of ``eval.decoding.speed``."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from eval.bench.plots import new_figure, save
from eval.bench.results import table

Row = dict[str, Any]


def markdown(content: Row) -> str:
    """Return all tables; figures are medians with minimum and maximum."""
    machine = content["machine"]
    text = [
        f"{content['model']}, prompts of up to {content['prompt_tokens']} tokens, {machine['threads']} threads, "
        f"{machine['system']}, torch {machine['torch']}. Medians (minimum to maximum), measured alternately."
    ]
    for part, title, table_of in (
        ("trie", "Stores of codes", trie_table),
        ("search", "Requests against catalogs of every size", search_table),
        ("peers", "Ways to generate", peer_table),
        ("users", "Users at once", user_table),
        ("default", "The default of ours, and the usual way", default_table),
    ):
        if part in content:
            text += [f"#### {title}", table_of(content[part])]
    return "\n\n".join(text)


def trie_table(rows: list[Row]) -> str:
    """Return build costs and steps of the stores."""
    beams = sorted({row["beams"] for row in rows if "beams" in row})
    steps = {(row["items"], row["name"], row["beams"]): row["us"] for row in rows if "us" in row}
    lines = []
    for row in rows:
        items, name = f"{row['items']:,}", row["name"]
        if "failure" in row:
            lines.append([items, name, row["failure"], "", *([""] * len(beams))])
        elif "build_seconds" in row:
            us = [shown(steps.get((row["items"], name, count)), 0) for count in beams]
            lines.append([items, name, f"{row['build_seconds']:.2f}", f"{row['bytes_per_item']:.0f}", *us])
    head = ("items", "store", "build s", "bytes per item", *(f"µs per step, {count} beams" for count in beams))
    return table(head, lines, words=2)


def search_table(rows: list[Row]) -> str:
    """Return milliseconds per request and their ratio to a bare pass."""
    passes = ("bare_pass_ms", "packed_pass_ms")
    lines = []
    for row in rows:
        ratios = ", ".join(f"{row['ms']['median'] / row[name]['median']:.2f}" for name in passes)
        shares = (f"{row[part]:.1%}" for part in ("outside_model", "constraint"))
        cells = shown(row["ms"]), *(shown(row[name]) for name in passes), ratios, *shares
        lines.append([row["layers"] or "all", row["beams"], f"{row['items']:,}", *cells])
    names = "ms per request", "ms of a bare pass", "ms with packed layers", "ratio to these", "outside the model"
    return table(("layers", "beams", "items", *names, "of it the constraint"), lines)


def peer_table(rows: list[Row]) -> str:
    """Return milliseconds per request, the speed-up of ours, and the checks."""
    builds = {(row["items"], row["name"]): row for row in rows if "build_seconds" in row}
    fastest: dict[tuple[int, int], float] = {}
    for row in rows:
        if "ms" in row:
            asked, ms = (row["items"], row["beams"]), row["ms"]["median"]
            fastest[asked] = min(ms, fastest.get(asked, ms))
    lines = []
    for row in rows:
        build = builds.get((row["items"], row["name"]), {})
        costs = (f"{build['build_seconds']:.2f}", f"{build['bytes'] / 1e6:.0f}") if build else ("", "")
        cells = [f"{row['items']:,}", row["name"], *costs, row.get("beams", "")]
        if "failure" in row:
            lines.append([*cells, row["failure"], ""])
        elif "ms" in row:
            ratio = row["ms"]["median"] / fastest[row["items"], row["beams"]]
            lines.append([*cells, shown(row["ms"]), f"{ratio:.1f}"])
    checks = [row for row in rows if "same" in row]
    same, apart = sum(row["same"] for row in checks), max((row["apart"] for row in checks), default=0.0)
    made = table(("items", "way", "build s", "MB", "beams", "ms per request", "times the fastest"), lines, words=2)
    return f"{made}\n\nSame items and scores in {same} of {len(checks)} comparisons; furthest apart {apart:.1e}."


def user_table(rows: list[Row]) -> str:
    """Return users per second."""
    kinds = ("code_tokens", "quantization", "history", "users")
    alone_of = {tuple(row[kind] for kind in kinds): row for row in rows if not row["together"]}
    lines = []
    for together in (row for row in rows if row["together"]):
        asked = tuple(together[kind] for kind in kinds)
        alone = alone_of[asked]
        measures = "users_per_second", "users_per_processor_second"
        times = [f"{together[name]['median'] / alone[name]['median']:.1f}" for name in measures]
        same = {True: "yes", False: "NO", None: ""}[together["same"]]
        lines.append([*asked, *(shown(way[measures[0]]) for way in (alone, together)), *times, same])
    names = "one at a time", "together", "times", "times by the processor", "same"
    return table(("tokens per code", "bits", "items of a history", "users", *names), lines)


def default_table(rows: list[Row]) -> str:
    """Return milliseconds per request, and the speed relative to the usual way."""
    lines = [(row["name"], shown(row["ms"]), f"{row['times']:.0f}" if "times" in row else "") for row in rows]
    return table(("way", "ms per request", "times the usual way's speed"), lines)


def shown(figure: dict[str, float] | None, digits: int = 1) -> str:
    """Return a median with its spread."""
    if figure is None:
        return ""
    return f"{figure['median']:,.{digits}f} ({figure['low']:,.{digits}f} to {figure['high']:,.{digits}f})"


def draw(content: Row, file: Path) -> None:
    """Draw cost against the size of the catalog: per step of the stores, and per request of the ways to generate."""
    figure, (left, right) = new_figure(16, 5, 2)
    curves(left, [row for row in content.get("trie", []) if row.get("beams") == 20], "us")  # noqa: PLR2004
    curves(right, [row for row in content.get("peers", []) if row.get("beams") == 20], "ms")  # noqa: PLR2004
    left.set(title="Stores of codes, 20 beams", ylabel="µs per step")
    right.set(title="Ways to generate, 20 beams", ylabel="ms per request")
    save(figure, file)


COLOURS = (*(f"C{place}" for place in range(10)), "black")
MARKERS = "osD^v<>Ph*Xpd8"  # not as many as colours, so that no two curves look the same


def curves(axes: Any, rows: list[Row], key: str) -> None:
    """Draw one curve for each name over the sizes, ours solid; the legend next to it is in the order of the curves."""
    rows = sorted((row for row in rows if key in row), key=lambda row: row["items"])  # runs append to the file
    names = dict.fromkeys(row["name"] for row in rows)
    for name, colour, marker in zip(names, itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False):
        of_name = [row for row in rows if row["name"] == name]
        line = "-" if name.startswith("ours") else "--"
        medians = [row[key]["median"] for row in of_name]
        axes.plot([row["items"] for row in of_name], medians, line, color=colour, marker=marker, label=name)
    axes.set(xscale="log", yscale="log", xlabel="items in the catalog")
    if rows:
        costs = {name: max(row[key]["median"] for row in rows if row["name"] == name) for name in names}
        drawn = sorted(axes.get_lines(), key=lambda drawn_line: -costs[drawn_line.get_label()])
        axes.legend(handles=drawn, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
