"""What the training data counts: who had an item, who went on to it, who rated it how."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.interactions import Interactions

CACHE_BYTES = 2**27  # for counts of who went on to an item


class InteractionCounts:
    """Counts by item over the interactions that the models learned from. What is costly is cached.

    Attributes:
        interactions: these.
        users_with: how many users had each item: int64 ``[n_items]``.
        followed: from an item's row to how many users had each item and, later, that one: int64 ``[n_items]``.
        raters: from an item's row to who rated it, ascending, and the latest rating of each.
    """

    def __init__(self, interactions: Interactions) -> None:
        """Index the interactions."""
        self.interactions, n_items = interactions, interactions.n_items
        self._owners = np.repeat(np.arange(len(interactions.users)), np.diff(interactions.offsets))
        self._by_item = np.argsort(interactions.rows, kind="stable")
        self._item_starts = np.searchsorted(interactions.rows[self._by_item], np.arange(n_items + 1))
        pairs = np.unique(self._owners * n_items + interactions.rows)
        self.users_with = np.bincount(pairs % n_items, minlength=n_items)
        self.followed = lru_cache(max(16, CACHE_BYTES // (8 * n_items)))(self._followed)  # popular picks come often
        self.raters = lru_cache(1024)(self._raters)

    @property
    def n_users(self) -> int:
        """Return how many users there are."""
        return len(self.interactions.users)

    @cached_property
    def mean_rating(self) -> float:
        """Return the mean of all ratings; 0 where nothing is rated."""
        return float(np.nanmean(self.interactions.ratings)) if self.interactions.ratings is not None else 0.0

    def _of_item(self, row: int) -> NDArray[np.int64]:
        """Return the places of an item's interactions."""
        return self._by_item[self._item_starts[row] : self._item_starts[row + 1]]

    def _followed(self, row: int) -> NDArray[np.int64]:
        data, places = self.interactions, self._of_item(row)
        moments = np.arange(len(data.rows)) if data.times is None else data.times
        last = dict(zip(self._owners[places].tolist(), moments[places].tolist(), strict=True))  # later ones overwrite
        spans = [np.arange(int(data.offsets[user]), int(data.offsets[user + 1])) for user in last]
        if not spans:
            return np.zeros(data.n_items, dtype=np.int64)
        until = np.repeat(np.fromiter(last.values(), dtype=np.int64), [len(span) for span in spans])
        everything = np.concatenate(spans)
        before = everything[moments[everything] < until]
        pairs = np.unique(self._owners[before] * data.n_items + data.rows[before])  # a user counts once
        return np.bincount(pairs % data.n_items, minlength=data.n_items)

    def _raters(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ratings, places = self.interactions.ratings, self._of_item(row)
        if ratings is None:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        places = places[~np.isnan(ratings[places])]
        users, last = np.unique(self._owners[places][::-1], return_index=True)
        return users, ratings[places[::-1][last]]
