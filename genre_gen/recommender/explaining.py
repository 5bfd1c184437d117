"""The explaining methods: reasons, contributions of items, comparisons, and counterfactuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.arguments import check_count
from genre_gen.data.filters import Filters
from genre_gen.data.history import History
from genre_gen.errors import UsageError
from genre_gen.explain.attribution import Attribution
from genre_gen.explain.comparison import Comparison, Counterfactual, describe
from genre_gen.explain.comparison import compare as compare_items
from genre_gen.explain.comparison import what_if as find_what_if
from genre_gen.explain.explainer import Explanation
from genre_gen.recommender.answering import explained
from genre_gen.recommender.requests import Recommendation
from genre_gen.recommender.state import RecommenderState


def explain(
    state: RecommenderState, history: History, row: int, available: NDArray[np.bool_] | None = None
) -> Explanation:
    """Explain why an item would be recommended; see :meth:`genre_gen.Recommender.explain`."""
    allowed, title = allowed_for(state, history, available), state.catalog[row].title
    pick = Recommendation(1, state.catalog[row], 0.0)
    explanation = explained(state, history, [pick], allowed)[0].explanation
    if explanation is None:
        raise UsageError(f"there are no facts about {title!r}")
    notes = []
    if available is not None and not available[row]:
        notes.append(f"{title} is not available, and would not be recommended")
    elif not allowed[row]:
        why = "is in the history already" if row in history.rows else "was hidden by an event"
        notes.append(f"{title} {why}, and would not be recommended again")
    rules = state.rule_book.compiled(None)
    notes += (
        [f"{title} is pinned at rank {rank} by a rule" for rank, pin in rules.pins.items() if pin == row]
        if rules
        else []
    )
    return replace(explanation, notes=tuple(notes)) if notes else explanation


def attribute(
    state: RecommenderState, history: History, row: int, limit: int | None, available: NDArray[np.bool_] | None = None
) -> Attribution:
    """Measure the contribution of each item of the history; see :meth:`genre_gen.Recommender.attribute`."""
    return state.attributor.attribute(history, [row], allowed_for(state, history, available), _checked(limit))[0]


def contributions(state: RecommenderState, history: History, rows: Sequence[int]) -> list[Attribution]:
    """Measure the contribution of recent items to several picks at once, without those of attribute values."""
    return state.attributor.attribute(history, rows, allowed_for(state, history), items_only=True)


def compare(
    state: RecommenderState,
    history: History,
    row: int,
    other: int,
    limit: int | None,
    available: NDArray[np.bool_] | None = None,
) -> Comparison:
    """Explain why one item and not another; see :meth:`genre_gen.Recommender.compare`."""
    if row == other:
        raise UsageError(f"{state.catalog[row].title!r} is compared with itself; name another item")
    allowed = allowed_for(state, history, available)
    comparison = compare_items(state.attributor, history, row, other, allowed, _checked(limit))
    return replace(comparison, text=describe(comparison, state.spoken_book, state.explainer.evidence))


def what_if(
    state: RecommenderState,
    history: History,
    row: int,
    n: int | None,
    limit: int | None,
    available: NDArray[np.bool_] | None = None,
) -> Counterfactual:
    """Find items without which a pick loses its rank; see :meth:`genre_gen.Recommender.what_if`."""
    if n is not None:
        check_count(n, "n", "ask for a list of at least one item")
    allowed = allowed_for(state, history, available)
    change = find_what_if(state.attributor, history, row, allowed, n, _checked(limit))
    return replace(change, text=describe(change, state.spoken_book, state.explainer.evidence))


def allowed_for(
    state: RecommenderState, history: History, available: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Return the items that may be recommended without filters: bool ``[n_items]``."""
    return Filters(state.catalog, repeat=state.domain.repeat, available=available).allowed(history).mask


def _checked(limit: int | None) -> int | None:
    return None if limit is None else check_count(limit, "limit", "ask for at least one item of the history")
