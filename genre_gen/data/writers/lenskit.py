"""LensKit's own files: a data set as ``lenskit.data.Dataset.load`` reads it, and lists of items.

Checked with LensKit 2025.8.1, whose layout of files is ``2025.3``.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.writers.files import replace_file, write_parquet

VERSION = "2025.3"


def write_lenskit(folder: Path, catalog: Catalog, interactions: Interactions) -> list[Path]:
    """Write a data set for ``lenskit.data.Dataset.load(folder)``; returns the files.

    All items are in it, also those without interactions. The interactions are called ``rating`` where the data has
    ratings, else ``interaction``.
    """
    items = catalog.to_frame()
    measures = interactions.to_frame(catalog).drop("user_id", "item_id")
    users, rows = interactions.owners, interactions.rows
    numbers = [pl.Series("user_num", users, pl.Int32), pl.Series("item_num", rows, pl.Int32)]
    table = pl.DataFrame([*numbers, *measures.get_columns()])
    repeats = bool(table.select("user_num", "item_num").is_duplicated().any())
    kind = "interaction" if interactions.ratings is None else "rating"
    tables = {
        "user": pl.DataFrame({"user_id": interactions.users}, schema={"user_id": pl.String}),
        "item": items,
        kind: table if repeats else table.sort("user_num", "item_num"),  # as LensKit wants what does not repeat
    }
    relationship = {
        "entities": {"user": None, "item": None},
        "interaction": True,
        "repeats": "present" if repeats else "forbidden",
        "attributes": _attributes(measures),
    }
    schema = {
        "version": VERSION,
        "name": catalog.name,
        "default_interaction": kind,
        "entities": {
            "item": {"id_type": "str", "attributes": _attributes(items.drop("item_id"))},
            "user": {"id_type": "str", "attributes": {}},
        },
        "relationships": {kind: relationship},
    }
    files = []
    for name, frame in tables.items():
        files.append(folder / f"{name}.parquet")
        replace_file(files[-1], partial(write_parquet, frame))
    files.append(folder / "schema.json")
    replace_file(files[-1], lambda path: path.write_text(json.dumps(schema), encoding="utf-8", newline="\n"))
    return files


def _attributes(frame: pl.DataFrame) -> dict[str, Any]:
    lists = {name: isinstance(dtype, pl.List) for name, dtype in frame.schema.items()}
    return {name: {"layout": "list" if is_list else "scalar"} for name, is_list in lists.items()}


def write_lists(path: Path, table: pl.DataFrame) -> None:
    """Write lists of items for ``lenskit.data.ItemListCollection.load_parquet(path)``, one per user.

    Args:
        path: the file.
        table: an item a row, each user's in order: ``user_id``, ``item_id`` and what else is said of it, such as
            ``rank`` and ``score``. A user whose item is null has an empty list.
    """
    named = [name for name in table.columns if name != "user_id"]
    items = pl.struct(named).filter(pl.col("item_id").is_not_null()).alias("items")
    lists = table.group_by("user_id", maintain_order=True).agg(items)
    replace_file(path, partial(write_parquet, lists))
