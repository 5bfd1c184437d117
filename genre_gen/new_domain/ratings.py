"""The column of ratings, its scale, and values that stand for "not rated"."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.readers.amounts import ratings as read_ratings
from genre_gen.data.readers.values import numbers
from genre_gen.errors import DataError
from genre_gen.new_domain.column_types import MOSTLY, known_texts, usual_scale
from genre_gen.new_domain.decisions import NONE, Decisions, role_key, why_given

_CODES = (-1, -9, -99, -999, 99, 999, 9999)  # numbers that programs write for a missing one
_LEVELS = 3  # the least number of other ratings, so that -1 and 1 stay "no" and "yes"
_OFTEN = 2  # how many times as frequent as the lowest third of the ratings a 0 is that means "not rated"
_ABOVE = (0.5, 2, 100)  # the lowest rating of a scale above 0, and the least and the most that its highest can be
_LEAST = 3  # the fewest zeros that can mean "not rated"


class Ratings(NamedTuple):
    """The scale of ratings, and numbers outside it that mean "not rated"."""

    scale: tuple[float, float] | None  # None without ratings
    not_rated: tuple[float, ...] = ()


def find_ratings(known: Decisions) -> Ratings:
    """Decide on the column of ratings, if there is one; raises DataError for a given column that has none."""
    column = known.given.get("rating") or known.by_name(known.log, "rating", known.columns.values())
    if column is None or column == NONE:
        return Ratings(None)
    written = known.log.frame[column]
    given = read_ratings(written).drop_nulls()
    values = given.filter(given.is_finite()).to_numpy()
    if len(values) < MOSTLY * len(known_texts(written)) or len(np.unique(values)) < 2:  # noqa: PLR2004 - different
        if "rating" in known.given:
            raise DataError(
                f"{known.log.file}: {role_key('rating', column)}: not numbers, or all of them equal; name another, or "
                f"go without: {role_key('rating', NONE)}"
            )
        known.leave_out(column, "no rating: not numbers, or all of them equal")
        return Ratings(None)
    stands = not_rated(values)
    rated = values[~np.isin(values, stands)]
    low, high = float(rated.min()), float(rated.max())
    scale = usual_scale(low, high)
    why = f"{why_given('rating', known.given)}, from {low:g} to {high:g}, so the scale is {scale[0]:g} to {scale[1]:g}"
    texts = known_texts(written)
    if len(other := texts.filter(numbers(texts).is_null() & read_ratings(texts).is_not_null())):
        why += f"; read from texts such as {other[0]!r}"
    for value in stands:
        why += f"; {value:g} stands apart ({int((values == value).sum()):,} times), so it means not rated"
    if low == 0 and high > 1 and not stands:
        why += "; if 0 means not rated, set data.not_rated = [0]"
    known.take("rating", column, why)
    return Ratings(scale, stands)


def not_rated(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the numbers that probably mean "not rated", since they stand apart from the others.

    A negative or very large code (-1, 99) counts if it is off the range of the other ratings, and these have at least
    three values. A 0 counts if the others fit a scale that begins above 0, and it is far more frequent than the
    low ones: on a scale that includes 0, it is about as frequent as the next ratings.
    """
    levels, counts = np.unique(values, return_counts=True)
    found: list[float] = []
    for code in _CODES:
        rest = levels[levels != code]
        if code not in levels or len(rest) < _LEVELS:
            continue
        if (rest.min() >= 0 and code < 0) or (code > rest.max() + (rest.max() - rest.min())):
            found, levels, counts = [*found, float(code)], rest, counts[levels != code]
    if levels[0] == 0 and len(levels) > _LEVELS:
        rest, often = levels[1:], int(counts[0])
        low = int(counts[1:][rest <= rest[-1] / 3].sum())
        if rest[0] >= _ABOVE[0] and _ABOVE[1] <= rest[-1] <= _ABOVE[2] and often >= _LEAST and often > _OFTEN * low:
            found.append(0.0)
    return tuple(found)
