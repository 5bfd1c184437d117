"""Data frames of polars, or of pandas if it is installed, with the column names of other libraries.

LensKit, RecTools and Surprise read ``user_id``, ``item_id``, ``rating``, ``timestamp``, ``rank`` and ``score``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from genre_gen.errors import UsageError
from genre_gen.extras import require

if TYPE_CHECKING:
    import polars as pl

Library: TypeAlias = Literal["polars", "pandas"]
"""The library of a data frame."""


class Frame(Protocol):
    """A data frame of polars, pandas or pyarrow, as far as it is known to type checkers."""

    @property
    def columns(self) -> Any:
        """The columns, or their names."""


def is_frame(value: object) -> bool:
    """Tell whether a value is a data frame that a reader takes; no library of data frames is imported for it."""
    polars = sys.modules.get("polars")
    kinds = tuple(filter(None, (getattr(polars, name, None) for name in ("DataFrame", "LazyFrame"))))
    return isinstance(value, kinds) or is_pandas(value) or is_arrow(value)


def is_pandas(value: object) -> bool:
    """Tell whether a value is a data frame of pandas."""
    return hasattr(value, "iloc") and hasattr(value, "columns")


def is_arrow(value: object) -> bool:
    """Tell whether a value is a table that offers Arrow's stream."""
    return hasattr(value, "__arrow_c_stream__") and hasattr(value, "column_names")


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
    import polars as pl

    if column.dtype.is_integer() and column.null_count():
        return pandas.array(column.to_list(), dtype="Int64")
    if column.dtype.is_numeric():
        return column.to_numpy()
    return pandas.Series(column.to_list(), dtype=None if column.dtype == pl.String else object)


def values_column(name: str, values: Sequence[Any]) -> pl.Series:
    """Return attributes as a column: of labels, text, integers or numbers, whatever holds all of them; None is null."""
    import polars as pl

    known = [value for value in values if value is not None]
    if any(isinstance(value, tuple) for value in known):
        lists = [None if value is None else list(value) for value in values]
        return pl.Series(name, lists, pl.List(pl.String), strict=False)
    if not known or any(isinstance(value, str) for value in known):
        return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)
    return pl.Series(name, values, pl.Int64 if all(isinstance(value, int) for value in known) else pl.Float64)
