"""Filters: the conditions of a request, as the set of allowed items that decoding is constrained to."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.arguments import LARGEST, check_count
from genre_gen.data.catalog import Catalog
from genre_gen.data.filter_expression import evaluate
from genre_gen.data.history import History, check_rows
from genre_gen.errors import UnknownItemError, UsageError, quoted


@dataclass(frozen=True)
class Allowed:
    """The items that may be recommended to one history."""

    mask: NDArray[np.bool_]  # bool ``[n_items]``
    reason: str  # how many items each filter removed, for a note when fewer than n are left


class Filters:
    """Filters of one request. They are evaluated once for any number of histories."""

    def __init__(
        self,
        catalog: Catalog,
        where: str | None = None,
        exclude: Sequence[str] = (),
        include: Sequence[str] | None = None,
        repeat: bool = False,
        available: NDArray[np.bool_] | None = None,
    ) -> None:
        """Evaluate the filters.

        Args:
            catalog: the items.
            where: an expression over attributes, see :mod:`genre_gen.data.filter_expression`.
            exclude: titles or ids that must not appear.
            include: the only titles or ids that may appear (such as items in stock); None for all.
            repeat: whether items of the history may appear again.
            available: bool ``[n_items]``, the items that may be recommended at all; None for all.

        Raises:
            FilterError: the expression is invalid.
            UsageError: one string instead of a list, or names that are not strings.
            UnknownItemError: an excluded or included item is not in the catalog.
        """
        self._catalog, self._repeat = catalog, repeat
        self._mask = np.ones(len(catalog), bool)
        self._reasons = [f"{len(catalog):,} in the catalog"]
        if available is not None:
            check_mask(available, len(catalog))
            if not available.all():
                self._keep(available, "not available")
        if where is not None:
            self._keep(catalog.where(where), f"outside {where!r}")
        if include is not None:
            chosen = np.zeros(len(catalog), bool)
            chosen[rows_of(catalog, include)] = True
            self._keep(chosen, "not on the list to include")
        if exclude:
            self.leave_out(exclude, "excluded")

    def copy(self) -> Filters:
        """Return a copy that can be narrowed without changing the original."""
        other = copy.copy(self)
        other._mask, other._reasons = self._mask.copy(), list(self._reasons)
        return other

    def narrow(self, where: str) -> None:
        """Keep only items that satisfy one more expression, made of a request's words; raises FilterError."""
        self._keep(evaluate(where, self._catalog, LONGEST), f"outside {where!r}")

    def leave_out(self, names: Sequence[str], why: str) -> None:
        """Remove items by title or id; raises UnknownItemError."""
        chosen = np.ones(len(self._catalog), bool)
        chosen[rows_of(self._catalog, names)] = False
        self._keep(chosen, why)

    def key(self) -> str:
        """Return a fingerprint; requests with equal fingerprints allow the same items."""
        return hashlib.sha256(self._mask.tobytes() + bytes([self._repeat])).hexdigest()[:16]

    def _keep(self, chosen: NDArray[np.bool_], why: str) -> None:
        self._reasons.append(f"{int((self._mask & ~chosen).sum()):,} {why}")
        self._mask &= chosen

    def allowed(self, history: History) -> Allowed:
        """Return the items that may be recommended to a history; raises UsageError for a history of another catalog."""
        check_rows(history.rows, len(self._catalog))
        mask, reasons = self._mask.copy(), list(self._reasons)
        if not self._repeat:
            mask[history.rows] = False
            reasons.append(f"{int(self._mask.sum() - mask.sum()):,} seen already")
        if history.hidden is not None:
            before = mask.sum()
            mask[history.hidden.rows] = False
            reasons.append(f"{int(before - mask.sum()):,} hidden by events")
        return Allowed(mask, f"{reasons[0]}, less {', '.join(reasons[1:])}" if len(reasons) > 1 else reasons[0])


def rows_of(catalog: Catalog, names: Sequence[str]) -> list[int]:
    """Return the rows of titles or ids.

    Raises:
        UnknownItemError: items are not in the catalog; the message names them all.
        UsageError: one string instead of a list (its letters would be taken for ids), or names that are not strings.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(f"{quoted(names)} is not a list; give a list of titles or ids, even for a single item")
    rows, problems = [], []
    for name in names:
        try:
            rows.append(catalog.find(name))
        except UnknownItemError as problem:
            problems.append(str(problem))
    if problems:
        raise UnknownItemError("; ".join(problems))
    return rows


def check_mask(available: NDArray[np.bool_], n_items: int) -> None:
    """Raise UsageError unless ``available`` is bool ``[n_items]``: the mask of another catalog would hide others."""
    if not isinstance(available, np.ndarray) or available.dtype != np.bool_ or available.shape != (n_items,):
        shape = getattr(available, "shape", None)
        raise UsageError(
            f"available has the shape {shape}; give a bool array with one entry for each of {n_items} items"
        )


LONGEST = 200_000
"""Characters of an expression that is made of a request: its words may each stand for labels of some length."""


def check_n(n: int) -> None:
    """Raise UsageError if a number of items is not a whole number above 0."""
    beyond = isinstance(n, Integral) and n > LARGEST
    check_count(n, "n", "ask for fewer items" if beyond else "ask for at least one item")
