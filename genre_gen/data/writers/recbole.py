"""RecBole's atomic files; :mod:`genre_gen.data.readers.recbole` reads them.

Format: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl

from genre_gen.data.catalog import Catalog
from genre_gen.data.writers.files import joined, replace_file, separator_of
from genre_gen.errors import DataError

log = logging.getLogger(__name__)
_UNSAFE = r'^"|[\t\r\n]'
"""What a value cannot contain: the format has no quotes, but RecBole reads a quotation mark at the beginning as one."""


def write_recbole(folder: Path, catalog: Catalog, parts: Mapping[str, pl.DataFrame]) -> list[Path]:
    """Write ``.item``, an ``.inter`` for each part, and RecBole's settings for them; returns the files.

    The files are named by the folder, as RecBole wants it: ``exports/movies/movies.inter`` is its ``dataset="movies"``
    in ``data_path="exports"``. Users have no file, since only their ids are known.

    Args:
        folder: where to write.
        catalog: the items.
        parts: name of a part -> its interactions. ``{"": all}`` is a data set, and ``train``, ``valid`` and ``test``
            are what RecBole calls a benchmark.

    Raises:
        DataError: ids that the format cannot hold.
    """
    name = folder.resolve().name
    items = catalog.to_frame()
    separator = separator_of(catalog, first=" ")
    for column, frame in [("item_id", items), *(("user_id", part) for part in parts.values())]:
        _check_ids(frame[column])
    files = {folder / f"{name}.item": _atomic(joined(items, separator), items.schema)}
    for part, frame in parts.items():
        files[folder / f"{name}{part and '.'}{part}.inter"] = _atomic(frame, frame.schema)
    for file, frame in files.items():
        replace_file(file, partial(frame.write_csv, separator="\t", quote_style="never"))
    settings = folder / f"{name}.yaml"
    text = _settings(name, separator, parts)
    replace_file(settings, lambda path: path.write_text(text, encoding="utf-8", newline="\n"))
    return [*files, settings]


def _check_ids(ids: pl.Series) -> None:
    wrong = ids.filter(ids.str.contains(_UNSAFE))
    if len(wrong):
        raise DataError(
            f"{len(wrong)} ids of {ids.name} cannot be written to an atomic file, the first is {wrong[0]!r}; use "
            "ids without tabs, line ends and a quotation mark at the beginning"
        )


def _atomic(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return a frame as text with typed names; texts that the format cannot hold are changed and counted."""
    written = frame.select(pl.all().cast(pl.String).fill_null(""))
    changed = sum(int(column.str.contains(_UNSAFE).sum()) for column in written)
    if changed:
        log.warning("%s texts with a tab, a line end or a leading quotation mark are written without it", changed)
        written = written.select(pl.all().str.replace(r'^"', "'").str.replace_all(r"[\t\r\n]+", " "))
    return written.rename({name: f"{name}:{_type(dtype)}" for name, dtype in schema.items()})


def _type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return "token_seq"
    return "float" if dtype.is_numeric() else "token"


def _settings(name: str, separator: str, parts: Mapping[str, pl.DataFrame]) -> str:
    """Return RecBole's settings; all items are loaded, so that all are ranked, and what JSON writes YAML reads."""
    columns = next(iter(parts.values())).columns
    settings = {
        "field_separator": "\t",
        "seq_separator": separator,
        "load_col": {"inter": columns, "item": ["item_id"]},
        "eval_args": {"group_by": "user", "order": "RO", "mode": "full"},
    }
    if "" not in parts:
        settings["benchmark_filename"] = list(parts)
    head = f"# run_recbole(model=..., dataset={name!r}, config_file_list=[this file], config_dict={{'data_path': ...}})"
    return "\n".join([head, *(f"{key}: {json.dumps(value)}" for key, value in settings.items()), ""])
