"""The protocol for all models of a table: full ranking of the allowed items, the same cases, ties counted half."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen import metrics
from genre_gen.data.arguments import check_count
from genre_gen.data.batches import batches, histories_at_a_time
from genre_gen.data.history import History, allowed_items
from genre_gen.data.interactions import Interactions
from genre_gen.data.labels import Labels
from genre_gen.data.normal_form import composed
from genre_gen.data.splits import NO_CASES, Case, Part, Split
from genre_gen.errors import UsageError, quoted
from genre_gen.evaluation.report import Report, Result
from genre_gen.ranking import Ranking

Scorer: TypeAlias = Callable[[Sequence[History]], NDArray[np.float32]]
"""Scores histories: float32 ``[len(histories), n_items]``, higher is better."""

Mixture: TypeAlias = Callable[[Mapping[str, NDArray[np.float32]], NDArray[np.bool_]], NDArray[np.float32]]
"""Makes scores from the scorers' scores and the allowed items, as a blend does."""


def evaluate_scorers(
    scorers: Mapping[str, Scorer],
    cases: Sequence[Case],
    n_items: int,
    k: int | Sequence[int] = (5, 10, 20),
    *,
    repeat: bool = False,
    mixtures: Mapping[str, Mixture] | None = None,
    counts: NDArray[np.integer] | None = None,
    labels: Labels | None = None,
    costs: Mapping[str, Mapping[str, float]] | None = None,
    data: str = "",
    split: str = "",
    batch: int = 256,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Rank each case's target among all allowed items by each scorer.

    Args:
        scorers: name -> scorer, in the order of the table.
        cases: histories and targets; at least one.
        n_items: size of the catalog.
        k: cut-offs of the metrics.
        repeat: whether items of the history may be recommended again. A target is ranked in either case.
        mixtures: name -> function from the scorers' scores to new ones (a blend), so that scorers run only once.
        counts: ``[n_items]`` training interactions per item; adds novelty, popularity and its lift of the top
            ``max(k)``.
        labels: the items' labels; adds diversity and calibration of the top ``max(k)``.
        costs: name -> further costs, such as ``{"train_seconds": 12.0}``; the seconds of scoring are measured here.
        data: name of the data, for the report.
        split: name of the split and its part, for the report.
        batch: histories scored at a time; fewer of a large catalog.
        progress: called with the number of cases done after each batch.

    Returns:
        The figures of every scorer, with each user's rank.

    Raises:
        UsageError: there are no cases, or scores have the wrong shape.
    """
    k = cut_offs(k)
    if not cases:
        raise UsageError(f"there are no cases to evaluate: {NO_CASES}")
    mixtures, costs = mixtures or {}, costs or {}
    tallies = {name: _Tally() for name in (*scorers, *mixtures)}
    for part in batches(cases, histories_at_a_time(batch, n_items)):
        _rank(part, scorers, mixtures, tallies, n_items, min(max(k), n_items), repeat)
        if progress is not None:
            progress(len(part))
    histories = [case.history for case in cases]
    results = [
        Result(
            name,
            np.concatenate(tally.ranks),
            list_figures(np.concatenate(tally.lists), n_items, counts, histories, labels),
            {"score_seconds": tally.seconds, **costs.get(name, {})},
        )
        for name, tally in tallies.items()
    ]
    return Report(tuple(results), tuple(k), n_items, _users(cases), _targets(cases), data, split, repeat)


@dataclass
class _Tally:
    """The results of one model so far: ranks of the targets, top lists, seconds of scoring."""

    ranks: list[NDArray[np.float64]] = field(default_factory=list)
    lists: list[NDArray[np.int64]] = field(default_factory=list)
    seconds: float = 0.0


def _rank(
    cases: Sequence[Case],
    scorers: Mapping[str, Scorer],
    mixtures: Mapping[str, Mixture],
    tallies: Mapping[str, _Tally],
    n_items: int,
    n: int,
    repeat: bool,
) -> None:
    """Rank the targets of a batch by every model; the top lists have ``n`` items."""
    histories, targets = [case.history for case in cases], _targets(cases)
    allowed = allowed_items(histories, n_items, repeat)
    ranked = allowed.copy()
    ranked[np.arange(len(cases)), targets] = True
    scores: dict[str, NDArray[np.float32]] = {}
    for name, tally in tallies.items():
        begin = time.perf_counter()
        scores[name] = scorers[name](histories) if name in scorers else mixtures[name](scores, ranked)
        tally.seconds += time.perf_counter() - begin
        if scores[name].shape != ranked.shape:
            shapes = f"shape {scores[name].shape}, expected {ranked.shape}"
            raise UsageError(f"{name} returned scores of {shapes} (histories, items)")
        tally.ranks.append(metrics.ranks(scores[name], targets, ranked))
        tally.lists.append(_top(scores[name], allowed, n))


def evaluate_lists(
    name: str,
    lists: NDArray[np.integer],
    cases: Sequence[Case],
    n_items: int,
    k: int | Sequence[int] = (5, 10, 20),
    *,
    repeat: bool = False,
    counts: NDArray[np.integer] | None = None,
    labels: Labels | None = None,
    data: str = "",
    split: str = "",
) -> Report:
    """Evaluate given lists of picks with the same metrics; a target outside its list is a miss.

    The lists are int ``[len(cases), n]`` catalog rows, best first, -1 if a list is shorter (``lists_from_picks``),
    in the order of the cases; no cut-off exceeds ``n``. The other arguments are those of ``evaluate_scorers``.

    Raises:
        UsageError: invalid shapes or cut-offs, a row outside the catalog, or a repeated or seen item in a list.
    """
    lists, k = np.asarray(lists), cut_offs(k)
    if lists.ndim != 2 or len(lists) != len(cases) or len(lists) == 0:  # noqa: PLR2004 a table has two dimensions
        raise UsageError(f"lists of shape {lists.shape} for {len(cases)} cases; give one list per case")
    if max(k) > lists.shape[1]:
        raise UsageError(f"lists of {lists.shape[1]} items cannot be measured at {max(k)}; make longer lists")
    if lists.min() < -1 or lists.max() >= n_items:
        raise UsageError(f"a list contains a row outside the catalog of {n_items} items")
    for case, picks in zip(cases, lists, strict=True):
        shown = picks[picks >= 0]
        if len(np.unique(shown)) < len(shown):
            raise UsageError(f"the list of user {quoted(case.history.user)} repeats an item; remove the duplicate")
        if not repeat and np.isin(shown, case.history.rows).any():
            raise UsageError(
                f"the list of user {quoted(case.history.user)} has an item of the history; pass repeat=True"
            )
    figures = list_figures(lists[:, : max(k)], n_items, counts, [case.history for case in cases], labels)
    result = Result(name, metrics.ranks_in_lists(lists, _targets(cases)), figures)
    return Report((result,), tuple(k), n_items, _users(cases), _targets(cases), data, split, repeat)


def lists_from_picks(
    users: Sequence[str], places: NDArray[np.integer], rows: NDArray[np.integer], cases: Sequence[Case]
) -> NDArray[np.int64]:
    """Convert a table of picks to lists in the order of the cases: int64 ``[len(cases), largest rank]``, -1 = none.

    The table has a user id, a rank (1 for the best) and a catalog row per pick. Users without a case are left out; a
    user without picks gets an empty list.

    Raises:
        UsageError: there are no picks, a rank is below 1, or a user has two picks with the same rank.
    """
    position = {composed(str(case.history.user)): index for index, case in enumerate(cases)}
    owners = np.array([position.get(composed(user), -1) for user in users], dtype=np.int64)
    places, rows = np.asarray(places), np.asarray(rows)
    if len(places) == 0 or places.min() < 1:
        raise UsageError("ranks must be 1 or more, and there must be at least one pick")
    ours = np.flatnonzero(owners >= 0)
    found, first = np.unique(np.stack([owners[ours], places[ours]]), axis=1, return_index=True)
    if found.shape[1] < len(ours):
        again = ours[np.setdiff1d(np.arange(len(ours)), first)[0]]
        more = f" ({len(ours) - found.shape[1]:,} such picks)" if len(ours) - found.shape[1] > 1 else ""
        raise UsageError(
            f"user {quoted(users[again])} has two picks with rank {places[again]}{more}; give each rank once, or scores"
        )
    lists = np.full((len(cases), int(places.max())), -1, dtype=np.int64)
    lists[owners[ours], places[ours] - 1] = rows[ours]
    return lists


def check_trained_for(trained_on: Interactions, split: Split, part: Part) -> None:
    """Raise UsageError if a model may have seen the targets, because it learned from other interactions.

    It must have learned from ``train`` or, for the test part, from ``train_and_validation``.
    """
    fair = [split.train, split.train_and_validation] if part == "test" else [split.train]
    if not any(_equal(trained_on, interactions) for interactions in fair):
        raise UsageError(
            f"this recommender learned from {len(trained_on):,} interactions, but the {split.name} split "
            f"leaves {len(fair[-1]):,} to learn from before its {part} part; evaluate with the split that it was "
            "trained for" + (", on the test part" if part == "validation" else "")
        )


def _equal(first: Interactions, second: Interactions) -> bool:
    same_rows = np.array_equal(first.offsets, second.offsets) and np.array_equal(first.rows, second.rows)
    return same_rows and first.users == second.users


def _top(scores: NDArray[np.float32], allowed: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    """Return the ``n`` best allowed rows per history: int64 ``[B, n]``, -1 if fewer can be ranked."""
    top = np.full((len(scores), n), -1, dtype=np.int64)
    for row in range(len(scores)):
        best = Ranking.from_scores(scores[row], n, allowed[row]).rows
        top[row, : len(best)] = best
    return top


def list_figures(
    lists: NDArray[np.integer],
    n_items: int,
    counts: NDArray[np.integer] | None = None,
    histories: Sequence[History] | None = None,
    labels: Labels | None = None,
) -> dict[str, float]:
    """Return the figures of recommended lists beyond accuracy; undefined figures are left out.

    Args:
        lists: int ``[B, n]`` catalog rows, -1 = no item.
        n_items: size of the catalog.
        counts: ``[n_items]`` training interactions; adds ``novelty``, ``popularity`` and ``popularity_lift``.
        histories: ``B`` users' histories; without them, figures that compare the lists with them are left out.
        labels: adds ``diversity`` and ``calibration`` (smaller is better), both means over users.
    """
    figures = {"coverage": metrics.coverage(lists, n_items), "gini": metrics.gini(lists, n_items)}
    if counts is not None:
        figures["novelty"] = metrics.novelty(lists, counts)
        figures["popularity"] = metrics.mean_popularity(lists, counts)
        if histories is not None:
            figures["popularity_lift"] = metrics.popularity_lift(lists, histories, counts)
    if labels is not None:
        figures["diversity"] = _mean(metrics.diversity(lists, labels.matrix))
        if histories is not None:
            figures["calibration"] = _mean(metrics.calibration(lists, histories, labels.shares))
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean over the users with a defined figure; nan without such users."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def cut_offs(k: int | Sequence[int]) -> tuple[int, ...]:
    """Return the cut-offs of metrics, given as one or as several; raises UsageError unless they are whole numbers."""
    several = list(k) if isinstance(k, Iterable) and not isinstance(k, (str, bytes, Mapping)) else [k]
    if not several:
        raise UsageError(f"k = {quoted(k)}; give a cut-off such as 10, or several")
    return tuple(check_count(each, "k", "give a cut-off such as 10, or several, each 1 or more") for each in several)


def _users(cases: Sequence[Case]) -> tuple[str | None, ...]:
    return tuple(case.history.user for case in cases)


def _targets(cases: Sequence[Case]) -> NDArray[np.int64]:
    return np.array([case.target for case in cases], dtype=np.int64)
