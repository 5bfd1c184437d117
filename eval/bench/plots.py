"""Figures: drawn without a display, and without pyplot's global state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BLUE, LIGHT_BLUE, GREY, DARK_GREY, INK = "#0072B2", "#56B4E9", "#B8BEC4", "#8A9096", "#222222"


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1, **options: Any) -> tuple[Any, Any]:
    """Return a figure and its panels (one, or an array of them), with open frames; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, **options)
    for panel in getattr(panels, "flat", [panels]):
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def save(figure: Any, file: Path) -> None:
    """Write a picture."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)
