"""Data frames as tables: of polars, of pandas, or anything that offers Arrow's stream, such as a table of pyarrow."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from genre_gen.data.frames import is_arrow, is_pandas
from genre_gen.data.readers.files import Table
from genre_gen.data.readers.values import whole_numbers
from genre_gen.errors import DataError, UsageError


def from_frame(frame: Any, name: str) -> Table:
    """Return a data frame as a table; ``name`` replaces the file name in messages.

    Raises:
        UsageError, DataError: as ``to_polars``.
    """
    return Table(pl.DataFrame(list(map(plain, to_polars(frame, name)))), name, lambda record: f"row {record + 1}")


def to_polars(frame: Any, name: str) -> pl.DataFrame:
    """Convert a data frame to polars; a pandas index of ids becomes a column. ``name`` is for messages.

    Raises:
        UsageError: no data frame.
        DataError: one without rows, or with a column name twice.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    elif is_pandas(frame):
        frame = _from_pandas(frame, name)
    elif not isinstance(frame, pl.DataFrame):
        if not is_arrow(frame):
            raise UsageError(
                f"{name} is of type {type(frame).__name__}; give a path or a data frame of polars or pandas"
            )
        frame = pl.DataFrame(frame)
    if frame.is_empty():
        raise DataError(f"{name}: the data frame has no rows or no columns; check how it was made")
    return frame


def plain(column: pl.Series) -> pl.Series:
    """Convert a column to a type of files: text for categories and flags, null for NaN, integers for whole floats."""
    if column.dtype in (pl.Categorical, pl.Enum, pl.Boolean, pl.Null):
        return column.cast(pl.String).fill_null("")
    if column.dtype == pl.String:
        return column.fill_null("")
    return whole_numbers(column)


def _from_pandas(frame: Any, name: str) -> pl.DataFrame:
    """Convert a pandas data frame to polars, without importing pandas; an index of ids becomes a column."""
    levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
    index = [
        (str(level.name if level.name is not None else "index"), level.to_series())
        for level in levels
        if level.name is not None or level.dtype.kind not in "iuf"  # otherwise rows are merely numbered
    ]
    columns = [(str(label), frame.iloc[:, position]) for position, label in enumerate(frame.columns)]
    names = [label for label, _ in columns]
    if len(set(names)) < len(names):
        raise DataError(f"{name}: a column name is repeated in {', '.join(names)}; rename one")
    columns = [*((label, column) for label, column in index if label not in names), *columns]
    return pl.DataFrame([_from_pandas_column(label, column) for label, column in columns])


def _from_pandas_column(name: str, column: Any) -> pl.Series:
    if column.dtype.kind == "M":
        unit = re.search(r"\[(ms|us|ns)\b", str(column.dtype))  # datetime64[ns, UTC], timestamp[us][pyarrow]
        kept = f"datetime64[{unit[1] if unit else 'ms'}]"
        return pl.Series(name, column.to_numpy(kept))  # in UTC; a missing time becomes null
    missing = column.isna().tolist()
    values = [None if absent else value for value, absent in zip(column.tolist(), missing, strict=True)]
    try:
        series = pl.Series(name, values, strict=True)
    except (TypeError, pl.exceptions.PolarsError):  # values of several types
        series = pl.Series(name, values, pl.Object)
    if series.dtype != pl.Object:
        return series
    return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)
