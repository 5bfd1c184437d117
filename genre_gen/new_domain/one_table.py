"""One table for both: which columns of the interactions belong to their items."""

from __future__ import annotations

import polars as pl

from genre_gen.data.readers.files import Table
from genre_gen.data.readers.items_of_log import items_of_log, usual_values
from genre_gen.data.readers.values import is_single, text
from genre_gen.new_domain.column_types import are_titles
from genre_gen.new_domain.decisions import NONE, Decisions

_AGREE = 0.9  # the least share of lines with the usual value of their item
_BETTER = 0.2  # the largest share of other values, relative to that in shuffled lines
_SHUFFLES, _LINES = 5, 10_000  # in a table of fewer lines, the lines are shuffled several times


def items_in(known: Decisions) -> Table | None:
    """Return a table of the items that the lines of interactions describe; None if they only have ids."""
    ids, item = text(known.of("item")), known.columns["item"]
    given = {known.given.get("title"), known.given.get("text")} - {None, NONE}
    used = {*known.columns.values(), *(choice.column for choice in known.left_out)}
    own = []
    for values in known.log.frame:
        belongs = values.name in given or (values.name not in used and is_own(ids, values))
        if belongs is None:
            known.leave_out(values.name, "no item has two lines with a value, so it may belong to the interaction")
        elif belongs:
            own.append(values.name)
    if not {*own} - {item} and item not in given and not are_titles(ids):
        return None
    return items_of_log(known.log, item, own)


def is_own(ids: pl.Series, values: pl.Series) -> bool | None:
    """Tell whether a column belongs to the items: their lines agree, much more than lines that are shuffled.

    None if no item has two lines with a value.
    """
    written = _written(values)
    if written is None:
        return False
    agree = _agreement(ids, written)
    if agree is None:
        return None
    return agree >= _AGREE and 1 - agree < _BETTER * (1 - _shuffled(ids, written))


def _written(values: pl.Series) -> pl.Series | None:
    """Return a column as text, also one of lists; None if it cannot be."""
    if is_single(values):
        return text(values)
    if isinstance(values.dtype, pl.List) and is_single(values.explode()):
        return values.cast(pl.List(pl.String)).list.join("|", ignore_nulls=True).fill_null("")
    return None


def _agreement(ids: pl.Series, values: pl.Series) -> float | None:
    """Return the share of lines with the usual value of their item, of items with several; None if there are none."""
    usual = usual_values(ids, values).filter(pl.col("lines") > 1)
    return float(usual["most"].to_numpy().sum() / usual["lines"].to_numpy().sum()) if len(usual) else None


def _shuffled(ids: pl.Series, values: pl.Series) -> float:
    """Return the same share for lines with the values of other lines."""
    known = (ids != "") & (text(values) != "")
    ids, values = ids.filter(known), values.filter(known)
    times = _SHUFFLES if len(ids) < _LINES else 1
    return sum(_agreement(ids, values.shuffle(seed)) or 1.0 for seed in range(times)) / times
