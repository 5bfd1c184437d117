"""How well are ratings predicted? 5-fold RMSE and MAE on MovieLens-100K: ours beside Surprise's own.

    python eval/rating_cv.py [--domain movies] [--folds 5] [--seed 0] [--json eval/results/rating_cv.json]

Per fold, SVD is fitted on the other folds. Three predictions of the held-out ratings are compared: Surprise's own
``predict``, ours by user id (must be equal), and ours by folding the user's training history in, which is what a
user met after training gets.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative.svd import SVD
from genre_gen.errors import DataError
from genre_gen.evaluation.metrics import mae, rmse
from genre_gen.interactions import History, Interactions

EQUAL = 1e-6
"""Ours by user id may differ from Surprise's own by rounding only."""


def main() -> None:
    """Run all folds, print a table, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", default="movies", help="domain whose ratings are used")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the folds and of SVD")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    interactions = load(options.domain)
    result = cross_validate(interactions, options.folds, options.seed)
    print(table(result))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1))


def load(domain: str) -> Interactions:
    """Return a domain's interactions."""
    from genre_gen.domain import Domain
    from genre_gen.readers import load_data

    return load_data(Domain.load(domain)).interactions


def folds(n: int, count: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Deal ``n`` ratings into ``count`` random folds of (nearly) one size; yields who is held out."""
    fold = np.arange(n) % count
    np.random.default_rng(seed).shuffle(fold)
    for number in range(count):
        yield fold == number


def cross_validate(interactions: Interactions, count: int = 5, seed: int = 0) -> dict[str, Any]:
    """Return mean RMSE and MAE of each way to predict, every fold's RMSE, and the largest difference to Surprise."""
    errors: dict[str, list[tuple[float, float]]] = {}
    difference, seconds, span = 0.0, 0.0, scale(interactions)
    for held_out in folds(len(interactions), count, seed):
        train, test = interactions.keep(~held_out), interactions.keep(held_out)
        actual = values_of(test)
        begin = time.perf_counter()
        model = SVD(rating_scale=span, seed=seed).fit(train)
        seconds += time.perf_counter() - begin
        held = test.histories()
        predicted = {
            "surprise": surprise_predictions(train, test, span, seed),
            "svd": np.concatenate([ratings(model, history.user or "", history) for history in held]),
            "svd, folded in": np.concatenate([ratings(model, past(train, history), history) for history in held]),
        }
        difference = max(difference, float(np.abs(predicted["surprise"] - predicted["svd"]).max()))
        for name, values in predicted.items():
            errors.setdefault(name, []).append((rmse(values, actual), mae(values, actual)))
    return {
        "ratings": len(interactions),
        "users": len(interactions.users),
        "items": interactions.n_items,
        "folds": count,
        "seed": seed,
        "fit_seconds_per_fold": seconds / count,
        "largest_difference_to_surprise": difference,
        "equal_to_surprise": difference < EQUAL,
        "rmse": {name: float(np.mean([fold[0] for fold in values])) for name, values in errors.items()},
        "mae": {name: float(np.mean([fold[1] for fold in values])) for name, values in errors.items()},
        "rmse_per_fold": {name: [fold[0] for fold in values] for name, values in errors.items()},
    }


def scale(interactions: Interactions) -> tuple[float, float]:
    """Return the lowest and highest rating."""
    values = values_of(interactions)
    return float(values.min()), float(values.max())


def values_of(interactions: Interactions) -> NDArray[np.float64]:
    """Return the ratings, one per interaction; raises DataError where there is none."""
    if interactions.ratings is None or np.isnan(interactions.ratings).any():
        raise DataError("some or all interactions have no rating; choose a domain whose data is rated")
    return interactions.ratings.astype(np.float64)


def ratings(model: SVD, who: str | History, history: History) -> NDArray[np.float64]:
    """Return our predictions for the items of a held-out history."""
    return np.array([prediction.rating for prediction in model.predict(who, history.rows)])


def past(train: Interactions, history: History) -> History:
    """Return what the user of a held-out history did in training."""
    if history.user in train.users:
        return train.history(history.user)
    return History(np.zeros(0, dtype=np.int64))


def surprise_predictions(
    train: Interactions, test: Interactions, rating_scale: tuple[float, float], seed: int
) -> NDArray[np.float64]:
    """Return what Surprise, used by itself, predicts for the test ratings."""
    import surprise

    def triples(interactions: Interactions) -> list[tuple[str, int, float]]:
        owners = np.repeat(np.arange(len(interactions.users)), np.diff(interactions.offsets))
        users = [interactions.users[row] for row in owners]
        return list(zip(users, interactions.rows.tolist(), values_of(interactions).tolist(), strict=True))

    raw = [(user, item, rating, None) for user, item, rating in triples(train)]
    trainset = surprise.Dataset(surprise.Reader(rating_scale=rating_scale)).construct_trainset(raw)
    model = surprise.SVD(random_state=seed).fit(trainset)
    return np.array([model.predict(user, item).est for user, item, _ in triples(test)])


def table(result: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        f"{result['ratings']:,} ratings, {result['folds']} folds, seed {result['seed']}; "
        f"largest difference to Surprise {result['largest_difference_to_surprise']:.1e}",
        "",
        "| | RMSE | MAE |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {name} | {result['rmse'][name]:.4f} | {result['mae'][name]:.4f} |" for name in result["rmse"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
