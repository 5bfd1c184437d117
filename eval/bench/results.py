"""Results: one JSON file for each script, with the table of each entry, and a page of all tables.

A file maps keys (a data set, a run) to entries: the figures, and under ``table`` the lines of their Markdown table.
``README.md`` of the folder shows all tables; it is written again with every entry.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genre_gen.errors import DataError

TABLE = "table"
PAGE = "README.md"
ABOUT = "Each table is of an entry of the JSON file named above it. Written by the scripts of `eval/`: do not edit."


def record(out: Path, stem: str, key: str, figures: Mapping[str, Any], table: str) -> None:
    """Put an entry into ``out/STEM.json``, and write the folder's page again.

    Args:
        out: folder of results; made if missing.
        stem: name of the script's file.
        key: name of the entry, such as the data set; an entry with the same key is replaced.
        figures: JSON values; numbers that are not finite become null.
        table: caption and table as Markdown.
    """
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{stem}.json"
    entries = read(file) if file.exists() else {}
    entries[key] = {**finite(figures), TABLE: table.rstrip("\n").split("\n")}
    write_text(file, json.dumps(dict(sorted(entries.items())), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(out / PAGE, page(out))


def read(file: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of a file; raises DataError if it is not a file of results."""
    try:
        entries: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8"))
        if all(TABLE in entry for entry in entries.values()):
            return entries
    except (OSError, ValueError, AttributeError, TypeError):
        pass
    raise DataError(f"{file}: not a file of results; delete it, or give another --out")


def finite(value: Any) -> Any:
    """Return JSON values with null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page(out: Path) -> str:
    """Return all tables of a folder as one Markdown page."""
    parts = ["# Results", ABOUT]
    for file in sorted(out.glob("*.json")):
        parts.append(f"## {file.stem}.json")
        for key, entry in read(file).items():
            parts += [f"### {file.stem}: {key}", "\n".join(entry[TABLE])]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, words: int = 1) -> str:
    """Return a Markdown table; all columns but the first ``words`` ones are aligned to the right."""
    rules = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in (head, rules, *rows))


def p_text(p: float | None) -> str:
    """Return a p-value as text; "" for None."""
    return "" if p is None else f"{p:.4f}" if p >= 1e-4 else "< .0001"  # noqa: PLR2004 the digits shown


def with_interval(value: float, interval: Sequence[float], digits: int = 4) -> str:
    """Return a figure with its interval."""
    return f"{value:.{digits}f} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def write_text(file: Path, text: str) -> None:
    """Write a file atomically."""
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)


def public(value: Any) -> Any:
    """Return a setting for publication, with only the last part of local paths."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
