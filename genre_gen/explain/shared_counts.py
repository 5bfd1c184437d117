"""SharedCounts: what a recommender keeps of its training data when it leaves the machine without histories.

Counts by item and by pair of items, of at least ``MIN_USERS`` users where a pair or a rating is concerned, and of pairs
those alone that an explanation may state. Nothing is kept by user, so no user's list can be read from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.explain.claims import EXACT, ROUNDED, Claim, Recount, part_of
from genre_gen.explain.counts import Counts, InteractionCounts, Pairs, Ratings
from genre_gen.folders.arrays import expect

_PARTS = ("offsets", "anchors", "counts", "of")
"""CSR by the row of the pick: offsets ``[n_items + 1]``, rows of the anchors, their counts, and of how many."""


class SharedCounts(Counts):
    """The counts of :class:`InteractionCounts`, without the interactions.

    Attributes:
        interactions: how many there are of each item: int64 ``[n_items]``.
        n_items: size of the catalog.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Hold what ``arrays`` returned."""
        self._arrays = dict(arrays)
        self.interactions: NDArray[np.int64] = self._arrays["interactions"]
        self.users_with = self._arrays["users_with"]
        self.n_items, self.n_users = len(self.interactions), int(self._arrays["totals"][0])
        self.mean_rating = float(self._arrays["totals"][1])

    @classmethod
    def of(cls, interactions: Interactions, liked_from: float | None, *, liked_too: bool = True) -> Self:
        """Count; without ``liked_too`` the pairs are left out that only models of ratings lead to."""
        counts, n_items = InteractionCounts(interactions, liked_from), interactions.n_items
        about = [counts.ratings(row) for row in range(n_items)]
        blank = Ratings(0.0, 0, 0.0, 0.0, 0.0)
        figures = [(each.mean, each.low, each.high, each.liked) for each in (one or blank for one in about)]
        arrays: dict[str, NDArray[Any]] = {
            "interactions": np.bincount(interactions.rows, minlength=n_items),
            "users_with": counts.users_with,
            "rating_counts": np.array([0 if each is None else each.count for each in about], np.int64),
            "rating_figures": np.array(figures, np.float64).reshape(n_items, 4),
            "totals": np.array([counts.n_users, counts.mean_rating]),
        }
        pairs = _csr("followers", counts.all_followers())
        return cls(arrays | pairs | _csr("liked_too", counts.all_liked_too() if liked_too else ()))

    def with_items(self, n_items: int) -> SharedCounts:
        """Return the counts for a catalog of ``n_items``, whose further items no user had."""
        arrays, added = dict(self._arrays), n_items - self.n_items
        for name in ("interactions", "users_with", "rating_counts"):
            arrays[name] = np.pad(arrays[name], (0, added))
        arrays["rating_figures"] = np.pad(arrays["rating_figures"], ((0, added), (0, 0)))
        for name in ("followers.offsets", "liked_too.offsets"):
            if len(arrays[name]) > 1:
                arrays[name] = np.pad(arrays[name], (0, added), mode="edge")
        return type(self)(arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_items: int) -> Self:
        """Restore what ``arrays`` returned; raises ValueError where it cannot be that."""
        for name in ("interactions", "users_with", "rating_counts"):
            expect(arrays, name, "i", (n_items,), (0, 2**48))
        expect(arrays, "rating_figures", "f", (n_items, 4))
        expect(arrays, "totals", "f", (2,))
        for name in ("followers", "liked_too"):
            offsets = expect(arrays, f"{name}.offsets", "i", (None,), (0, 2**48))
            anchors = expect(arrays, f"{name}.anchors", "i", (None,), (0, n_items - 1))
            for part in ("counts", "of"):
                expect(arrays, f"{name}.{part}", "i", (len(anchors),), (0, 2**48))
            if len(offsets) not in {1, n_items + 1} or offsets[0] != 0 or offsets[-1] != len(anchors):
                raise ValueError(f"{name}.offsets do not cut {len(anchors)} counts into items")
            if (np.diff(offsets) < 0).any():
                raise ValueError(f"{name}.offsets fall")
        return cls(arrays)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays, ready for safetensors."""
        return dict(self._arrays)

    def followers(self, row: int) -> NDArray[np.int64]:
        """Return how many users of each item later chose the one in a row; 0 if they are too few."""
        anchors, counts, _ = self._pairs("followers", row)
        whole = np.zeros(self.n_items, np.int64)
        whole[anchors] = counts
        return whole

    def liked_too(self, anchor: int, row: int) -> tuple[int, int]:
        """Return how many who liked the anchor liked the other, of those who rated it; see :class:`Counts`."""
        anchors, counts, of = self._pairs("liked_too", row)
        place = int(np.searchsorted(anchors, anchor))
        if place == len(anchors) or anchors[place] != anchor:
            return 0, 0
        return int(counts[place]), int(of[place])

    def ratings(self, row: int) -> Ratings | None:
        """Return the ratings of an item; None where there are fewer than MIN_USERS."""
        count = int(self._arrays["rating_counts"][row])
        mean, low, high, liked = self._arrays["rating_figures"][row].tolist()
        return Ratings(mean, count, low, high, liked) if count else None

    def _pairs(self, name: str, row: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        offsets = self._arrays[f"{name}.offsets"]
        if row + 1 >= len(offsets):  # there are none at all
            offsets = np.zeros(row + 2, np.int64)
        part = slice(int(offsets[row]), int(offsets[row + 1]))
        anchors, counts, of = (self._arrays[f"{name}.{kind}"][part] for kind in _PARTS[1:])
        return anchors, counts, of


class SharedRecount(Recount):
    """Claims about users and items that counts alone can confirm; other claims cannot be confirmed."""

    def __init__(self, counts: SharedCounts, knowledge: Knowledge | None) -> None:
        """Hold the counts, and the graph."""
        self.counts, self.knowledge = counts, knowledge

    def followed(self, anchor: int, row: int) -> Iterator[Claim]:
        """Yield the number of users of the anchor who later chose the pick, and the number of users of the anchor."""
        if count := int(self.counts.followers(row)[anchor]):
            yield from part_of(count, int(self.counts.users_with[anchor]))

    def liked_too(self, anchor: int, row: int) -> Iterator[Claim]:
        """Yield how many who liked the anchor liked the pick, of those who liked the anchor and rated the pick."""
        count, total = self.counts.liked_too(anchor, row)
        if count:
            yield from part_of(count, total)

    def average(self, row: int) -> Iterator[Claim]:
        """Yield the mean of the latest ratings of an item, and how many they are."""
        if about := self.counts.ratings(row):
            yield ((about.mean, ROUNDED), (about.count, EXACT))

    def had_by(self, row: int) -> Iterator[Claim]:
        """Yield the number of users of an item, and of all users."""
        yield from part_of(int(self.counts.users_with[row]), self.counts.n_users)


def _csr(name: str, pairs: Iterable[Pairs]) -> dict[str, NDArray[Any]]:
    """Lay out, by pick, its anchors, the count of each, and the number of its users."""
    lengths, parts = [0], [(np.zeros(0, np.int64),) * 3]
    for row, (anchors, counts, of) in enumerate(pairs):
        others = anchors != row  # a pick is never cited for itself
        lengths.append(int(others.sum()))
        parts.append((anchors[others], counts[others], of[others]))
    columns = (np.concatenate(part).astype(np.int32) for part in zip(*parts, strict=True))
    offsets = np.cumsum(lengths).astype(np.int64)
    return dict(zip((f"{name}.{part}" for part in _PARTS), (offsets, *columns), strict=True))
