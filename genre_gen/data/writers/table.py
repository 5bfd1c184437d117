"""Plain tables, CSV or Parquet, which the reader of tables reads back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from genre_gen.data.catalog import Catalog
from genre_gen.data.writers.files import joined, replace_file, separator_of


def write_tables(
    folder: Path, catalog: Catalog, parts: Mapping[str, pl.DataFrame], form: Literal["csv", "parquet"] = "csv"
) -> list[Path]:
    """Write ``items`` and each part (``interactions``, or those of a split) as tables; returns the files.

    In CSV, labels are joined by ``|``, or where a label contains it by the next mark that none contains.

    Raises:
        DataError: labels that cannot be joined.
    """
    items = catalog.to_frame()
    if form == "csv":
        items = joined(items, separator_of(catalog))
    files = []
    for name, frame in {"items": items, **parts}.items():
        files.append(folder / f"{name}.{form}")
        replace_file(files[-1], frame.write_csv if form == "csv" else frame.write_parquet)
    return files
