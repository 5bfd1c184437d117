"""Parquet files as tables."""

from __future__ import annotations

import io

import polars as pl

from genre_gen.data.readers.files import Folder, Table, content_of, unpacked_limit
from genre_gen.errors import DataError


def read_parquet(file: Folder) -> Table:
    """Read a Parquet file; raises DataError if it cannot be read."""
    data = content_of(file)
    try:
        rows = pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item()
        columns = len(pl.read_parquet_schema(io.BytesIO(data)))
        if 8 * rows * columns > unpacked_limit(len(data)):
            raise DataError(f"{file}: {rows:,} rows in {len(data):,} bytes; if that is right, save it as CSV")
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as problem:
        raise DataError(f"{file}: not a readable Parquet file: {str(problem).splitlines()[0]}") from None
    return Table(frame.with_columns(pl.col(pl.String).fill_null("")), str(file), lambda record: f"row {record + 1}")
