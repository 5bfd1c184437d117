"""Rules as one catalog sees them: expressions become masks, items rows and fields groups, once for all requests."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.quotas import Groups, Quotas
from genre_gen.data.catalog import Catalog
from genre_gen.data.filter_expression import values_of
from genre_gen.errors import GenreGenError, UsageError
from genre_gen.rules.settings import Rules, is_field

KEPT = 64
"""How many different rules a :class:`RuleBook` keeps compiled; the least recently used go."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Minimum:
    """How many items of a list should satisfy an expression, and which items do: bool ``[n_items]``."""

    expression: str
    mask: NDArray[np.bool_]
    count: int


@dataclass(frozen=True, eq=False)
class CompiledRules:
    """Rules that were checked against a catalog; see :func:`compile_rules`.

    Attributes:
        boost: float32 ``[n_items]``, what each score gains; None where nothing is boosted.
        pins: rank -> catalog row, the first rank first.
        limits: groups of items, and how many of each a list may hold.
        minimums: what lists should contain, the most important first.
    """

    boost: NDArray[np.float32] | None
    pins: Mapping[int, int]
    limits: tuple[tuple[Groups, int], ...]
    minimums: tuple[Minimum, ...]

    def quotas(self, n_items: int) -> Quotas | None:
        """Return counters for a new list; None where nothing is limited."""
        return Quotas(self.limits, n_items) if self.limits else None


class RuleBook:
    """The rules of a catalog's requests, compiled when they are first asked for; several threads may use it.

    Example:
        >>> book = RuleBook(catalog, Rules(at_most={"genre": 2}))
        >>> book.compiled(None)  # the default rules
        >>> book.compiled(Rules())  # None: no rules
    """

    def __init__(self, catalog: Catalog, default: Rules) -> None:
        """Keep the catalog, and the rules of requests that bring none of their own."""
        self._catalog, self._default = catalog, default
        self._kept: OrderedDict[str, CompiledRules] = OrderedDict()
        self._lock = threading.Lock()

    def compiled(self, rules: Rules | None) -> CompiledRules | None:
        """Return a request's rules, the default ones for None; None without rules.

        Raises:
            UsageError: rules that do not fit the catalog, or something else than rules.
        """
        if rules is not None and not isinstance(rules, Rules):
            raise UsageError(f"rules = {rules!r:.80}; give Rules(...), such as Rules(at_most={{'genre': 2}})")
        chosen = self._default if rules is None else rules
        if not chosen:
            return None
        key = chosen.model_dump_json()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = compile_rules(chosen, self._catalog)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def compile_rules(rules: Rules, catalog: Catalog) -> CompiledRules:
    """Check rules against a catalog, and evaluate all that does not depend on a request.

    Raises:
        UsageError: every problem at once, each with its key: an invalid expression, an unknown field, an unknown item,
            or an item that is pinned twice under different names.
    """
    problems = list[str]()

    def checked(key: str, read: Callable[[], T]) -> list[T]:
        try:
            return [read()]
        except GenreGenError as problem:
            problems.append(f"rules.{key}: {problem}")
            return []

    boost = np.zeros(len(catalog))
    for expression, amount in rules.boosts.items():
        for mask in checked("boosts", lambda: catalog.where(expression)):  # noqa: B023 - called at once
            boost += amount * mask
    rows = {rank: row for item, rank in rules.pins.items() for row in checked("pins", lambda: catalog.find(item))}  # noqa: B023
    for rank, row in rows.items():
        names = [item for item, other in rules.pins.items() if rows.get(other) == row]
        if len(names) > 1 and rules.pins[names[0]] == rank:
            problems.append(f"rules.pins: {' and '.join(map(repr, names))} are the same item; pin it once")
    limits = [
        (groups, limit)
        for what, limit in rules.at_most.items()
        for groups in checked("at_most", lambda: _groups(what, catalog))  # noqa: B023
    ]
    minimums = [
        Minimum(expression, mask, count)
        for expression, count in rules.at_least.items()
        for mask in checked("at_least", lambda: catalog.where(expression))  # noqa: B023
    ]
    if problems:
        raise UsageError("; ".join(problems))
    boosted = boost.astype(np.float32) if rules.boosts else None
    return CompiledRules(boosted, dict(sorted(rows.items())), tuple(limits), tuple(minimums))


def _groups(what: str, catalog: Catalog) -> Groups:
    """Return the groups of a quota: the values of a field, or the items that satisfy an expression."""
    if not is_field(what):
        return Groups.from_mask(catalog.where(what))
    Rules(at_most={what: 1}).check_fields(catalog.fields)
    return Groups.from_pairs(*values_of(what, catalog))
