"""Choosing the hyper-parameters of collaborative models on validation cases."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genre_gen.collaborative.base import CollaborativeModel, EpochModel
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case, sample_cases
from genre_gen.metrics import case_ranks, ndcg_at

CASES = 2000
"""The number of validation cases; of more cases a fixed sample is used."""

SCORES, LEAST_CASES = 2**28, 200
"""The number of scores that a candidate is judged by, which makes that sample smaller in large catalogs, and its least
size."""


def tune(
    make: Callable[[Mapping[str, Any]], CollaborativeModel],
    interactions: Interactions,
    cases: Sequence[Case],
    *,
    repeat: bool = False,
    enough: Callable[[], bool] = lambda: False,
) -> tuple[CollaborativeModel, dict[str, Any]]:
    """Fit a model with the hyper-parameters of greatest NDCG@10 on validation cases.

    The model's ``grid`` lists the values to try: all combinations of a stage, starting from the best of the stage
    before. For a model that is trained epoch by epoch, the number of epochs is chosen.

    Args:
        make: returns a new model with the given hyper-parameters and defaults for the others.
        interactions: the interactions to learn from.
        cases: validation cases; of many a fixed sample is used, see CASES and SCORES.
        repeat: whether items of the history are ranked too.
        enough: is asked before each further candidate is tried; once it returns True, the best so far is returned.

    Returns:
        The fitted model, and the chosen hyper-parameters.
    """
    cases = sample_cases(cases, min(CASES, max(LEAST_CASES, SCORES // interactions.n_items)))
    model = make({})
    if isinstance(model, EpochModel):
        model.fit(interactions, cases, repeat=repeat, enough=enough)
        return model, {"max_epochs": model.best_epoch} if cases else {}
    shared: dict[str, Any] = {}
    model.fit_sharing(interactions, shared)
    best, top = model, -1.0
    chosen: dict[str, Any] = {}
    for stage in model.grid if cases else ():
        start = chosen
        for values in itertools.product(*stage.values()):
            if enough():
                return best, chosen
            options = {**start, **dict(zip(stage, values, strict=True))}
            if top >= 0 and all(getattr(best, name) == value for name, value in options.items()):
                continue  # the best so far
            if set(stage) <= model.scoring_only:
                candidate = _with(best, options)
            else:
                candidate = make(options).fit_sharing(interactions, shared)
            ndcg = float(ndcg_at(case_ranks(candidate.score, cases, interactions.n_items, repeat), 10).mean())
            if ndcg > top:
                best, chosen, top = candidate, options, ndcg
    return best, chosen


def _with(model: CollaborativeModel, options: Mapping[str, Any]) -> CollaborativeModel:
    """Return the fitted model with other values of what only scoring uses; both share what they learned."""
    changed = copy.copy(model)
    for name, value in options.items():
        setattr(changed, name, value)
    return changed
