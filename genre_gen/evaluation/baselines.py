"""Evaluate a trained recommender, its parts, and classic models for comparison."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import Blend
from genre_gen.blending.ratings import scale_of
from genre_gen.collaborative import MEMBERS, CollaborativeModel, EpochModel
from genre_gen.collaborative.tuning import tune
from genre_gen.data.splits import Part, Split, check_split
from genre_gen.errors import MissingPackageError, UsageError
from genre_gen.evaluation.protocol import Mixture, Scorer, check_trained_for, cut_offs, evaluate_scorers
from genre_gen.evaluation.report import Report
from genre_gen.folders.output import writing
from genre_gen.metrics import mae, rmse
from genre_gen.recommender.state import LLM_MEMBER, RecommenderState
from genre_gen.tasks.next_item import NextItem
from genre_gen.training.members import new_member
from genre_gen.training.progress import ProgressOption, Stages

log = logging.getLogger(__name__)
GENRE, LLM_ALONE, WITHOUT_LLM = "GENRE", "GENRE, LLM alone", "blend without LLM"
RATER_NAMES = {
    "svd": "Surprise SVD, folded in",
    "svdpp": "Surprise SVD++, folded in",
    "knn_baseline": "Surprise KNNBaseline",
    LLM_MEMBER: "LLM, rating task",
}
"""Labels of raters in tables."""


def evaluate(
    state: RecommenderState,
    split: Split,
    k: int | Sequence[int] = 10,
    part: Part = "test",
    *,
    baselines: bool = True,
    progress: ProgressOption = False,
) -> Report:
    """Rank every case's target by a recommender, its parts, and all other classic models of the library.

    All models learn from the interactions that the recommender was trained on, with hyper-parameters chosen on the same
    validation cases. Models that take many epochs are evaluated only as members of the blend.
    The arguments and errors are those of :meth:`genre_gen.Recommender.evaluate`.
    """
    cuts, split = cut_offs(k), check_split(split)
    split.cases(part)  # raises
    state = _completed(state, split, part)
    check_trained_for(state.trained_on, split, part)
    cases, size = split.cases(part), len(state.catalog)
    models, seconds = scorers(state), dict(state.seconds)
    stages = Stages({"baselines": 1.0, "ranking": 1.0}, progress)
    with stages.stage("baselines"):
        models |= _fitted_baselines(state, split, stages, seconds) if baselines else {}
    seconds |= {LLM_ALONE: seconds.get(LLM_MEMBER, 0.0), GENRE: sum(state.seconds.values())}
    done = 0

    def ranked(count: int) -> None:
        nonlocal done
        done += count
        stages.update(done / len(cases))

    with stages.stage("ranking"):
        report = evaluate_scorers(
            models,
            cases,
            size,
            cuts,
            repeat=state.domain.repeat,
            mixtures=mixtures(state),
            counts=state.item_counts,
            labels=state.labels,
            costs={name: {"train_seconds": seconds[name]} for name in (*models, GENRE) if name in seconds},
            data=state.domain.name,
            split=f"{split.name}, {part}",
            progress=ranked,
        )
    results = sorted(report.results, key=lambda result: -result.figure(report.headline))
    return replace(report, results=tuple(results), notes=_notes(state, split, part))


def _completed(state: RecommenderState, split: Split, part: Part) -> RecommenderState:
    """Return a recommender that came without histories together with those of a split, if it learned from them."""
    if state.shared is None:
        return state
    for interactions in (split.train_and_validation, split.train) if part == "test" else (split.train,):
        if interactions.fingerprint() == state.shared.trained_on:
            return replace(state, histories=split.histories, trained_on=interactions, shared=None)
    raise UsageError(
        f"this recommender came without histories, and the {split.name} split is not of the data that it learned from; "
        "to evaluate it, load that data, the same users and items in the same order, and split it as for the training"
    )


def scorers(state: RecommenderState) -> dict[str, Scorer]:
    """Return the language model and the members as scorers, by their labels in tables."""
    return {LLM_ALONE: state.generator.score, **{name: model.score for name, model in state.members.items()}}


def mixtures(state: RecommenderState) -> dict[str, Mixture]:
    """Return the blends as mixtures of the scorers; a single one without collaborative members."""

    def mixed(
        blend: Blend, scores: Mapping[str, NDArray[np.float32]], allowed: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        named = {**scores, LLM_MEMBER: scores[LLM_ALONE]}
        return blend.combine(state.mask_cold_items({name: named[name] for name in blend.members}), allowed).total

    blends = {GENRE: state.blend}
    if LLM_MEMBER not in state.tuned.blend_without_llm.members:  # otherwise the language model is the only member
        blends[WITHOUT_LLM] = state.tuned.blend_without_llm
    return {name: partial(mixed, blend) for name, blend in blends.items()}


def _notes(state: RecommenderState, split: Split, part: Part) -> dict[str, Any]:
    """Return a report's notes on how its figures were made."""
    return {
        "blend": dict(state.blend.weights),
        "seed": state.domain.training.seed,
        "prompt": state.book.fingerprint(NextItem.name),
        "quantization": state.domain.serving.quantization,
        "ratings": rating_errors(state, split, part),
        "rating_blend": None if state.raters.blend is None else state.raters.blend.settings(),
    }


def _fitted_baselines(
    state: RecommenderState, split: Split, stages: Stages, seconds: dict[str, float]
) -> dict[str, Scorer]:
    """Fit the fast models that are not members of the blend; adds the seconds of each to ``seconds``."""
    names = [
        name
        for name, model in MEMBERS.built_in().items()
        if not (name in state.members or issubclass(model, EpochModel) or model.cannot_learn(state.trained_on))
    ]
    fitted: dict[str, Scorer] = {}
    for number, name in enumerate(names):
        stages.update(number / len(names))
        begin = time.perf_counter()
        fitted[name] = _baseline(state, name, split).score
        seconds[name] = time.perf_counter() - begin
    return fitted


def _baseline(state: RecommenderState, name: str, split: Split) -> CollaborativeModel:
    """Fit a model that is not a member of the blend in the same way as members."""
    scale = scale_of(state.domain, state.histories, state.trained_on)

    def make(options: Mapping[str, Any]) -> CollaborativeModel:
        return new_member(name, state.domain, state.catalog, scale, **options)

    options: Mapping[str, Any] = {}
    if state.domain.blend.tune and MEMBERS[name].grid:
        _, options = tune(make, split.train, split.validation, repeat=state.domain.repeat)
    return make(options).fit(state.trained_on)


def rating_errors(state: RecommenderState, split: Split, part: Part) -> dict[str, dict[str, float]]:
    """Return RMSE and MAE of each rater for the ratings of the cases' targets; {} without raters.

    The models see the history with its ratings; the target's own rating is not in the training data.
    """
    cases = [case for case in split.cases(part) if not np.isnan(case.rating)]
    raters, ratings = state.raters, state.trained_on.ratings
    if not cases or ratings is None or raters.blend is None:
        return {}
    truth = np.array([case.rating for case in cases])
    columns = raters.columns(state.generator, [case.history for case in cases], [case.target for case in cases])
    predicted = {"mean of the training ratings": np.full(len(cases), np.nanmean(ratings, dtype=np.float64))}
    predicted |= {RATER_NAMES.get(name, name): values for name, values in columns.items()}
    predicted["all of these, blended"] = raters.blend.combine(columns)
    return {name: {"rmse": rmse(values, truth), "mae": mae(values, truth)} for name, values in predicted.items()}


def write_report(report: Report, folder: Path) -> tuple[Path, Path | None]:
    """Write a report as ``evaluation.json`` and ``evaluation.png`` into a folder; return both paths.

    Without the plotting package there is no picture, and the log has the command that installs it.
    """
    text, picture = folder / "evaluation.json", folder / "evaluation.png"
    with writing(text):
        folder.mkdir(parents=True, exist_ok=True)
        text.write_text(report.to_json() + "\n", encoding="utf-8")
    try:
        with writing(picture):
            report.plot(picture, ours=GENRE)
    except MissingPackageError as problem:
        log.warning("no picture: %s", problem)
        return text, None
    return text, picture


def report_text(report: Report) -> str:
    """Return a report as text: accuracy with tests against GENRE, then the errors of ratings."""
    ours = GENRE if any(result.name == GENRE for result in report.results) else None
    metrics = [f"{letter}@{cut}" for letter in ("R", "N") for cut in report.k]
    text = report.table("text", metrics, ours)
    errors: Mapping[str, Mapping[str, float]] = report.notes.get("ratings") or {}
    if not errors:
        return text
    width = max(map(len, errors))
    lines = [f"{name:{width}}  {error['rmse']:.3f}  {error['mae']:.3f}" for name, error in errors.items()]
    return "\n".join([text, "", f"{'ratings of the same items':{width}}   RMSE    MAE", *lines])
