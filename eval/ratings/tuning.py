"""Which settings predict ratings best? They are tried on the inner part of the first fold of the cross-validation.

    python -m eval.ratings.tuning [--domain movies] [--folds 5] [--seed 0]

``eval.ratings.cross_validation`` reports the errors of the chosen settings. Here each candidate is fitted on
``inner_known`` of its first fold and predicts ``inner_asked``; SVD and SVD++ for users by id, and folded in with
several penalties. The first fold itself is not used. The inner part contains all ratings outside it, so the ratings
that the other folds report have influenced the settings, though not the fits that predict them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.bench.results import record, table
from eval.bench.script import new_parser, say, script
from eval.ratings.cross_validation import Span, load, parts, scale, settings_of, values_of
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
"""Factors and implicit penalty; with the first penalty the implicit factors have no effect."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Try all candidates, and write each one's RMSE."""
    parser = new_parser(__doc__, "folds", "fold seed")
    parser.add_argument("--domain", default="movies", help="domain whose ratings are used")
    with script(parser, arguments) as options:
        part = next(parts(load(options.domain), options.folds, options.seed))
        tried = []
        for make in candidates(options.seed):
            tried.append(trial(make(scale(part.inner_known)), part.inner_known, part.inner_asked))
            say(str(tried[-1]))
        content = {"seed": options.seed, "tried": tried}
        text = markdown(content)
        record(options.out, "rating_tuning", Path(options.domain).name, content, text)
        print(text)


def markdown(content: Mapping[str, Any]) -> str:
    """Return the table."""
    rows = []
    for candidate in content["tried"]:
        settings = ", ".join(f"{name} {value:g}" for name, value in candidate["settings"].items())
        folded = [f"{candidate['rmse_folded_in'][f'{p:g}']:.4f}" for p in PENALTIES if "rmse_folded_in" in candidate]
        rows.append((candidate["model"], settings, f"{candidate['rmse']:.4f}", *(folded or [""] * len(PENALTIES))))
    head = ("model", "settings", "RMSE", *(f"folded in with {penalty:g}" for penalty in PENALTIES))
    return f"Inner part of the first fold, seed {content['seed']}.\n\n{table(head, rows, words=2)}"


def candidates(seed: int) -> list[Callable[[Span], RatingModel]]:
    """Return functions that make the untrained candidates."""

    def factorised(kind: type[SVD], factors: int, epochs: int, rate: float, penalty: float) -> Any:
        return lambda span: kind(
            factors, epochs=epochs, learning_rate=rate, regularisation=penalty, rating_scale=span, seed=seed
        )

    def neighbours(count: int, shrinkage: float) -> Any:
        return lambda span: KNNBaseline(count, shrinkage, rating_scale=span)

    def bayesian(factors: int, penalty: float) -> Any:
        return lambda span: BayesianMF(factors, implicit_penalty=penalty, rating_scale=span, seed=seed)

    made = [factorised(kind, *settings) for kind, grid in GRIDS.items() for settings in grid]
    made += [neighbours(count, shrinkage) for count in (20, 40, 80) for shrinkage in (50, 100, 200, 400)]
    return made + [bayesian(*settings) for settings in BAYESIAN]


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
