"""Items of a table of interactions: titles and attributes that stand with an item in its lines."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import is_single, text


def items_of_log(log: Table, item: str, columns: Iterable[str]) -> Table:
    """Return a table of items: one record per id in the column ``item``, in the order of their first lines.

    Other columns have the value that stands with the item most often, the first of equally frequent ones; empty values
    do not count.
    """
    ids = text(log.frame[item])
    first = (ids.is_first_distinct() & (ids != "")).arg_true()
    frame = pl.DataFrame([ids[first].alias(item)])
    for name in dict.fromkeys(columns):
        if name == item:
            continue
        values = log.frame[name]
        if is_single(values):
            usual = usual_values(ids, values).select(pl.col("id").alias(item), pl.col("value").alias(name))
            frame = frame.join(usual, on=item, how="left", maintain_order="left")
        else:
            frame = frame.with_columns(values[first])
    return Table(frame.with_columns(pl.col(pl.String).fill_null("")), log.file, lambda row: log.locate(int(first[row])))


def usual_values(ids: pl.Series, values: pl.Series) -> pl.DataFrame:
    """Return the most frequent ``value`` of each ``id``, in how many lines it stands (``most``), and of how many.

    Lines without an id or a value do not count.
    """
    pairs = pl.DataFrame({"id": ids, "value": text(values) if values.dtype == pl.String else values})
    pairs = pairs.filter((ids != "") & (text(values) != ""))
    counts = pairs.group_by("id", "value", maintain_order=True).agg(most=pl.len())
    counts = counts.with_columns(lines=pl.col("most").sum().over("id"))
    return counts.sort("most", descending=True, maintain_order=True).unique("id", keep="first", maintain_order=True)
