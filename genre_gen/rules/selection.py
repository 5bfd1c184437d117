"""Lists by rules: boosted scores in, rows in the order of the list out, with what there is to say about it.

Pins come first and count for quotas, so that a list as it is shown keeps them; a pin that would break one is left out.
If the best list has too few items for ``at_least``, the best items that satisfy it are taken first, and the others fill
the list. Items that are not pinned are ordered by score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.quotas import Quotas, best_within
from genre_gen.data.catalog import Catalog
from genre_gen.ranking import Ranking
from genre_gen.rules.compiled import CompiledRules

Rank = Callable[[int, NDArray[np.bool_], Quotas | None], Ranking]
"""From how many, what is allowed (bool ``[n_items]``) and quotas: the best items, which are counted in the quotas."""


@dataclass(frozen=True, eq=False)
class Selection:
    """A list by rules.

    Attributes:
        rows: int64 ``[n]``, catalog rows in the order of the list.
        pinned: bool ``[n]``, which stand where a pin put them.
        notes: which pins are missing and why, and what ``at_least`` asked for in vain.
    """

    rows: NDArray[np.int64]
    pinned: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def select(
    rules: CompiledRules,
    scores: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    n: int,
    rank: Rank,
    catalog: Catalog,
    seen: NDArray[np.integer],
) -> Selection:
    """Choose and order the items of one list.

    Args:
        rules: of the request.
        scores: float32 ``[n_items]``, boosts included; finite for all that is allowed.
        allowed: bool ``[n_items]``, what the request's filters leave, without items that may not come again.
        n: how many items.
        rank: makes lists without pins, with re-ranking where the domain has it.
        catalog: names the items in notes.
        seen: rows of the history, to say why a pin is missing.

    Returns:
        As many items as asked for; fewer only where no other allowed item may be taken.
    """
    missing: dict[int, str] = {}
    for pin, row in rules.pins.items():
        if not allowed[row]:
            missing[pin] = "seen already" if row in seen else "outside the filters of the request"
        elif pin > n:
            missing[pin] = f"the list has {n} items"
    while True:
        quotas, placed = rules.quotas(len(allowed)), dict[int, int]()
        for pin, row in rules.pins.items():
            if pin in missing:
                continue
            if quotas is not None and quotas.blocked[row]:
                missing[pin] = "at_most allows no more of its kind"
                continue
            placed[pin] = row
            if quotas is not None:
                quotas.take(row)
        others = _others(rules, scores, allowed, n, rank, placed.values(), quotas)
        size = len(placed) + len(others)
        if max(placed, default=0) <= size:
            break
        missing[max(placed)] = f"the list has {size} items"
    rows, pinned = _merged(others, placed)
    names = {pin: f"{catalog[row].title!r} is not pinned at rank {pin}" for pin, row in rules.pins.items()}
    notes = [f"{names[pin]}: {why}" for pin, why in sorted(missing.items())]
    return Selection(rows, pinned, (*notes, *_unmet(rules, rows)))


def _others(
    rules: CompiledRules,
    scores: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    n: int,
    rank: Rank,
    placed: Iterable[int],
    quotas: Quotas | None,
) -> NDArray[np.int64]:
    """Return the rows of a list that are not pinned, by score; ``quotas`` have counted those that are."""
    pins = list(placed)
    room = n - len(pins)
    if room <= 0:
        return np.zeros(0, np.int64)
    free = allowed.copy()
    free[pins] = False
    again = None if quotas is None else quotas.copy()
    rows = rank(room, free, quotas).rows
    if all(minimum.mask[[*pins, *rows]].sum() >= minimum.count for minimum in rules.minimums):
        return rows
    taken = list[int]()
    for minimum in rules.minimums:
        lacking = min(minimum.count - int(minimum.mask[[*pins, *taken]].sum()), room - len(taken))
        if lacking > 0:
            taken += best_within(scores, lacking, free & minimum.mask, again).rows.tolist()
            free[taken] = False
    if len(taken) < room:
        taken += rank(room - len(taken), free, again).rows.tolist()
    rows = np.array(taken, np.int64)
    return rows[np.lexsort((rows, -scores[rows]))]


def _merged(others: NDArray[np.int64], placed: dict[int, int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows of a list with the pins at their ranks, and which are pins."""
    pinned = np.zeros(len(others) + len(placed), bool)
    pinned[[rank - 1 for rank in placed]] = True
    rows = np.zeros(len(pinned), np.int64)
    rows[pinned], rows[~pinned] = list(placed.values()), others
    return rows, pinned


def _unmet(rules: CompiledRules, rows: NDArray[np.int64]) -> Iterable[str]:
    for minimum in rules.minimums:
        count = int(minimum.mask[rows].sum())
        if count < minimum.count:
            yield f"{count} of at least {minimum.count} items with {minimum.expression}: no more may be taken"
