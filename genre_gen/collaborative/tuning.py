"""Choosing the hyper-parameters of collaborative models on validation cases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from genre_gen.collaborative.base import CollaborativeModel, EpochModel
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case, sample_cases
from genre_gen.metrics import case_ranks, ndcg_at

Stage: TypeAlias = Mapping[str, Sequence[float]]

RECENCY = (0.0, 0.5, 1.0, 1.5, 2.0)
STAGES: dict[str, tuple[Stage, ...]] = {
    "sequential_rules": (
        {"smoothing": (10.0, 100.0, 1000.0), "novelty": (0.0, 0.2, 0.4, 0.6)},
        {"decay": (0.0, 0.3, 0.6, 1.0), "backward": (0.2, 0.5, 1.0)},
        {"recency": RECENCY},
    ),
    "ease": ({"recency": RECENCY}, {"l2": (50.0, 200.0, 500.0)}),
    "item_knn": ({"recency": RECENCY}, {"shrink": (0.0, 10.0, 50.0)}),
    "text_knn": ({"recency": RECENCY},),
}
"""What is tried for each model: all combinations of a stage, from the best of the stage before."""

SCORING = frozenset({"recency"})
"""Hyper-parameters that only scoring reads: trying them needs no new fit."""

CASES = 2000


def tune(
    name: str,
    make: Callable[[Mapping[str, Any]], CollaborativeModel],
    interactions: Interactions,
    cases: Sequence[Case],
    *,
    repeat: bool = False,
) -> tuple[CollaborativeModel, dict[str, Any]]:
    """Fit a model with the hyper-parameters of greatest NDCG@10 on validation cases.

    Of a model that is trained epoch by epoch, their number is what is chosen.

    Args:
        name: of the model; one without stages is only fitted.
        make: returns a new model with the given hyper-parameters, the others being its defaults.
        interactions: what is learned from.
        cases: validation cases; of more than CASES a fixed sample is used.
        repeat: whether items of the history may be recommended again.

    Returns:
        The fitted model, and the hyper-parameters that were chosen.
    """
    cases = sample_cases(cases, CASES)
    model = make({})
    if isinstance(model, EpochModel):
        model.fit(interactions, cases, repeat=repeat)
        return model, {"max_epochs": model.best_epoch} if cases else {}
    model.fit(interactions)
    best, top = model, -1.0
    chosen: dict[str, Any] = {}
    for stage in STAGES.get(name, ()) if cases else ():
        for options in _combinations(stage, dict(chosen)):
            if set(stage) <= SCORING:
                candidate = make({}).from_arrays(best.arrays(), {**best.settings(), **options})
            else:
                candidate = make(options).fit(interactions)
            found = float(ndcg_at(case_ranks(candidate.score, cases, interactions.n_items, repeat), 10).mean())
            if found > top:
                best, chosen, top = candidate, options, found
    return best, chosen


def _combinations(stage: Stage, start: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*stage.values()):
        yield {**start, **dict(zip(stage, values, strict=True))}
