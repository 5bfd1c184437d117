"""Answering requests in batches: scores of the members are blended, filtered, re-ranked and explained."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import EXPECTED, Blend, Blended
from genre_gen.blending.quotas import Quotas
from genre_gen.blending.rerank import rerank
from genre_gen.collaborative import SVD
from genre_gen.data.arguments import check_type
from genre_gen.data.batches import histories_at_a_time
from genre_gen.data.filters import Allowed, Filters, check_n
from genre_gen.data.history import History
from genre_gen.errors import DecodingError, UsageError, quoted
from genre_gen.query.parsed import ParsedQuery
from genre_gen.ranking import Ranking
from genre_gen.recommender.requests import (
    BOOST,
    Answers,
    Recommendation,
    Recommendations,
    Request,
    Who,
    data_of,
    history_of,
)
from genre_gen.recommender.state import LLM_MEMBER, QUERY_MEMBER, RecommenderState
from genre_gen.rules.compiled import CompiledRules
from genre_gen.rules.selection import Selection, select

log = logging.getLogger(__name__)
BATCH = 64
"""Requests that are scored together."""

NOT_UNDERSTOOD = "nothing of the query was understood; ranked as without it"
WITHOUT_LLM = "the language model failed; ranked by the collaborative models"
WITHOUT = "the scores of {} are not finite; ranked without"
NOTHING = "the scores of {} are not finite, and there is nothing else to rank by; train again"


@dataclass
class _Asked:
    """A parsed request: the history, the allowed items, and notes."""

    request: Request
    history: History
    allowed: Allowed
    notes: list[str]
    rules: CompiledRules | None
    parsed_query: ParsedQuery | None = None
    wishes: NDArray[np.float32] | None = None


def answer_many(
    state: RecommenderState, requests: Iterable[Request], available: NDArray[np.bool_] | None = None
) -> Iterator[Recommendations]:
    """Answer requests in order, in batches, with the same results as one by one.

    Items that are not ``available`` (bool ``[n_items]``; None for all) are never picked, whatever a request asks for.

    Raises:
        UsageError, UnknownItemError, FilterError: a request that is invalid.
        DecodingError: the language model's scores are not finite, and there are no collaborative models.
    """
    filters: dict[tuple[object, ...], Filters] = {}
    remaining = iter(_checked(requests))
    size = histories_at_a_time(BATCH, len(state.catalog))
    while asked := [_read(state, request, filters, available) for request in itertools.islice(remaining, size)]:
        yield from _answers(state, asked)


def _checked(requests: Iterable[Request]) -> Iterable[Request]:
    if isinstance(requests, str) or not isinstance(requests, Iterable):
        raise UsageError(f"requests = {quoted(requests)}; give a list of Request(...), also for a single one")
    return (
        check_type(request, Request, "a request", "Request(...), such as Request('17', n=5)") for request in requests
    )


def answer_users(state: RecommenderState, who: Who, users: Iterable[Who], options: Mapping[str, Any]) -> Answers:
    """Answer many users with the same options; ``who`` must be None.

    Raises:
        UsageError: ``who`` is given too, or ``users`` is not a list.
    """
    if who is not None:
        raise UsageError("give either who or users")
    if isinstance(users, str) or not isinstance(users, Iterable):
        raise UsageError(f"users = {quoted(users)}; give a list of user ids or histories, also for a single one")
    users = list(users)
    answers = answer_many(state, (Request(user, **options) for user in users))
    return Answers(zip(users, answers, strict=True))


def _read(
    state: RecommenderState,
    request: Request,
    shared: dict[tuple[object, ...], Filters],
    available: NDArray[np.bool_] | None,
) -> _Asked:
    check_n(request.n)
    rules = state.rule_book.compiled(request.rules)
    history, notes = history_of(request.who, *data_of(state, request.at))
    filters = _filters(state, request, shared, available)
    if request.query is None:
        return _Asked(request, history, filters.allowed(history), list(notes), rules)
    if not isinstance(request.query, str):
        raise UsageError(f"query = {quoted(request.query)}; give it as text")
    parsed = state.query_parser.parse(request.query)
    if parsed.where is not None or parsed.items:
        filters = filters.copy()
        if parsed.where is not None:
            filters.narrow(parsed.where)
        if parsed.items:
            filters.leave_out(parsed.items, "named in the query")
    weighed = state.domain.query.weight > 0
    wishes = state.query_parser.score(parsed) if weighed else None
    if not parsed:
        notes = (*notes, NOT_UNDERSTOOD)
    return _Asked(request, history, filters.allowed(history), list(notes), rules, parsed, wishes)


def _filters(
    state: RecommenderState,
    request: Request,
    shared: dict[tuple[object, ...], Filters],
    available: NDArray[np.bool_] | None,
) -> Filters:
    """Return a request's filters; requests with the same filters share them, since computing them is costly."""

    def build() -> Filters:
        return Filters(state.catalog, request.where, request.exclude, request.include, state.domain.repeat, available)

    try:
        key = (request.where, tuple(request.exclude), None if request.include is None else tuple(request.include))
        hash(key)
    except TypeError:
        return build()  # which says what is wrong
    if isinstance(request.exclude, str) or isinstance(request.include, str):
        return build()
    if key not in shared:
        shared[key] = build()
    return shared[key]


def _answers(state: RecommenderState, asked: Sequence[_Asked]) -> Iterator[Recommendations]:
    """Answer a batch. Requests with preferences, and those that the language model failed, have their own blends."""
    mask = np.stack([each.allowed.mask for each in asked])
    candidates = 0 if state.domain.rerank.method == "none" else state.domain.rerank.candidates
    depths = [max(each.request.n, candidates) for each in asked]
    scores, failed = _scores(state, [each.history for each in asked], mask, depths)
    answers: list[Recommendations | None] = [None] * len(asked)
    groups: dict[tuple[frozenset[str], bool], list[int]] = {}
    for position, each in enumerate(asked):
        groups.setdefault((failed[position], each.wishes is not None), []).append(position)
    for (broken, wishing), positions in groups.items():
        wishes = [asked[position].wishes for position in positions]
        blend = _blend_without(state, broken)
        whole = len(positions) == len(asked)  # of large catalogs, a copy takes milliseconds
        of_group = {name: scores[name] if whole else scores[name][positions] for name in blend.members}
        if wishing:
            blend = Blend({**blend.weights, QUERY_MEMBER: state.domain.query.weight})
            of_group[QUERY_MEMBER] = np.stack([wish for wish in wishes if wish is not None])
        blended = blend.combine(state.mask_cold_items(of_group, [*of_group]), mask if whole else mask[positions])
        for row, position in enumerate(positions):
            asked[position].notes[:0] = _notes_on(broken)
            answers[position] = _picks(state, asked[position], *_opinion(state, asked[position], blended, row))
    yield from answers  # type: ignore[misc]


def _opinion(state: RecommenderState, asked: _Asked, blended: Blended, row: int) -> tuple[Blended, int]:
    """Return scores and their row; popularity for an unknown user if each member scores all items equally."""
    mask = asked.allowed.mask
    if len(asked.history) or not mask.any() or np.ptp(blended.total[row][mask]) > 0:
        return blended, row
    popularity = {"popularity": state.popularity[None]}
    return Blend({"popularity": 1.0}).combine(popularity, mask[None]), 0


def _scores(
    state: RecommenderState, histories: Sequence[History], mask: NDArray[np.bool_], depths: Sequence[int]
) -> tuple[dict[str, NDArray[np.float32]], list[frozenset[str]]]:
    """Return each member's scores, and for each history the members that failed."""
    failed: list[set[str]] = [set() for _ in histories]
    scores: dict[str, NDArray[np.float32]] = {}
    if LLM_MEMBER in state.blend.members:
        scores[LLM_MEMBER], without = _language_model_scores(state, histories, mask, depths)
        for position in np.flatnonzero(without).tolist():
            failed[position].add(LLM_MEMBER)
    wanted = {*state.blend.members, *(state.tuned.blend_without_llm.members if any(failed) else ())} - {LLM_MEMBER}
    for name in sorted(wanted & state.members.keys()):
        scores[name] = state.members[name].score(histories)
        for position in np.flatnonzero(~np.isfinite(scores[name]).all(axis=1)).tolist():
            failed[position].add(name)
    return scores, [frozenset(names) for names in failed]


def _blend_without(state: RecommenderState, failed: frozenset[str]) -> Blend:
    """Return the weights of the members that did not fail.

    Raises:
        DecodingError: no member is left.
    """
    blend = state.tuned.blend_without_llm if LLM_MEMBER in failed else state.blend
    if not failed:
        return blend
    there = {LLM_MEMBER, *state.members} - failed
    weights = {name: weight for name, weight in blend.weights.items() if weight > 0 and name in there}
    if not weights:
        raise DecodingError(NOTHING.format(" and ".join(sorted(failed))))
    return Blend(weights)


def _notes_on(failed: frozenset[str]) -> list[str]:
    members = " and ".join(sorted(failed - {LLM_MEMBER}))
    return [WITHOUT_LLM] * (LLM_MEMBER in failed) + [WITHOUT.format(members)] * bool(members)


def _language_model_scores(
    state: RecommenderState, histories: Sequence[History], mask: NDArray[np.bool_], depths: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the language model's scores; if a batch fails, each history is tried alone."""
    from genre_gen.llm.generator import CANDIDATES

    scores, failed = np.full(mask.shape, -np.inf, np.float32), np.zeros(len(histories), bool)
    searched = np.maximum(depths, CANDIDATES)  # how far a search over codes of several tokens goes
    for depth in np.unique(searched).tolist():
        positions = np.flatnonzero(searched == depth).tolist()
        try:
            scores[positions] = state.generator.score(
                [histories[position] for position in positions], mask[positions], depth
            )
        except DecodingError as problem:
            log.warning("the language model failed: %s", problem)
            for position in positions:
                try:
                    scores[position] = state.generator.score([histories[position]], mask[[position]], depth)[0]
                except DecodingError:
                    failed[position] = True
    return scores, failed


def _picks(state: RecommenderState, asked: _Asked, blended: Blended, row: int) -> Recommendations:
    scores, selection = _selection(state, asked, blended, row)
    rows, n = selection.rows, asked.request.n
    parts = blended.parts(rows, row)
    if asked.rules is not None and asked.rules.boost is not None:
        parts[BOOST] = asked.rules.boost[rows]
    picks = [
        Recommendation(
            rank + 1,
            state.catalog[int(item)],
            float(scores[item]),
            {name: float(part[rank]) for name, part in parts.items() if name not in {EXPECTED, BOOST} or part[rank]},
            pinned=bool(selection.pinned[rank]),
        )
        for rank, item in enumerate(rows)
    ]
    if asked.request.explain:
        picks = explained(state, asked.history, picks, asked.allowed.mask)
    short = [f"{len(picks)} of {n} items: {asked.allowed.reason}"] if len(picks) < n else []
    if short and asked.rules is not None and (over := int(asked.allowed.mask.sum()) - len(picks)):
        short[0] += f"; {over:,} more would break at_most"
    return Recommendations(picks, [*asked.notes, *selection.notes, *short], asked.parsed_query)


def _selection(
    state: RecommenderState, asked: _Asked, blended: Blended, row: int
) -> tuple[NDArray[np.float32], Selection]:
    """Return all items' scores, float32 ``[n_items]``, and the items of the list."""
    settings, scores, mask, n = state.domain.rerank, blended.total[row], asked.allowed.mask, asked.request.n
    labels = None if settings.method == "none" else state.labels
    if asked.rules is None:
        ranking = rerank(settings, scores, mask, asked.history, n, labels)
        return scores, Selection(ranking.rows, np.zeros(len(ranking), bool))
    if (unscored := mask & ~np.isfinite(scores)).any():  # a search offers the best; the others count as its last
        lowest = sum((share[row] for share in blended.shares.values()), np.zeros(len(mask)))
        scores = np.where(unscored, lowest, scores).astype(np.float32)
    if asked.rules.boost is not None:
        scores = scores + asked.rules.boost

    def rank(n: int, allowed: NDArray[np.bool_], quotas: Quotas | None) -> Ranking:
        return rerank(settings, scores, allowed, asked.history, n, labels, quotas)

    seen = asked.history.barred(state.domain.repeat)
    return scores, select(asked.rules, scores, mask, n, rank, state.catalog, seen)


def explained(
    state: RecommenderState, history: History, picks: Sequence[Recommendation], allowed: NDArray[np.bool_]
) -> list[Recommendation]:
    """Return picks with explanations; that of a pinned one states the pin. ``allowed`` is bool ``[n_items]``."""
    chosen = [pick for pick in picks if not pick.pinned]  # a reason of the user's own would not be why a pin is there
    rows = [state.catalog.row(pick.item.id) for pick in chosen]
    svd = state.members.get(SVD.name)
    expected = svd.rate(history, rows).tolist() if isinstance(svd, SVD) and history.rated else None
    parts, effects = [pick.parts for pick in chosen], _effects(state, history, rows, allowed)
    explanations = iter(state.explainer.explain_many(history, rows, parts, expected, effects))
    return [
        replace(
            pick, explanation=state.explainer.pinned(pick.item.id, pick.rank) if pick.pinned else next(explanations)
        )
        for pick in picks
    ]


def _effects(
    state: RecommenderState, history: History, rows: Sequence[int], allowed: NDArray[np.bool_]
) -> Sequence[Mapping[int, float]] | None:
    """Return the effects of recent items on each pick; None if not requested, or if they cannot be measured."""
    limit = state.domain.explain.attribution
    try:
        return state.attributor.effects(history, rows, allowed, limit) if limit and rows and len(history) else None
    except DecodingError:
        return None  # the picks came without the language model, as their notes report
