"""Evaluating a trained recommender beside classic peers, or a file of picks."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from genre_gen.collaborative import MEMBERS, CollaborativeModel, EpochModel
from genre_gen.collaborative.tuning import tune
from genre_gen.data.interactions import Split
from genre_gen.data.labels import Labels
from genre_gen.errors import UsageError
from genre_gen.evaluation.protocol import (
    Part,
    check_trained_for,
    evaluate_lists,
    evaluate_scorers,
    lists_from_picks,
)
from genre_gen.evaluation.report import Report
from genre_gen.metrics import mae, rmse
from genre_gen.recommender.batch import read_picks
from genre_gen.recommender.recommender import LLM_MEMBER, OURS, OURS_ALONE, Recommender
from genre_gen.tasks.next_item import NextItem

log = logging.getLogger(__name__)
CUTOFFS = (5, 10, 20)
RATER_NAMES = {
    "svd": "Surprise SVD, folded in",
    "svdpp": "Surprise SVD++, folded in",
    "knn_baseline": "Surprise KNNBaseline",
    LLM_MEMBER: "LLM, rating task",
}
"""What predicts ratings, in the words of a table."""


def evaluate_recommender(recommender: Recommender, split: Split, part: Part, *, peers: bool = True) -> Report:
    """Rank every case's target by the recommender, its parts, and every other classic model the library has.

    All models have learned from the same interactions, those that the recommender was trained on, with
    hyper-parameters chosen on the same validation cases.

    Args:
        recommender: trained on ``split.train``.
        split: of the same interactions.
        part: which cases.
        peers: also fit and rank with the classic models that are no members of the blend, but for those that take many
            epochs.

    Raises:
        UsageError: it was trained on other interactions, of which the split holds some out.
    """
    check_trained_for(recommender, split, part)
    scorers, seconds = recommender.scorers(), dict(recommender.seconds)
    for name, kind in MEMBERS.built_in().items() if peers else ():
        if name in scorers or issubclass(kind, EpochModel):
            continue
        if kind.cannot_learn(recommender.trained_on):
            continue
        begin = time.perf_counter()
        scorers[name] = _peer(recommender, name, split).score
        seconds[name] = time.perf_counter() - begin
    seconds[OURS_ALONE] = seconds.get(LLM_MEMBER, 0.0)
    seconds[OURS] = sum(recommender.seconds.values())
    report = evaluate_scorers(
        scorers,
        split.cases(part),
        len(recommender.catalog),
        CUTOFFS,
        repeat=recommender.domain.repeat,
        mixtures=recommender.mixtures(),
        counts=np.bincount(recommender.trained_on.rows, minlength=len(recommender.catalog)),
        labels=Labels.of_domain(recommender.catalog, recommender.domain),
        costs={name: {"train_seconds": seconds[name]} for name in (*scorers, OURS) if name in seconds},
        data=recommender.domain.name,
        split=f"{split.name}, {part}",
    )
    notes = {
        "blend": dict(recommender.blend.weights),
        "seed": recommender.domain.training.seed,
        "prompt": {
            "phrasing": recommender.generator.book.phrasing,
            "templates": recommender.generator.book.fingerprint(NextItem.name),
        },
        "quantization": recommender.domain.serving.quantization,
        "ratings": rating_errors(recommender, split, part),
        "rating_blend": None if recommender.raters.blend is None else recommender.raters.blend.settings(),
    }
    results = sorted(report.results, key=lambda result: -result.figure("N@10"))
    return replace(report, results=tuple(results), notes=notes)


def _peer(recommender: Recommender, name: str, split: Split) -> CollaborativeModel:
    """Fit a model that is no member of the blend as if it were one."""
    options: Mapping[str, Any] = {}
    if recommender.domain.blend.tune and MEMBERS[name].grid:

        def make(options: Mapping[str, Any]) -> CollaborativeModel:
            return recommender.new_member(name, **options)

        _, options = tune(make, split.train, split.validation, repeat=recommender.domain.repeat)
    return recommender.new_member(name, **options).fit(recommender.trained_on)


def evaluate_picks(recommender: Recommender, split: Split, part: Part, file: Path) -> Report:
    """Evaluate the picks of a file by the same protocol; a target outside a user's picks is a miss.

    Raises:
        DataError: no file of picks.
        UsageError: ranks that are repeated or impossible, or lists that break the rules of the protocol.
        UnknownItemError: an item that the catalog lacks.
    """
    table, size = read_picks(file), len(recommender.catalog)
    ranks = table["rank"].to_numpy()
    if (ranks > size).any():
        raise UsageError(f"{file}: a rank of {ranks.max():,}, but the catalog has {size:,} items")
    rows = np.array([recommender.catalog.row(item) for item in table["item"].to_list()], np.int64)
    lists = lists_from_picks(table["user"].to_list(), ranks, rows, split.cases(part))
    report = evaluate_lists(
        file.name,
        lists,
        split.cases(part),
        size,
        tuple(cut for cut in CUTOFFS if cut <= lists.shape[1]) or (lists.shape[1],),
        repeat=recommender.domain.repeat,
        counts=np.bincount(recommender.trained_on.rows, minlength=size),
        labels=Labels.of_domain(recommender.catalog, recommender.domain),
        data=recommender.domain.name,
        split=f"{split.name}, {part}",
    )
    if not np.isfinite(report.results[0].ranks).any():
        log.warning(
            "none of the %s items is among these picks: were they made from whole histories? recommend --split %s cuts "
            "them where the evaluation does",
            part,
            part,
        )
    return report


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write a report as ``evaluation.json`` and ``evaluation.png`` into a folder; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    text, picture = folder / "evaluation.json", folder / "evaluation.png"
    text.write_text(report.to_json() + "\n", encoding="utf-8")
    report.plot(picture, ours=OURS)
    return text, picture


def rating_errors(recommender: Recommender, split: Split, part: Part) -> dict[str, dict[str, float]]:
    """Return RMSE and MAE of each way to predict the rating of a case's target; {} where nothing predicts ratings.

    The history, with its ratings, is what the models see; the target's own rating is not in the training data.
    """
    cases = [case for case in split.cases(part) if not np.isnan(case.rating)]
    raters, known = recommender.raters, recommender.trained_on.ratings
    if not cases or known is None or raters.blend is None:
        return {}
    truth = np.array([case.rating for case in cases])
    columns = raters.columns(recommender.generator, [case.history for case in cases], [case.target for case in cases])
    said = {"mean of the training ratings": np.full(len(cases), np.nanmean(known, dtype=np.float64))}
    said |= {RATER_NAMES.get(name, name): values for name, values in columns.items()}
    said["all of these, blended"] = raters.blend.combine(columns)
    return {name: {"rmse": rmse(values, truth), "mae": mae(values, truth)} for name, values in said.items()}


def report_text(report: Report) -> str:
    """Return a report as a person wants to read it: accuracy with tests against ours, then the errors of ratings."""
    ours = OURS if any(result.name == OURS for result in report.results) else None
    metrics = [f"{letter}@{cut}" for letter in ("R", "N") for cut in report.k]
    text = report.table("text", metrics, ours)
    errors: Mapping[str, Mapping[str, float]] = report.notes.get("ratings") or {}
    if not errors:
        return text
    width = max(map(len, errors))
    lines = [f"{name:{width}}  {one['rmse']:.3f}  {one['mae']:.3f}" for name, one in errors.items()]
    return "\n".join([text, "", f"{'ratings of the same items':{width}}   RMSE    MAE", *lines])
