"""Whether the order of histories is the order in time: copies of a log are often sorted otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions

_STEPS = 20  # with fewer steps, shares mean little
_SORTED = 0.9  # with at least this share of steps in one direction, a file is sorted
_TIES, _MANY_TIES = 0.05, 0.5  # shares of ties that matter if the file is sorted otherwise, and in any file


@dataclass(frozen=True)
class OrderShares:
    """Shares among the steps from one interaction of a user to the next.

    Attributes:
        steps: number of steps.
        ties: share of steps between equal times; all steps if the data has no times.
        undecided: number of steps whose order is that of the file.
        ascending: share of these that go to a higher item id; about half if ids are unrelated to the order.
        descending: share of these that go to a lower one.
    """

    steps: int
    ties: float
    undecided: int
    ascending: float
    descending: float

    @classmethod
    def of(cls, interactions: Interactions, catalog: Catalog) -> Self:
        """Count the steps of all histories, whose times are whole seconds."""
        return cls._of(interactions.owners, interactions.times, _places(catalog)[interactions.rows])

    @classmethod
    def loaded(cls, interactions: Interactions, catalog: Catalog, records: pl.DataFrame) -> Self:
        """Count the steps of histories with the times that decided their order, which may have fractions of seconds.

        ``records`` are the interactions in the order of the file: ``user``, ``row`` and, if it decided, ``exact_time``.
        """
        if "exact_time" not in records.columns:
            return cls.of(interactions, catalog)
        users = pl.col("user").rank("dense").alias("owner")
        log = records.select(users, "exact_time", "row").sort("owner", "exact_time", maintain_order=True)
        owners, times, rows = (log[name].to_numpy() for name in ("owner", "exact_time", "row"))
        return cls._of(owners.astype(np.int64), times, _places(catalog)[rows])

    @classmethod
    def _of(cls, owners: NDArray[np.int64], times: NDArray[Any] | None, places: NDArray[np.int64]) -> Self:
        same = np.diff(owners) == 0
        undecided = same if times is None else same & (np.diff(times) == 0)
        steps = np.diff(places)[undecided]
        most = max(1, len(steps))
        return cls(
            int(same.sum()),
            len(steps) / max(1, int(same.sum())),
            len(steps),
            float((steps > 0).sum()) / most,
            float((steps < 0).sum()) / most,
        )

    def text(self, timed: bool) -> str:
        """Return the shares in a few words; ``timed``: the data has times."""
        if not self.undecided:
            return "no two interactions of a user have the same time" if timed else "no user has two interactions"
        shown = f"{self.ascending:.0%} of them go to a higher item id, about 50% if unsorted"
        if not timed:
            return f"{self.steps:,} steps within users in the file's order, {shown}"
        return f"{self.ties:.0%} of {self.steps:,} steps within users tie in time and keep the file's order, {shown}"


def order_remark(shares: OrderShares, records: pl.DataFrame) -> str:
    """Return one line if the order of histories is probably not the order in time, "" if there is no sign of that.

    ``records`` are the interactions in the order of the file, with a column ``user``, and ``time`` if any.
    """
    timed = "time" in records.columns
    if shares.undecided < _STEPS:
        return ""
    direction = "higher" if shares.ascending >= _SORTED else "lower" if shares.descending >= _SORTED else ""
    share = max(shares.ascending, shares.descending)
    if not timed:
        return (
            f"no times, so the file's order counts, but {share:.0%} of a user's steps go to a {direction} item id: it "
            "seems sorted by item; name a column of times (data.columns.time) or sort the file by time, else the "
            "last item of a user and what follows what mean nothing"
        ) if direction else ""  # fmt: skip
    tied = f"{shares.ties:.0%} of a user's steps tie in time and keep the file's order"
    remedy = "name a column with the time of day (data.columns.time), or sort the file by time, oldest first"
    if shares.ties < _TIES:
        return ""
    if direction:
        return f"{tied}, and {share:.0%} of these go to a {direction} item id: it seems sorted by item; {remedy}"
    if _newest_first(records) >= _SORTED:
        return f"{tied}, but the file runs from new to old, so these are probably reversed; {remedy}"
    return f"{tied}; {remedy}" if shares.ties >= _MANY_TIES else ""


def _places(catalog: Catalog) -> NDArray[np.int64]:
    """Return the place of each catalog row if items are sorted by id, as numbers if all ids are numbers."""
    ids = pl.Series([item.id for item in catalog], dtype=pl.String)
    numbers = ids.cast(pl.Int64, strict=False)
    return (ids if numbers.null_count() else numbers).rank("dense").cast(pl.Int64).to_numpy()


def _newest_first(log: pl.DataFrame) -> float:
    """Return the share of steps between different times, in the order of the file, that go back in time.

    Steps within a user count if there are enough of them.
    """
    steps = log["time"].diff().slice(1)
    within = (log["user"] == log["user"].shift()).slice(1)
    if int((within & (steps != 0)).sum()) >= _STEPS:
        steps = steps.filter(within)
    steps = steps.filter(steps != 0)
    return float((steps < 0).sum()) / max(1, len(steps))
