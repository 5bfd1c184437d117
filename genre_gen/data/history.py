"""One user's history."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.arguments import check_count, check_number
from genre_gen.data.catalog import Catalog
from genre_gen.data.events import Hidden
from genre_gen.data.frames import Library, in_library
from genre_gen.errors import UsageError, quoted

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class History:
    """One user's items in time order, oldest first.

    Attributes:
        rows: int64 ``[n]`` catalog rows; an item may repeat where the domain allows it.
        ratings: float32 ``[n]``, NaN if not rated; None if the data has no ratings.
        times: int64 ``[n]`` seconds since 1970; None if the data has no times.
        user: the user's id in the data, or None for a history given in a request.
        hidden: items that events of the data hide from the user; None without ``[events]``.

    Example:
        >>> history = History.from_events([3, 1], ratings=[4, 5], times=[20, 10])  # of catalog rows
        >>> history.rows.tolist(), len(history.until(15))
        ([1, 3], 1)
    """

    rows: NDArray[np.int64]
    ratings: NDArray[np.float32] | None = None
    times: NDArray[np.int64] | None = None
    user: str | None = None
    hidden: Hidden | None = None

    @classmethod
    def from_events(
        cls, rows: Sequence[int], ratings: Sequence[float] | None = None, times: Sequence[float] | None = None
    ) -> History:
        """Build a history without a user, sorted by time; raises UsageError if lengths differ.

        Times may have fractions, which decide the order and are then cut off.
        """
        places = numbers_of(rows, "rows", whole=True).astype(np.int64)
        if (places < 0).any():
            raise UsageError(f"rows holds {places.min()}; rows of a catalog run from 0")
        stars, exact = (None if values is None else numbers_of(values, name)
                        for name, values in (("ratings", ratings), ("times", times)))  # fmt: skip
        for name, values in (("ratings", stars), ("times", exact)):
            if values is not None and len(values) != len(places):
                raise UsageError(f"{len(places)} items and {len(values)} {name}; give one for each item, or none")
        stars = stars.astype(np.float32) if stars is not None and any_rated(stars) else None
        if exact is None:
            return cls(places, stars)
        history = cls(places, stars, np.floor(exact).astype(np.int64))
        return history.take(np.argsort(exact, kind="stable"))

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.rows)

    @property
    def rated(self) -> bool:
        """Tell whether any interaction has a rating; ``ratings`` may also be all NaN."""
        return any_rated(self.ratings)

    def take(self, selection: slice | NDArray[Any]) -> History:
        """Return some of the interactions, as numpy selects them: a slice, a bool mask or positions."""
        ratings, times = selected(self.ratings, selection), selected(self.times, selection)
        return History(self.rows[selection], ratings, times, self.user, self.hidden)

    def barred(self, repeat: bool) -> NDArray[np.int64]:
        """Return the catalog rows that may not be recommended: hidden ones and, unless items ``repeat``, its own.

        Example:
            >>> History(np.array([3, 1]), hidden=Hidden(np.array([8]), np.array([1]))).barred(repeat=True).tolist()
            [8]
        """
        own = self.rows[:0] if repeat else self.rows
        return own if self.hidden is None else np.concatenate([own, self.hidden.rows])

    def last(self, n: int) -> History:
        """Return the ``n`` most recent interactions."""
        check_count(n, "n", "give 0 or more", least=0)
        return self.slice(max(0, len(self) - n), len(self))

    def slice(self, start: int, stop: int) -> History:
        """Return interactions ``start`` to ``stop`` (exclusive), without what was hidden only after them."""
        part = self.take(slice(start, stop))
        return part if self.hidden is None else replace(part, hidden=self.hidden.within(start, stop))

    def without(self, rows: Collection[int]) -> History:
        """Return the history without the interactions with some items."""
        return self.take(~np.isin(self.rows, list(rows)))

    def until(self, moment: float) -> History:
        """Return the interactions up to a moment (seconds since 1970, inclusive); all of them if there are no times."""
        moment = check_number(moment, "moment", "give seconds since 1970")
        part = self if self.times is None else self.take(self.times <= moment)
        return part if self.hidden is None else replace(part, hidden=self.hidden.until(moment))

    def to_frame(self, catalog: Catalog, library: Library = "polars") -> Any:
        """Return a data frame, oldest first: ``item_id``, ``title``, and ``rating`` and ``timestamp`` if any.

        ``Recommender.recommend`` accepts it as a history.

        Example:
            >>> data.interactions.history("17").to_frame(data.catalog)["title"][0]
            'Groundhog Day (1993)'

        Raises:
            UsageError, MissingPackageError: as :func:`genre_gen.data.frames.in_library`.
        """
        import polars as pl

        items = [catalog[row] for row in self.rows.tolist()]
        columns = {"item_id": [item.id for item in items], "title": [item.title for item in items]}
        frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
        return in_library(frame.with_columns(measures(self.ratings, self.times)), library)


def numbers_of(values: Any, name: str, *, whole: bool = False) -> NDArray[Any]:
    """Return an array of numbers, NaN for None unless ``whole``; raises UsageError for anything else."""
    try:
        array = np.asarray(values) if whole else np.asarray(values, None if _is_array(values) else np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0, object)
    if array.ndim != 1 or (array.dtype.kind not in ("iu" if whole else "iuf") and array.size):
        kind = "whole numbers" if whole else "numbers"
        raise UsageError(f"{name} = {quoted(values)}; give a list of {kind}")
    return array


def _is_array(values: Any) -> bool:
    return isinstance(values, np.ndarray)


_Array = TypeVar("_Array", bound="NDArray[Any] | None")


def measures(ratings: NDArray[np.float32] | None, times: NDArray[np.int64] | None) -> list[pl.Series]:
    """Return the columns ``rating`` and ``timestamp`` of a data frame, if any."""
    import polars as pl

    columns = [] if ratings is None else [pl.Series("rating", ratings, pl.Float32).fill_nan(None)]
    return columns + ([] if times is None else [pl.Series("timestamp", times, pl.Int64)])


def selected(array: _Array, selection: slice | NDArray[Any]) -> _Array:
    """Return some entries of an array, None for None."""
    return None if array is None else array[selection]  # type: ignore[return-value]


def any_rated(ratings: Sequence[float] | NDArray[np.float32] | None) -> bool:
    """Tell whether any of the ratings is known."""
    return ratings is not None and not np.isnan(ratings).all()


def allowed_items(histories: Sequence[History], n_items: int, repeat: bool = False) -> NDArray[np.bool_]:
    """Return the items that may be recommended: those not hidden and, unless ``repeat``, unseen.

    The result is bool ``[histories, n_items]``.
    """
    allowed = np.ones((len(histories), n_items), dtype=bool)
    for row, history in enumerate(histories):
        allowed[row, history.barred(repeat)] = False
    return allowed


def check_rows(rows: NDArray[np.int64], n_items: int) -> None:
    """Raise UsageError if histories contain a catalog row outside the catalog that a model was fitted on."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_items:
        raise UsageError(
            f"a history contains catalog row {rows.max() if rows.max() >= n_items else rows.min()}, but the model was "
            f"fitted on {n_items} items; fit it again on the present catalog"
        )
