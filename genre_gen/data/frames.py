"""Data frames of polars, or of pandas if it is installed, with the column names of other libraries.

LensKit, RecTools and Surprise read ``user_id``, ``item_id``, ``rating``, ``timestamp``, ``rank`` and ``score``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import polars as pl

from genre_gen.errors import UsageError
from genre_gen.extras import require

Library: TypeAlias = Literal["polars", "pandas"]
"""The library of a data frame."""


def in_library(frame: pl.DataFrame, library: Library) -> Any:
    """Return a frame of polars as one of the library that was asked for.

    A missing value is pandas' own: NaN, or ``<NA>`` among integers. Lists are lists of Python.

    Raises:
        UsageError: another library.
        MissingPackageError: pandas is not installed.
    """
    if library == "polars":
        return frame
    if library != "pandas":
        raise UsageError(f"a data frame of {library!r}; choose polars or pandas")
    pandas = require("pandas", "pandas", "data frames of pandas")
    return pandas.DataFrame({column.name: _pandas_column(pandas, column) for column in frame})


def _pandas_column(pandas: Any, column: pl.Series) -> Any:
    if column.dtype.is_integer() and column.null_count():
        return pandas.array(column.to_list(), dtype="Int64")
    if column.dtype.is_numeric():
        return column.to_numpy()
    return pandas.Series(column.to_list(), dtype=None if column.dtype == pl.String else object)


def values_column(name: str, values: Sequence[Any]) -> pl.Series:
    """Return attributes as a column: of labels, text, integers or numbers, whatever holds all of them; None is null."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, tuple) for value in known):
        lists = [None if value is None else list(value) for value in values]
        return pl.Series(name, lists, pl.List(pl.String), strict=False)
    if not known or any(isinstance(value, str) for value in known):
        return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)
    return pl.Series(name, values, pl.Int64 if all(isinstance(value, int) for value in known) else pl.Float64)
