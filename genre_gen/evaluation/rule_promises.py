"""What rules promise of a list, read from items and attributes again, apart from what made the list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from genre_gen.data.catalog import Catalog, Value
from genre_gen.rules.settings import Rules, is_field

if TYPE_CHECKING:
    from genre_gen.recommender.requests import Recommendations

Counted = tuple[int, Mapping[str, frozenset[Value]]]
"""A quota: how many, and the values of each item that count, by id."""


class RulePromises:
    """Counts how often a list breaks what some rules promise; ids name items, ``free`` those that it may hold."""

    def __init__(self, rules: Rules, catalog: Catalog) -> None:
        """Read the rules; raises UsageError where they do not fit the catalog."""
        ids = [item.id for item in catalog]

        def having(expression: str) -> frozenset[str]:
            return frozenset(ids[row] for row in np.flatnonzero(catalog.where(expression)))

        self.pins = {rank: ids[catalog.find(item)] for item, rank in sorted(rules.pins.items(), key=lambda pin: pin[1])}
        self._titles = {item.id: item.title for item in catalog}
        self._boosts = [(having(expression), amount) for expression, amount in rules.boosts.items()]
        self._minimums = [(expression, having(expression), count) for expression, count in rules.at_least.items()]
        self._quotas = [
            (limit, {item.id: _values(item.attributes[what]) for item in catalog})
            if is_field(what)
            else (limit, dict.fromkeys(having(what), frozenset([True])))
            for what, limit in rules.at_most.items()
        ]

    def over_quota(self, ids: Iterable[str]) -> int:
        """Return how many items are too many."""
        ids = list(ids)
        return sum(
            max(count - limit, 0)
            for limit, values in self._quotas
            for count in Counter(value for item in ids for value in values.get(item, ())).values()
        )

    def may_be_longer(self, ids: Sequence[str], free: set[str]) -> bool:
        """Tell whether an item could be added to a list without breaking a quota."""
        return any(not self.over_quota([*ids, item]) for item in free.difference(ids))

    def misplaced(self, picks: Recommendations, free: set[str]) -> int:
        """Return how many pins are not where they may be, and how many picks are called pinned without being so."""
        expected = dict[int, str]()
        for rank, item in self.pins.items():
            if item in free and rank <= len(picks) and not self.over_quota([*expected.values(), item]):
                expected[rank] = item
        found = {pick.rank: pick.item.id for pick in picks if pick.pinned}
        return len(expected.items() ^ found.items())

    def unsatisfied(self, picks: Recommendations, free: set[str]) -> int:
        """Return how many items ``at_least`` lacks for which another pick, that no such rule asks for, could go."""
        ids, wanted = [pick.item.id for pick in picks], frozenset[str]().union(*(each[1] for each in self._minimums))
        spare = [pick.item.id for pick in picks if not pick.pinned and pick.item.id not in wanted]
        return sum(
            any(
                not self.over_quota([*(kept for kept in ids if kept != other), item])
                for other in spare
                for item in (having & free).difference(ids)
            )
            for _, having, count in self._minimums
            if len(having.intersection(ids)) < count
        )

    def unsaid(self, picks: Recommendations) -> int:
        """Return how many rules were not kept without a note on it."""
        ids = {pick.rank: pick.item.id for pick in picks if pick.pinned}
        missing = [repr(self._titles[item]) for rank, item in self.pins.items() if ids.get(rank) != item]
        listed = {pick.item.id for pick in picks}
        missing += [expression for expression, having, count in self._minimums if len(having & listed) < count]
        return sum(not any(words in note for note in picks.notes) for words in missing)

    def boost(self, item: str) -> float:
        """Return what an item's score gains."""
        return sum(amount for having, amount in self._boosts if item in having)


def _values(value: Value) -> frozenset[Value]:
    """Return the values that a quota on a field counts; texts that differ in case only are the same."""
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return frozenset(each.casefold() if isinstance(each, str) else each for each in values)
