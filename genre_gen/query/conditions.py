"""Hard conditions as expressions of :mod:`genre_gen.data.filter_expression`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

from genre_gen.query.parsed import Term


def by_field(labels: Iterable[Term]) -> dict[str, list[str]]:
    """Return values by field, each once."""
    values: dict[str, list[str]] = {}
    for term in dict.fromkeys(labels):
        values.setdefault(term.field, []).append(str(term.value))
    return values


def merge_by_field(phrases: Iterable[tuple[Term, ...]]) -> list[list[Term]]:
    """Return the labels of phrases, those that have a field in common as one list: "only comedies or war"."""
    groups: list[list[Term]] = []
    for labels in phrases:
        names = {term.field for term in labels}
        joined = [group for group in groups if names & {term.field for term in group}]
        groups = [group for group in groups if group not in joined] + [[*chain(*joined), *labels]]
    return groups


def any_of(labels: Iterable[Term]) -> str:
    """Return the condition that an item has any of the labels."""
    return either([among(name, "in", values) for name, values in by_field(labels).items()])


def either(conditions: Sequence[str]) -> str:
    """Return the condition that any of some holds."""
    return conditions[0] if len(conditions) == 1 else f"({' or '.join(conditions)})"


def among(name: str, how: Literal["in", "not in"], values: list[str]) -> str:
    """Return the condition that a field is among values."""
    if len(values) == 1:
        return f"{name} {'==' if how == 'in' else '!='} {values[0]!r}"
    return f"{name} {how} [{', '.join(map(repr, values))}]"


def shown(number: float) -> str:
    """Return a number as an expression has it."""
    return f"{number:.15g}"
