"""Hard wishes as expressions of :mod:`genre_gen.data.filter_expression`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

from genre_gen.query.understood import Meaning


def by_field(labels: Iterable[Meaning]) -> dict[str, list[str]]:
    """Return values by field, each once."""
    found: dict[str, dict[str, None]] = {}
    for one in labels:
        found.setdefault(one.field, {})[str(one.value)] = None
    return {name: list(values) for name, values in found.items()}


def together(phrases: Iterable[tuple[Meaning, ...]]) -> list[list[Meaning]]:
    """Return the labels of phrases, those that have a field in common as one list: "only comedies or war"."""
    groups: list[list[Meaning]] = []
    for labels in phrases:
        names = {one.field for one in labels}
        joined = [group for group in groups if names & {one.field for one in group}]
        groups = [group for group in groups if group not in joined] + [[*chain(*joined), *labels]]
    return groups


def any_of(labels: Iterable[Meaning]) -> str:
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
