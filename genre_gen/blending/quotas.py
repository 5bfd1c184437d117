"""Quotas: lists that hold at most so many items of a group, made greedily from the best score down.

With one quota on groups that do not overlap (the values of a field with one value per item), no list within the quota
has a
larger sum of scores: the groups form a partition matroid, for which the greedy choice is optimal (Edmonds 1971). Where
groups overlap, as the labels of a list field and several quotas do, the list has the best first item there is, then the
best second item next to it, and so on; another list may have a larger sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.ranking import Ranking

SPARE = 4
"""How many times the items wanted are looked at first; more where quotas refuse too many of them."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Which items are in which groups, an item in any number of them.

    Attributes:
        rows, groups: int64 ``[pairs]``, an item and a group that it is in, sorted by item.
        by_group: the pairs' positions, sorted by group.
        starts: int64 ``[n_groups + 1]``, where each group's pairs begin in ``by_group``.
    """

    rows: NDArray[np.int64]
    groups: NDArray[np.int64]
    by_group: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def from_pairs(cls, rows: NDArray[np.integer], groups: NDArray[np.integer]) -> Self:
        """Index pairs of an item and a group, ``[pairs]``; a pair may be there twice and counts once."""
        n_groups = int(groups.max(initial=-1)) + 1
        pairs = np.sort(rows.astype(np.int64) * n_groups + groups.astype(np.int64))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        sorted_rows, its_groups = np.divmod(pairs, max(n_groups, 1))
        by_group = np.argsort(its_groups, kind="stable")
        starts = np.searchsorted(its_groups[by_group], np.arange(n_groups + 1))
        return cls(sorted_rows, its_groups, by_group, starts)

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> Self:
        """Return one group, of the items that a mask (bool ``[n_items]``) holds."""
        rows = np.flatnonzero(mask)
        return cls.from_pairs(rows, np.zeros_like(rows))

    def of(self, row: int) -> list[int]:
        """Return the groups that an item is in."""
        begin, end = np.searchsorted(self.rows, [row, row + 1])
        return self.groups[begin:end].tolist()

    def items(self, group: int) -> NDArray[np.int64]:
        """Return the items of a group."""
        return self.rows[self.by_group[self.starts[group] : self.starts[group + 1]]]


class Quotas:
    """Counts what one list holds, and tells which items would be too many.

    Attributes:
        blocked: bool ``[n_items]``, True where a group of the item is full.
    """

    def __init__(self, limits: Sequence[tuple[Groups, int]], n_items: int) -> None:
        """Begin an empty list; ``limits`` are groups and how many items of each there may be, 1 or more."""
        self._limits = [(groups, limit, Counter[int]()) for groups, limit in limits]
        self.blocked = np.zeros(n_items, bool)

    def take(self, row: int) -> None:
        """Count an item that comes into the list."""
        for groups, limit, counts in self._limits:
            for group in groups.of(row):
                counts[group] += 1
                if counts[group] == limit:
                    self.blocked[groups.items(group)] = True

    def copy(self) -> Quotas:
        """Return a copy of the counts, which can be changed independently."""
        other = Quotas((), len(self.blocked))
        other.blocked = self.blocked.copy()
        other._limits = [(groups, limit, counts.copy()) for groups, limit, counts in self._limits]
        return other


def best_within(
    scores: NDArray[np.floating], n: int, allowed: NDArray[np.bool_], quotas: Quotas | None = None
) -> Ranking:
    """Rank the ``n`` best allowed items, as ``Ranking.from_scores`` does, and skip those that quotas block.

    Items taken are counted in ``quotas``; fewer than ``n`` come only where no other may be taken.
    """
    if quotas is None:
        return Ranking.from_scores(scores, n, allowed)
    left, depth, taken = allowed & ~quotas.blocked, SPARE * n, list[Ranking]()
    missing = n
    while missing and len(pool := Ranking.from_scores(scores, depth, left)):
        picked = list[int]()
        for position, row in enumerate(pool.rows.tolist()):
            if not quotas.blocked[row]:
                quotas.take(row)
                picked.append(position)
                if len(picked) == missing:
                    break
        taken.append(Ranking(pool.rows[picked], pool.scores[picked]))
        missing -= len(picked)
        left[pool.rows] = False
        left &= ~quotas.blocked
        depth *= SPARE
    return Ranking(
        np.concatenate([np.zeros(0, np.int64), *(part.rows for part in taken)]),
        np.concatenate([np.zeros(0, np.float32), *(part.scores for part in taken)]),
    )
