"""Which settings predict ratings best? Tried on the inner part of the first fold of ``eval/rating_cv.py``.

    python eval/rating_tuning.py [--domain movies] [--folds 5] [--seed 0] [--json eval/results/rating_tuning.json]

``eval/rating_cv.py`` reports what the chosen settings reach. Here each candidate is fitted on ``inner_known`` of its
first fold and asked for ``inner_asked``; SVD and SVD++ for users by id, and folded in with several penalties. The first
fold itself has no say in that. The inner part, though, is all ratings outside it, and so all that the other folds
report errors on: these had a say in the settings, if none in the fit that predicts them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rating_cv import Span, load, parts, scale, settings_of, values_of

from genre_gen.collaborative import SVD, BayesianMF, KNNBaseline, RatingModel, SVDpp
from genre_gen.collaborative.rating_blend import rate_all
from genre_gen.data.interactions import Interactions
from genre_gen.metrics import rmse

PENALTIES = (5.0, 10.0, 20.0, 40.0)
GRIDS: dict[type[SVD], list[tuple[int, int, float, float]]] = {  # factors, epochs, learning rate, regularisation
    SVD: [
        (100, 20, 0.005, 0.02),
        (100, 40, 0.005, 0.05),
        (100, 80, 0.005, 0.1),
        (50, 80, 0.005, 0.08),
        (50, 80, 0.005, 0.1),
        (50, 120, 0.005, 0.12),
        (200, 80, 0.005, 0.1),
    ],
    SVDpp: [
        (20, 20, 0.007, 0.02),
        (20, 20, 0.007, 0.05),
        (20, 40, 0.007, 0.1),
        (20, 80, 0.005, 0.1),
        (20, 80, 0.007, 0.12),
        (50, 40, 0.005, 0.1),
    ],
}

BAYESIAN = [(10, 1e6), (10, 20.0), (10, 5.0), (10, 1.0), (5, 5.0), (20, 5.0)]
"""Factors and implicit penalty; with the first penalty the implicit factors say nothing."""


def main() -> None:
    """Try all candidates, print each one's RMSE, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", default="movies", help="domain whose ratings are used")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the folds and of the models")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    part = next(parts(load(options.domain), options.folds, options.seed))
    tried = []
    for make in candidates(options.seed):
        tried.append(trial(make(scale(part.inner_known)), part.inner_known, part.inner_asked))
        print(json.dumps(tried[-1]), flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"seed": options.seed, "tried": tried}, indent=1) + "\n")


def candidates(seed: int) -> list[Callable[[Span], RatingModel]]:
    """Return what makes each candidate, untrained."""

    def factorised(kind: type[SVD], factors: int, epochs: int, rate: float, penalty: float) -> Any:
        return lambda span: kind(
            factors, epochs=epochs, learning_rate=rate, regularisation=penalty, rating_scale=span, seed=seed
        )

    def neighbours(count: int, shrinkage: float) -> Any:
        return lambda span: KNNBaseline(count, shrinkage, rating_scale=span)

    def bayesian(factors: int, penalty: float) -> Any:
        return lambda span: BayesianMF(factors, implicit_penalty=penalty, rating_scale=span, seed=seed)

    found = [factorised(kind, *settings) for kind, grid in GRIDS.items() for settings in grid]
    found += [neighbours(count, shrinkage) for count in (20, 40, 80) for shrinkage in (50, 100, 200, 400)]
    return found + [bayesian(*settings) for settings in BAYESIAN]


def trial(model: RatingModel, known: Interactions, asked: Interactions) -> dict[str, Any]:
    """Return a candidate's settings and its RMSE on ratings it has not seen."""
    model.fit(known)
    actual = values_of(asked)
    result: dict[str, Any] = {"model": model.name, "settings": settings_of(model)}
    if not isinstance(model, SVD):
        return result | {"rmse": rmse(rate_all(model, known, asked), actual)}
    by_id = [rating for history in asked.histories() for rating in model.rate(history.user or "", history.rows)]
    result["rmse"], result["rmse_folded_in"] = rmse(by_id, actual), {}
    for penalty in PENALTIES:
        model.fold_in_penalty = penalty
        result["rmse_folded_in"][f"{penalty:g}"] = rmse(rate_all(model, known, asked), actual)
    return result


if __name__ == "__main__":
    main()
