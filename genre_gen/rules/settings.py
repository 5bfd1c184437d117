"""Rules: boosts, pins and quotas, as ``[rules]`` of ``domain.toml`` and ``Recommender.recommend`` take them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from genre_gen.errors import UsageError
from genre_gen.settings import Settings, suggestion, validation_problems

FIRST = "first"
"""Stands for a rank in pins: the first one that no other pin has."""

MAX_AMOUNT = 100.0
"""The largest boost, in standard deviations; single precision would lose the scores in larger ones."""

MAX_RULES = 100
"""How many rules of each kind there may be."""


def _numbered(pins: object) -> object:
    """Return pins as a mapping from items to ranks, each ``first`` replaced by a rank."""
    if isinstance(pins, str):
        pins = [pins]
    if isinstance(pins, Sequence) and all(isinstance(item, str) for item in pins):
        if len(set(pins)) < len(pins):
            raise ValueError(f"the same item twice in {[*pins]!r}; name each once")
        pins = dict.fromkeys(pins, FIRST)
    if not isinstance(pins, Mapping):
        return pins
    taken = {rank for rank in pins.values() if isinstance(rank, int)}
    free = (rank for rank in range(1, len(pins) + 1) if rank not in taken)
    return {item: next(free) if rank == FIRST else rank for item, rank in pins.items()}


Amount: TypeAlias = Annotated[float, Field(strict=True, ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
Count: TypeAlias = Annotated[int, Field(strict=True, ge=1)]


class Rules(Settings):
    """Rules for lists of recommendations; without arguments there are none.

    Rules choose among the items that a request allows: an item that is excluded by a filter or in the user's history
    cannot be boosted or pinned into the list. Expressions are those of
    :mod:`genre_gen.data.filter_expression`.

    Attributes:
        boosts: expression -> amount added to the scores of its items, in standard deviations, the unit of scores;
            negative amounts lower them. The amounts of several expressions add up.
        pins: title or id -> rank from 1 on, or ``"first"``; a list of items pins them in this order.
        at_most: field or expression -> maximum number of items in a list with the same value of the field, or that
            satisfy the expression. Each label of a list field counts; an unknown value does not.
        at_least: expression -> minimum number of items in a list that satisfy it.

    Raises:
        UsageError: every problem at once, each with its key.

    Example:
        >>> rules = Rules(boosts={"year >= 2000": 0.5}, pins=["Alien (1979)"], at_most={"genre": 2})
        >>> picks = recommender.recommend("196", rules=rules)
    """

    boosts: Annotated[dict[str, Amount], Field(max_length=MAX_RULES)] = Field(default_factory=dict)
    pins: Annotated[dict[str, Count], BeforeValidator(_numbered), Field(max_length=MAX_RULES)] = Field(
        default_factory=dict
    )
    at_most: Annotated[dict[str, Count], Field(max_length=MAX_RULES)] = Field(default_factory=dict)
    at_least: Annotated[dict[str, Count], Field(max_length=MAX_RULES)] = Field(default_factory=dict)

    def __init__(self, **given: Any) -> None:
        """Check the rules; those of values and fields are checked against the catalog when a list is asked for."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise UsageError("; ".join(f"rules.{problem}" for problem in validation_problems(error, Rules))) from None

    @model_validator(mode="after")
    def _agree(self) -> Rules:
        problems = [*self._clashes()]
        if problems:
            raise ValueError("; rules.".join(problems))
        return self

    def _clashes(self) -> Iterator[str]:
        by_rank: dict[int, str] = {}
        for item, rank in self.pins.items():
            if rank in by_rank:
                yield f"pins.{item}: rank {rank} is taken by {by_rank[rank]!r}; give each pin another rank"
            by_rank.setdefault(rank, item)
        for what, count in self.at_least.items():
            if is_field(what):
                yield f"at_least.{what}: a field alone; give an expression such as \"{what} == '...'\""
            if count > self.at_most.get(what, count):
                yield f"at_least.{what}: {count} is more than at_most, {self.at_most[what]}; make one of them fit"

    def __bool__(self) -> bool:
        """Tell whether there is any rule."""
        return bool(self.boosts or self.pins or self.at_most or self.at_least)

    def __or__(self, other: Rules) -> Rules:
        """Return these rules and others; the others win for the same expression, field, item or rank."""
        pins = {
            item: rank for item, rank in self.pins.items() if item not in other.pins and rank not in other.pins.values()
        }
        return Rules(
            boosts={**self.boosts, **other.boosts},
            pins={**pins, **other.pins},
            at_most={**self.at_most, **other.at_most},
            at_least={**self.at_least, **other.at_least},
        )

    def check_fields(self, fields: Iterable[str]) -> None:
        """Refuse quotas on fields that do not exist; raises UsageError."""
        fields = tuple(fields)
        problems = [
            f"rules.at_most.{name}: no such field{suggestion(name, fields)}; there are {', '.join(fields) or 'none'}"
            for name in self.at_most
            if is_field(name) and name not in fields
        ]
        if problems:
            raise UsageError("; ".join(problems))


def is_field(what: str) -> bool:
    """Tell whether a quota is on a field, and not on an expression."""
    return what.isidentifier()
