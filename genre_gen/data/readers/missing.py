"""Marks for a missing value, such as ``NULL``; ``data.missing`` lists them.

An id is never a mark. Words may be (a film is called "None"), so among words a mark counts where it occurs in several
records.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl


def is_missing(written: str, marks: Collection[str]) -> pl.Expr:
    """Tell which values of a column are empty or a mark."""
    return pl.col(written).is_in(["", *marks])


def marks_among_words(written: pl.Series, marks: Collection[str]) -> pl.Series:
    """Tell which texts are marks that occur in several records."""
    marked = written.is_in(list(marks))
    return marked & ~written.is_unique() if marked.any() else marked


def marks_among_labels(lists: pl.Series, marks: Collection[str]) -> pl.DataFrame:
    """Return the labels that are marks in several records: columns ``record`` and ``label``, in the order of records.

    Args:
        lists: lists of labels without repeated ones.
        marks: texts that mean that there is no value.
    """
    labels = lists.alias("label").to_frame().with_row_index("record").explode("label")
    marked = labels.filter(pl.col("label").is_in(list(marks)))
    return marked.filter(pl.col("label").is_duplicated())
