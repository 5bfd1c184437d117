"""Recount: what is true of users and items, counted in the plainest way for the check of explanations.

It shares nothing with the counts that explanations are made from.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property

from genre_gen.data.interactions import History, Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.explain.claims import EXACT, ROUNDED, Claim, part_of


class Recount:
    """Yields what may be claimed, from the interactions and the graph."""

    def __init__(self, interactions: Interactions, liked_from: float | None, knowledge: Knowledge | None) -> None:
        """Hold the data, and the rating from which an item counts as liked."""
        self.interactions, self.liked_from, self.knowledge = interactions, liked_from, knowledge

    def followed(self, anchor: int, row: int) -> Iterator[Claim]:
        """Yield how many users had the anchor and later the pick, of how many who had the anchor."""
        before, after = self._moments.get(anchor, {}), self._moments.get(row, {})
        count = sum(1 for user, (first, _) in before.items() if user in after and first < after[user][1])
        yield from part_of(count, len(before))

    def liked_too(self, anchor: int, row: int) -> Iterator[Claim]:
        """Yield how many who liked the anchor liked the pick, of those who liked the anchor and rated the pick."""
        least, of_anchor, of_pick = self.liked_from, self._stars.get(anchor, {}), self._stars.get(row, {})
        if least is not None:
            ratings = [of_pick[user] for user, rating in of_anchor.items() if rating >= least and user in of_pick]
            yield from part_of(sum(1 for rating in ratings if rating >= least), len(ratings))

    def linked(self, name: str, row: int, anchor: int) -> Iterator[Claim]:
        """Yield how many entities of a relation two items share; no number where the one leads to the other."""
        graph = self.knowledge
        if graph is None or name not in graph.relations:
            return
        relation = graph.relations.index(name)
        tails, others = self._tails.get((row, relation), set()), self._tails.get((anchor, relation), set())
        if graph.to_items[relation]:
            if anchor in tails:
                yield ()
        elif both := tails & others:
            yield ((len(both), EXACT),)

    def average(self, row: int) -> Iterator[Claim]:
        """Yield the mean of the latest ratings of an item, and how many they are."""
        if rated := self._stars.get(row, {}).values():
            yield ((sum(rated) / len(rated), ROUNDED), (len(rated), EXACT))

    def had_by(self, row: int) -> Iterator[Claim]:
        """Yield how many users had an item, of how many."""
        yield from part_of(len(self._moments.get(row, {})), len(self.interactions.users))

    @cached_property
    def _moments(self) -> Mapping[int, Mapping[int, tuple[float, float]]]:
        """Return item -> user -> first and last moment (time, or position in the history where there are no times)."""
        moments: dict[int, dict[int, tuple[float, float]]] = defaultdict(dict)
        for user, history in enumerate(self.interactions.histories()):
            times = range(len(history)) if history.times is None else history.times.tolist()
            for row, time in zip(history.rows.tolist(), times, strict=True):
                first, last = moments[row].get(user, (time, time))
                moments[row][user] = (min(first, time), max(last, time))
        return dict(moments)

    @cached_property
    def _tails(self) -> Mapping[tuple[int, int], set[int]]:
        """Return (item, relation) -> what the graph's triples lead to."""
        tails: dict[tuple[int, int], set[int]] = defaultdict(set)
        for row, relation, tail in self.knowledge.triples.tolist() if self.knowledge else ():
            tails[row, relation].add(tail)
        return dict(tails)

    @cached_property
    def _stars(self) -> Mapping[int, Mapping[int, float]]:
        """Return item -> user -> latest rating."""
        stars: dict[int, dict[int, float]] = defaultdict(dict)
        for user, history in enumerate(self.interactions.histories()):
            for row, rating in every_rating(history):
                if rating is not None:
                    stars[row][user] = rating
        return dict(stars)


def every_rating(history: History) -> Iterator[tuple[int, float | None]]:
    """Yield each item of a history with its rating, None where it is not rated."""
    ratings = [None] * len(history) if history.ratings is None else history.ratings.tolist()
    for row, rating in zip(history.rows.tolist(), ratings, strict=True):
        yield row, None if rating is None or math.isnan(rating) else rating
