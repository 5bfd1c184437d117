"""Pictures of the server's measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.plots import BLUE, DARK_GREY, GREY, INK, LIGHT_BLUE, new_figure, save


def load(figures: Mapping[str, Any], file: Path) -> None:
    """Draw latency by rate, and the answers in time by rate; nothing without levels of lists."""
    rows = list(figures.get("lists", {}).get("levels", [])) + list(figures.get("lists", {}).get("stated", []))
    if "overload" in figures:
        rows.append(figures["overload"])
    if not rows:
        return
    rows.sort(key=lambda row: row["rate"])
    rates = np.array([row["rate"] for row in rows])
    figure, (left, right) = new_figure(9.0, 3.6, columns=2)
    for name, colour in (("p50", LIGHT_BLUE), ("p99", BLUE)):
        values = np.array([_finite(row["lists"]["ms"][name]) for row in rows])
        left.plot(rates, values, "o-", color=colour, label=name)
    left.axhline(100, color=GREY, linestyle="--", linewidth=1)
    left.set(xlabel="requests for lists a second", ylabel="ms from the intended moment", yscale="log")
    left.legend(frameon=False)
    right.plot(rates, rates, color=GREY, linestyle="--", linewidth=1)
    right.plot(rates, [row["goodput"] for row in rows], "o-", color=INK, label="answered in time")
    right.plot(rates, [100 * row["server_cores"] for row in rows], "s-", color=DARK_GREY, label="server, % of a core")
    right.set(xlabel="requests for lists a second", ylabel="a second")
    right.legend(frameon=False)
    save(figure, file)


def _finite(value: float | None) -> float:
    return float("nan") if value is None or not np.isfinite(value) else value
