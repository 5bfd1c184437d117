"""Claims: numbers that are true together, with which those of a sentence are compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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
