"""Tables for notebooks: HTML without scripts, text colours or external resources; all values are escaped.

Colours come from the notebook, so that a light and a dark one are both readable.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from genre_gen.data.printable import printable

LINE = "1px solid rgba(128,128,128,.35)"
CELL = "padding:.2em .7em;vertical-align:top;"
LEFT, RIGHT = "text-align:left;max-width:42em;white-space:normal", "text-align:right;white-space:nowrap"
MARK = "#0072B2"
"""The colour of bars, which stands out from white and from black."""


def escaped(value: Any) -> str:
    """Return a value as text for a page: unprintable characters shown, HTML as it is written."""
    return html.escape(printable(str(value)))


def html_block(*parts: str) -> str:
    """Return parts of a page, which are HTML already, as one; dollar signs in it are not typeset as formulas."""
    return f'<div class="tex2jax_ignore mathjax_ignore" style="overflow-x:auto">{"".join(parts)}</div>'


def html_text(text: str, *, small: bool = False) -> str:
    """Return a paragraph."""
    style = "margin:.3em 0;" + ("font-size:90%;opacity:.75;" if small else "")
    return f'<p style="{style}">{escaped(text)}</p>'


def html_table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Iterable[int] = (), caption: str = ""
) -> str:
    """Return a table.

    Args:
        header: names of the columns.
        rows: cells, in text or as what ``str`` makes of them.
        numbers: columns that are aligned to the right.
        caption: the line above it.
    """
    right = set(numbers)
    sides = [RIGHT if column in right else LEFT for column in range(len(header))]

    def line(tag: str, cells: Sequence[Any]) -> str:
        styled = zip(cells, sides, strict=True)
        return "".join(f'<{tag} style="{CELL}{side}">{escaped(cell)}</{tag}>' for cell, side in styled)

    head = f'<thead><tr style="border-bottom:{LINE}">{line("th", header)}</tr></thead>' if any(header) else ""
    body = "".join(f'<tr style="border-bottom:{LINE}">{line("td", row)}</tr>' for row in rows)
    title = f'<caption style="caption-side:top;text-align:left;padding:.2em .7em">{escaped(caption)}</caption>'
    table = "border-collapse:collapse;margin:.3em 0;color:inherit;font-size:inherit"
    return f'<table style="{table}">{title if caption else ""}{head}<tbody>{body}</tbody></table>'


def html_bar(share: float, width: str = "14em") -> str:
    """Return a bar of which a share, 0 to 1, is filled."""
    filled = f'<span style="display:block;height:100%;width:{100 * share:.1f}%;background:{MARK}"></span>'
    frame = "display:inline-block;height:.8em;background:rgba(128,128,128,.3);vertical-align:middle;overflow:hidden"
    return f'<span style="{frame};width:{width}">{filled}</span>'
