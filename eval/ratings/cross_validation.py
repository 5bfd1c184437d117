"""How well are ratings predicted? 5-fold RMSE and MAE on MovieLens-100K: each model, and blends of them.

    python -m eval.ratings.cross_validation [--domain movies] [--folds 5] [--seed 0] [--runs runs/ratings]
        [--llm-predictions FILE.npz]

Every model is fitted on the same folds. A model that learns users' factors predicts twice: for users by id, like
Surprise (for SVD, Surprise's own predictions must be equal), and with the users' training histories folded in, as for
users who are new after training. Blends exist for both, with weights per fold: a fifth of the fold's training ratings
is held out, the members are fitted on the rest, weighted on that fifth, and then fitted again on all training ratings.
A reported rating is never used in the fit or the weights that predict it.

It may have influenced the settings of the tuned models. They come from ``eval.ratings.tuning``, which tries them on the
inner part of the first fold: all ratings outside this fold, including those that the other folds report. For the tuned
models and the blends, only the first fold's errors (with the seed of the tuning) are free of this influence. An error
on it had been seen before ``bayesian_mf`` was set to five factors, but the inner part chose them.

``--runs`` keeps each fold's and model's predictions, so that an interrupted run can resume; clear the folder after
changing a model's code. ``--llm-predictions`` adds one more member to a blend: arrays ``fold0`` to ``fold4`` (for the
held-out ratings, in the order of ``asked`` of ``parts()``) and ``inner0`` to ``inner4`` (for ``inner_asked``, by a
model trained on ``inner_known``). Its ``data`` identifies ratings and folds (``of_folds()``); a file for others is
rejected.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.bench.plots import BLUE, GREY, INK, new_figure, save
from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from genre_gen.collaborative import SVD, BayesianMF, KNNBaseline, RatingBlend, RatingModel, SVDpp
from genre_gen.collaborative.rating_blend import rate_all
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers import load_data
from genre_gen.domain import Domain
from genre_gen.errors import DataError
from genre_gen.metrics import mae, rmse

EQUAL = 1e-6
"""The largest difference by rounding between our predictions by user id and Surprise's."""
FOLDED = ", folded in"
LLM = "llm"
Columns = dict[str, NDArray[np.float64]]
Span = tuple[float, float]

MODELS: dict[str, Callable[[Span, int], RatingModel]] = {
    "svd": lambda span, seed: SVD(rating_scale=span, seed=seed),
    "svdpp": lambda span, seed: SVDpp(
        20, epochs=20, learning_rate=0.007, regularisation=0.02, rating_scale=span, seed=seed
    ),
    "svd, tuned": lambda span, seed: SVD(
        50, epochs=120, regularisation=0.12, fold_in_penalty=10.0, rating_scale=span, seed=seed
    ),
    "svdpp, tuned": lambda span, seed: SVDpp(rating_scale=span, seed=seed),
    "knn_baseline": lambda span, seed: KNNBaseline(rating_scale=span),
    "bayesian_mf": lambda span, seed: BayesianMF(5, rating_scale=span, seed=seed),
}
"""The first two with Surprise's own settings, the others with those of ``eval.ratings.tuning``."""
CLASSIC = ("svd, tuned" + FOLDED, "svdpp, tuned" + FOLDED, "knn_baseline")  # of histories only, as all blends but one
BLENDS: dict[str, tuple[str, ...]] = {
    "blend of svd, svdpp, knn": ("svd, tuned", "svdpp, tuned", "knn_baseline"),
    "blend of svd, svdpp, knn" + FOLDED: CLASSIC,
    "blend of all" + FOLDED: (*CLASSIC, "bayesian_mf"),
    "blend of svd, svdpp, llm" + FOLDED: (*CLASSIC[:2], LLM),
    "blend of all and llm" + FOLDED: (*CLASSIC, "bayesian_mf", LLM),
}
NOT_BLENDED = ("svd", "svdpp")
MADE_OF = {"data": "these ratings and folds", "run": "this seed, these minutes, settings, items and prompts"}
"""The digests in a file of a language model's predictions, and their meanings."""


@dataclass(frozen=True)
class Part:
    """One fold, and the split of its training ratings that blends are weighed on.

    Attributes:
        number: number of the fold, from 0.
        known: ratings that models are trained on.
        asked: ratings that errors are reported on.
        inner_known: ratings that members are trained on for choosing weights.
        inner_asked: ratings that weights are chosen on.
    """

    number: int
    known: Interactions
    asked: Interactions
    inner_known: Interactions
    inner_asked: Interactions


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all folds, and write table and plot."""
    parser = new_parser(__doc__, "folds", "fold seed")
    parser.add_argument("--domain", default="movies", help="domain whose ratings are used")
    parser.add_argument("--runs", type=Path, help="folder that keeps predictions; a later run resumes from it")
    parser.add_argument("--llm-predictions", type=Path, help="npz file of a language model's predicted ratings")
    with script(parser, arguments) as options:
        interactions = load(options.domain)
        llm = read_llm(options.llm_predictions, data=of_folds(interactions, options.folds, options.seed))
        result = cross_validate(interactions, options.folds, options.seed, runs=options.runs, llm=llm)
        text, name = markdown(result), Path(options.domain).name
        record(options.out, "rating_cross_validation", name, result, text)
        plot(result, options.out / f"rating_cross_validation_{name}.png")
        print(text)


def load(domain: str) -> Interactions:
    """Return a domain's interactions."""
    return load_data(Domain.load(domain)).interactions


def read_llm(file: Path | None, **digests: str) -> Columns:
    """Return a language model's predictions by part, ``fold0`` and so on; none without a file.

    Raises:
        DataError: the file's digests, named as in ``MADE_OF``, are not those of the data and the run.
    """
    if file is None:
        return {}
    with np.load(file, allow_pickle=False) as arrays:
        for name, expected in digests.items():
            if name not in arrays.files or str(arrays[name]) != expected:
                raise DataError(f"{file.name}: not made with {MADE_OF[name]}, or lacks their digest; give another file")
        return {name: np.asarray(arrays[name], dtype=np.float64) for name in arrays.files if name not in MADE_OF}


def digest(settings: Any, *several: Interactions) -> str:
    """Return a fingerprint of JSON values and of rated interactions."""
    hashed = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for interactions in several:
        hashed.update(interactions.offsets.tobytes() + interactions.rows.tobytes())
        hashed.update(values_of(interactions).tobytes())
    return hashed.hexdigest()[:12]


def of_folds(interactions: Interactions, count: int, seed: int) -> str:
    """Return a fingerprint of the ratings and their folds."""
    return digest([count, seed], interactions)


def folds(n: int, count: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Divide ``n`` ratings into ``count`` random folds of (nearly) equal size; yields which are held out."""
    fold = np.arange(n) % count
    np.random.default_rng(seed).shuffle(fold)
    for number in range(count):
        yield fold == number


def parts(interactions: Interactions, count: int, seed: int) -> Iterator[Part]:
    """Yield every fold with its inner split, which holds out one of ``count`` folds of the training ratings."""
    for number, held in enumerate(folds(len(interactions), count, seed)):
        known = interactions.keep(~held)
        inner = next(folds(len(known), count, seed))
        yield Part(number, known, interactions.keep(held), known.keep(~inner), known.keep(inner))


def cross_validate(
    interactions: Interactions,
    count: int = 5,
    seed: int = 0,
    *,
    models: Mapping[str, Callable[[Span, int], RatingModel]] = MODELS,
    runs: Path | None = None,
    llm: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, Any]:
    """Return mean RMSE and MAE of each model, every fold's RMSE, the blends' weights, and seconds of fitting."""
    predict, span = Predictor(models, scale(interactions), seed, runs), scale(interactions)
    errors: dict[str, list[tuple[float, float]]] = {}
    weights: dict[str, list[dict[str, Any]]] = {}
    differences = []
    for part in parts(interactions, count, seed):
        columns = {"surprise": surprise_predictions(part, span, seed)}
        columns |= predict(f"fold{part.number}", part.known, part.asked, tuple(models))
        differences.append(float(np.abs(columns["surprise"] - columns["svd"]).max()))
        blended = tuple(name for name in models if name not in NOT_BLENDED)
        inner = predict(f"inner{part.number}", part.inner_known, part.inner_asked, blended)
        if llm:
            columns[LLM], inner[LLM] = llm_part(llm, f"fold{part.number}"), llm_part(llm, f"inner{part.number}")
        for name, blend in learn_blends(inner, values_of(part.inner_asked), span).items():
            columns[name] = blend.combine(columns)
            weights.setdefault(name, []).append({"weights": dict(blend.weights), "intercept": blend.intercept})
        for name, values in columns.items():
            errors.setdefault(name, []).append(
                (rmse(values, values_of(part.asked)), mae(values, values_of(part.asked)))
            )
        print(f"fold {part.number}: " + ", ".join(f"{name} {each[-1][0]:.4f}" for name, each in errors.items()))
    return {
        "ratings": len(interactions),
        "users": len(interactions.users),
        "items": interactions.n_items,
        "folds": count,
        "seed": seed,
        "fit_seconds_per_fold": predict.mean_seconds(),
        "largest_difference_to_surprise": max(differences),
        "equal_to_surprise": max(differences) < EQUAL,
        "rmse": {name: float(np.mean([fold[0] for fold in values])) for name, values in errors.items()},
        "mae": {name: float(np.mean([fold[1] for fold in values])) for name, values in errors.items()},
        "rmse_per_fold": {name: [fold[0] for fold in values] for name, values in errors.items()},
        "settings": {name: settings_of(make(span, seed)) for name, make in models.items()},
        "blends": weights,
    }


class Predictor:
    """Fits models and predicts, or reads the predictions of an earlier run.

    Args:
        models: functions that make untrained models, by name.
        span: lowest and highest rating.
        seed: seed of the models.
        runs: folder that keeps predictions, or None.
    """

    def __init__(
        self, models: Mapping[str, Callable[[Span, int], RatingModel]], span: Span, seed: int, runs: Path | None
    ) -> None:
        """Store the inputs of all predictions."""
        self.models, self.span, self.seed, self.runs = models, span, seed, runs
        self.seconds: dict[str, list[float]] = {}

    def __call__(self, part: str, known: Interactions, asked: Interactions, names: tuple[str, ...]) -> Columns:
        """Return the named models' predictions of ``asked``, by column."""
        columns: Columns = {}
        for name in names:
            predictions = self._predictions(part, name, known, asked)
            seconds = predictions.pop("seconds")
            if part.startswith("fold"):
                self.seconds.setdefault(name, []).append(float(seconds))
            columns |= predictions
        return columns

    def mean_seconds(self) -> dict[str, float]:
        """Return the mean seconds of fitting each model on one fold's training ratings."""
        return {name: round(float(np.mean(values)), 2) for name, values in self.seconds.items()}

    def _predictions(self, part: str, name: str, known: Interactions, asked: Interactions) -> Columns:
        model = self.models[name](self.span, self.seed)
        if self.runs is None:
            return self._predicted(name, model, known, asked)
        # The file's name has a digest of all inputs, so other settings or data have another file.
        asking = digest(model.settings(), known, asked)
        file = self.runs / f"{part}-{name.replace(', ', '-')}-{asking}.npz"
        if not file.exists():
            self.runs.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_suffix(".part")
            with unfinished.open("wb") as out:
                np.savez(out, allow_pickle=False, **self._predicted(name, model, known, asked))
            unfinished.replace(file)
        with np.load(file, allow_pickle=False) as arrays:
            return {column: arrays[column] for column in arrays.files}

    @staticmethod
    def _predicted(name: str, model: RatingModel, known: Interactions, asked: Interactions) -> Columns:
        begin = time.perf_counter()
        model.fit(known)
        columns: Columns = {"seconds": np.array(time.perf_counter() - begin)}
        if not isinstance(model, SVD):
            return columns | {name: rate_all(model, known, asked)}
        by_id = np.concatenate([model.rate(history.user or "", history.rows) for history in asked.histories()])
        return columns | {name: by_id, name + FOLDED: rate_all(model, known, asked)}


def learn_blends(predictions: Columns, actual: NDArray[np.float64], span: Span) -> dict[str, RatingBlend]:
    """Return every blend whose members have predictions, with weights learned on those."""
    return {
        name: RatingBlend.learn({member: predictions[member] for member in members}, actual, span)
        for name, members in BLENDS.items()
        if all(member in predictions for member in members)
    }


def llm_part(llm: Mapping[str, NDArray[np.float64]], part: str) -> NDArray[np.float64]:
    """Return the language model's predictions of one part; raises DataError if they are missing."""
    if part not in llm:
        raise DataError(f"--llm-predictions has no array {part!r}; it has {', '.join(sorted(llm))}")
    return llm[part]


def settings_of(model: RatingModel) -> dict[str, Any]:
    """Return a model's hyper-parameters, without the common ones."""
    return {name: getattr(model, name) for name in model.hyperparameters if name not in model.SHARED}


def scale(interactions: Interactions) -> Span:
    """Return the lowest and highest rating."""
    values = values_of(interactions)
    return float(values.min()), float(values.max())


def values_of(interactions: Interactions) -> NDArray[np.float64]:
    """Return the ratings, one per interaction; raises DataError if one is missing."""
    if interactions.ratings is None or np.isnan(interactions.ratings).any():
        raise DataError("some or all interactions have no rating; choose a domain whose data is rated")
    return interactions.ratings.astype(np.float64)


def surprise_predictions(part: Part, rating_scale: Span, seed: int) -> NDArray[np.float64]:
    """Return the predictions of Surprise's own SVD for the held-out ratings."""
    import surprise

    def triples(interactions: Interactions) -> list[tuple[str, int, float]]:
        owners = interactions.owners
        users = [interactions.users[row] for row in owners]
        return list(zip(users, interactions.rows.tolist(), values_of(interactions).tolist(), strict=True))

    raw = [(user, item, rating, None) for user, item, rating in triples(part.known)]
    trainset = surprise.Dataset(surprise.Reader(rating_scale=rating_scale)).construct_trainset(raw)
    model = surprise.SVD(random_state=seed).fit(trainset)
    return np.array([model.predict(user, item).est for user, item, _ in triples(part.asked)])


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    about = (
        f"{result['ratings']:,} ratings, {result['folds']} folds, seed {result['seed']}; "
        f"largest difference to Surprise {result['largest_difference_to_surprise']:.1e}"
    )
    rows = []
    for name, each in result["rmse_per_fold"].items():
        figures = (f"{result['rmse'][name]:.4f}", f"{result['mae'][name]:.4f}", f"{min(each):.4f} to {max(each):.4f}")
        rows.append((name, *figures, result["fit_seconds_per_fold"].get(name.removesuffix(FOLDED), "")))
    return f"{about}\n\n{table(('', 'RMSE', 'MAE', 'RMSE of folds', 'fit, s'), rows)}"


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Plot each model's RMSE as a bar, best on top, and its folds as dots; blends are highlighted."""
    names = sorted(result["rmse"], key=lambda name: -result["rmse"][name])
    figure, panel = new_figure(8, 0.8 + 0.36 * len(names))
    for height, name in enumerate(names):
        each, mean = result["rmse_per_fold"][name], result["rmse"][name]
        panel.barh(height, mean, color=BLUE if name in BLENDS else GREY, height=0.68)
        panel.plot(each, [height] * len(each), "|", color=INK, markersize=9)
        panel.text(max(each) + 0.001, height, f"{mean:.4f}", va="center", fontsize=9)
    every = [value for each in result["rmse_per_fold"].values() for value in each]
    panel.set_xlim(min(every) - 0.01, max(every) + 0.008)
    panel.set_yticks(range(len(names)), names)
    panel.set_xlabel(f"RMSE (axis does not start at 0); ticks: each of {result['folds']} folds")
    save(figure, file)


if __name__ == "__main__":
    main()
