"""Counts of the training data: the users of an item, those who chose it after another one, and their ratings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.data.interactions import Interactions

Pairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Rows of anchors, ascending; how many of their users did something with a pick; of how many."""

CACHE_BYTES = 2**27  # for counts of who went on to an item
MIN_USERS = 5  # fewer users who went from one item to another prove nothing,
MIN_SHARE = 0.1  # nor does a smaller share of those who had the one,
MIN_LIFT = 1.5  # nor a share hardly above what chance would give
MIN_CLOSER = 0.05  # how much oftener those who liked an item must like the other than all who rated it


@dataclass(frozen=True)
class Ratings:
    """The latest ratings of an item by each user.

    Attributes:
        mean: of all.
        count: how many.
        low: the lowest.
        high: the highest.
        liked: the share of them from ``liked_from`` on.
    """

    mean: float
    count: int
    low: float
    high: float
    liked: float


class Counts(ABC):
    """What explanations say of the training data: counts by item and by pair of items, never of one user.

    Attributes:
        n_users: how many users there are.
        users_with: how many of them had each item: int64 ``[n_items]``.
        mean_rating: the mean of all ratings; 0 where nothing is rated.
    """

    n_users: int
    users_with: NDArray[np.int64]
    mean_rating: float

    @abstractmethod
    def followers(self, row: int) -> NDArray[np.int64]:
        """Return how many users of each item later chose the one in a row; 0 if they are too few."""

    @abstractmethod
    def liked_too(self, anchor: int, row: int) -> tuple[int, int]:
        """Return how many who liked the anchor liked the other, of those who rated it; 0 of 0 where that tells nothing.

        What tells something are MIN_USERS users, and a share above that of all raters by MIN_CLOSER.
        """

    @abstractmethod
    def ratings(self, row: int) -> Ratings | None:
        """Return the ratings of an item; None where there are fewer than MIN_USERS."""

    def with_items(self, n_items: int) -> Counts:
        """Return the counts for a catalog of ``n_items``, whose further items no user had."""
        return PaddedCounts(self, n_items)

    def expected(self, row: int) -> float:
        """Return which share of an item's users would go on to another by chance: half of those who have both."""
        return float(self.users_with[row]) / (2 * max(self.n_users, 1))


def least_liking(total: Any, liked: float) -> Any:
    """Return how many must like an item to tell anything, of a total who like another and rated it; also for arrays."""
    return np.maximum(MIN_USERS, (liked + MIN_CLOSER) * total)


class PaddedCounts(Counts):
    """Counts in a catalog that has got more items since, which no user had."""

    def __init__(self, counts: Counts, n_items: int) -> None:
        """Wrap the counts of the first items."""
        self._counts, self._known = counts, len(counts.users_with)
        self.n_users, self.mean_rating = counts.n_users, counts.mean_rating
        self.users_with = np.pad(counts.users_with, (0, n_items - self._known))

    def followers(self, row: int) -> NDArray[np.int64]:
        """Return how many users of each item later chose the one in a row; 0 if they are too few."""
        whole = np.zeros(len(self.users_with), np.int64)
        if row < self._known:
            whole[: self._known] = self._counts.followers(row)
        return whole

    def liked_too(self, anchor: int, row: int) -> tuple[int, int]:
        """Return how many who liked the anchor liked the other, of those who rated it; see :class:`Counts`."""
        return self._counts.liked_too(anchor, row) if max(anchor, row) < self._known else (0, 0)

    def ratings(self, row: int) -> Ratings | None:
        """Return the ratings of an item; None where there are fewer than MIN_USERS."""
        return self._counts.ratings(row) if row < self._known else None


class InteractionCounts(Counts):
    """Counts by item over the interactions that the models learned from. What is costly is cached.

    Attributes:
        interactions: these.
        liked_from: the rating from which an item counts as liked; None where none does.
        followed: from an item's row to how many users of each item later chose that one: int64 ``[n_items]``.
        raters: from an item's row to who rated it, ascending, and the latest rating of each.
    """

    def __init__(self, interactions: Interactions, liked_from: float | None = None) -> None:
        """Index the interactions."""
        self.interactions, self.liked_from, n_items = interactions, liked_from, interactions.n_items
        self.n_users = len(interactions.users)
        self._owners = np.repeat(np.arange(len(interactions.users)), np.diff(interactions.offsets))
        self._by_item = np.argsort(interactions.rows, kind="stable")
        self._item_starts = np.searchsorted(interactions.rows[self._by_item], np.arange(n_items + 1))
        pairs = np.unique(self._owners * n_items + interactions.rows)
        self.users_with = np.bincount(pairs % n_items, minlength=n_items)
        self.followed = lru_cache(max(16, CACHE_BYTES // (8 * n_items)))(self._followed)  # popular picks come often
        self.raters = lru_cache(1024)(self._raters)

    def all_followers(self) -> Iterator[Pairs]:
        """Yield, for each row, the items that ``followers`` counts, their counts, and how many users each item has."""
        nothing = np.zeros(0, np.int64)
        for row, users in enumerate(self.users_with.tolist()):
            if users < MIN_USERS:  # most items of a large catalog
                yield nothing, nothing, nothing
                continue
            anchors, counts = self._went_on(row)
            enough = counts >= self._least_followers(row, anchors)
            yield anchors[enough], counts[enough], self.users_with[anchors[enough]]

    def all_liked_too(self) -> Iterator[Pairs]:
        """Yield, for each row, the anchors for which ``liked_too`` returns something, and both of its counts."""
        columns, nothing = [self.raters(row) for row in range(self.interactions.n_items)], np.zeros(0, np.int64)
        least = np.inf if self.liked_from is None else self.liked_from
        likings = [users[ratings >= least] for users, ratings in columns]
        offsets = np.concatenate([[0], np.cumsum([len(users) for users in likings])])
        cells = (np.ones(offsets[-1], np.int64), np.concatenate([nothing, *likings]), offsets)
        liked = sparse.csc_array(cells, (self.n_users, len(columns))).tocsr()
        for row, (users, ratings) in enumerate(columns):
            about = self.ratings(row)
            if about is None:
                yield nothing, nothing, nothing
                continue
            theirs = liked[users]
            anchors, place = np.unique(theirs.indices, return_inverse=True)
            totals = np.bincount(place, minlength=len(anchors))
            both = np.repeat(ratings >= least, np.diff(theirs.indptr))
            counts = np.bincount(place[both], minlength=len(anchors))
            told = counts >= least_liking(totals, about.liked)
            yield anchors[told], counts[told], totals[told]

    @cached_property
    def mean_rating(self) -> float:  # type: ignore[override]
        """Return the mean of all ratings; 0 where nothing is rated."""
        return float(np.nanmean(self.interactions.ratings)) if self.interactions.ratings is not None else 0.0

    def followers(self, row: int) -> NDArray[np.int64]:
        """Return how many users of each item later chose the one in a row; 0 if they are too few."""
        counts = self.followed(row)
        return np.where(counts >= self._least_followers(row), counts, 0)

    def _least_followers(self, row: int, anchors: Any = slice(None)) -> NDArray[np.float64]:
        """Return the least number of followers that tells anything, of each item or of some ``anchors``."""
        share = max(MIN_SHARE, MIN_LIFT * self.expected(row))
        return np.maximum(MIN_USERS, share * self.users_with[anchors])

    def liked_too(self, anchor: int, row: int) -> tuple[int, int]:
        """Return how many who liked the anchor liked the other, of those who rated it; see :class:`Counts`."""
        about = self.ratings(row)
        if self.liked_from is None or about is None:
            return 0, 0
        (users, ratings), (others, theirs) = self.raters(row), self.raters(anchor)
        _, mine, other = np.intersect1d(users, others, assume_unique=True, return_indices=True)
        liking = theirs[other] >= self.liked_from
        count, total = int((ratings[mine][liking] >= self.liked_from).sum()), int(liking.sum())
        return (count, total) if count >= least_liking(total, about.liked) else (0, 0)

    def ratings(self, row: int) -> Ratings | None:
        """Return the ratings of an item; None where there are fewer than MIN_USERS."""
        _, ratings = self.raters(row)
        if len(ratings) < MIN_USERS:
            return None
        liked = 1.0 if self.liked_from is None else float((ratings >= self.liked_from).mean())
        return Ratings(float(ratings.mean()), len(ratings), float(ratings.min()), float(ratings.max()), liked)

    def _of_item(self, row: int) -> NDArray[np.int64]:
        """Return the places of an item's interactions."""
        return self._by_item[self._item_starts[row] : self._item_starts[row + 1]]

    def _followed(self, row: int) -> NDArray[np.int64]:
        anchors, counts = self._went_on(row)
        whole = np.zeros(self.interactions.n_items, np.int64)
        whole[anchors] = counts
        return whole

    def _went_on(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the items whose users later chose the one in a row, ascending, and how many of each did."""
        data, places = self.interactions, self._of_item(row)
        moments = np.arange(len(data.rows)) if data.times is None else data.times
        last = dict(zip(self._owners[places].tolist(), moments[places].tolist(), strict=True))  # later ones overwrite
        spans = [np.arange(int(data.offsets[user]), int(data.offsets[user + 1])) for user in last]
        if not spans:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        until = np.repeat(np.fromiter(last.values(), dtype=np.int64), [len(span) for span in spans])
        everything = np.concatenate(spans)
        before = everything[moments[everything] < until]
        pairs = np.unique(self._owners[before] * data.n_items + data.rows[before])  # a user counts once
        return np.unique(pairs % data.n_items, return_counts=True)

    def _raters(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ratings, places = self.interactions.ratings, self._of_item(row)
        if ratings is None:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        places = places[~np.isnan(ratings[places])]
        users, last = np.unique(self._owners[places][::-1], return_index=True)
        return users, ratings[places[::-1][last]]
