"""Claims: numbers that are true together, counted again to compare those of a sentence with them."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge

ROUNDED = 0.05 + 1e-6  # how far a number shown with one decimal may be from the true one
HUNDREDTH = 0.005 + 1e-6  # the same for two decimals
EXACT = 1e-3

Claim: TypeAlias = tuple[tuple[float, float], ...]
"""Numbers that are true together, each with its tolerance; a sentence may give them in any order."""


class Ordered(tuple[tuple[float, float], ...]):
    """A claim whose numbers a sentence gives in this order."""


@dataclass(frozen=True)
class ScoreClaims:
    """What was measured by scoring again, with which sentences about it are compared.

    Attributes:
        claims: catalog rows of history items -> the numbers that may be said where these items are named and no others.
        other: catalog row of the item that the pick is compared with: a sentence names both, the pick first.
    """

    claims: Mapping[frozenset[int], tuple[Ordered, ...]]
    other: int | None = None

    @classmethod
    def of_effects(cls, effects: Mapping[int, float]) -> ScoreClaims:
        """Return that the item with the greatest effect weighed most of as many as were left out."""
        strongest = max(effects, key=lambda row: effects[row], default=None)
        return cls({} if strongest is None else {frozenset([strongest]): (Ordered([(len(effects), EXACT)]),)})


def part_of(part: int, whole: int) -> Iterator[Claim]:
    """Yield a claim of two counts; where the part is all or nothing, the whole may stand alone."""
    yield ((part, EXACT), (whole, EXACT))
    if part in (0, whole):
        yield ((whole, EXACT),)


def agree(numbers: Sequence[float], claims: Iterable[Claim]) -> bool:
    """Tell whether numbers are those of one of the claims."""
    return any(
        len(numbers) == len(claim)
        and all(abs(number - true) <= tolerance for number, (true, tolerance) in zip(numbers, claim, strict=True))
        for claim in claims
    )


def covered(numbers: Sequence[float], claims: Sequence[Claim]) -> bool:
    """Tell whether numbers, in their order, are claims one after the other, each at most once."""
    if not numbers:
        return True
    return any(
        agree(numbers[: len(claim)], [claim] if isinstance(claim, Ordered) else itertools.permutations(claim))
        and covered(numbers[len(claim) :], [*claims[:index], *claims[index + 1 :]])
        for index, claim in enumerate(claims)
    )


class Recount:
    """Counts what is true of users and items again, in the plainest way, from the interactions and the graph.

    It shares nothing with the counts that explanations are made from.
    """

    def __init__(self, interactions: Interactions, liked_from: float | None, knowledge: Knowledge | None) -> None:
        """Hold the data, and the rating from which an item counts as liked."""
        self.interactions, self.liked_from, self.knowledge = interactions, liked_from, knowledge

    def followed(self, anchor: int, row: int) -> Iterator[Claim]:
        """Yield the number of users of the anchor who later chose the pick, and the number of users of the anchor."""
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
        """Yield the number of users of an item, and of all users."""
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
