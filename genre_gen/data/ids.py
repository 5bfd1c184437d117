"""Ids that became numbers: a table that was read with a missing value writes the id 5863 as 5863.0."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_AS_NUMBER = r"^(-?\d+)\.0+$"


def other_form(written: str, known: Container[str]) -> str | None:
    """Return the known id that is the same whole number: 5863 for 5863.0, and the reverse; None if there is none."""
    number = re.match(_AS_NUMBER, written)
    other = number[1] if number else f"{written}.0"
    return other if other in known else None


def bare(ids: pl.Series) -> pl.Series:
    """Return ids without ``.0`` behind whole numbers."""
    return ids.str.replace(_AS_NUMBER, "${1}") if ids.str.ends_with("0").any() else ids


def all_whole(ids: pl.Series) -> bool:
    """Tell whether the ids of a column are whole numbers, some of them with ``.0``: then it was read as floats."""
    if not ids.str.contains(".0", literal=True).any():
        return False
    return bool(ids.str.contains(_AS_NUMBER).any()) and bool(ids.str.contains(r"^(-?\d+(\.0+)?)?$").all())


def tied(ids: pl.Series, known: pl.Series) -> pl.Series:
    """Return ids in the form of the known ones: 5863.0 as 5863 if only that is known, and the reverse.

    Ids that are known as they are, and those with several known forms or none, are unchanged.
    """
    import polars as pl

    lacking = (~ids.is_in(known.implode())).arg_true()
    if not len(lacking):
        return ids
    forms = pl.DataFrame([bare(known).alias("bare"), known.alias("known")]).unique("bare", keep="none")
    written = pl.DataFrame([bare(ids[lacking]).alias("bare"), ids[lacking].alias("written")])
    same = written.join(forms, on="bare", how="left", maintain_order="left").select(pl.coalesce("known", "written"))
    return ids.clone().scatter(lacking, same.to_series())  # scatter changes its own series
