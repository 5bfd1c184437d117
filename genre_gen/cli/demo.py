"""The demo: train on MovieLens-100K, recommend to three people with reasons, and say how good it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genre_gen.data.interactions import History
from genre_gen.data.readers import load_data
from genre_gen.evaluation.baselines import evaluate_recommender, report_text, write_report
from genre_gen.recommender.recommender import Recommender
from genre_gen.reporting.formatting import picks_text

if TYPE_CHECKING:
    from genre_gen.training.finetune import FineTuner

DOMAIN = "movies"
THREE_TITLES = ("Toy Story (1995)", "Lion King, The (1994)", "Babe (1995)")


def run(folder: Path, minutes: float, on_step: Callable[[FineTuner], None], tell: Callable[[str], None]) -> None:
    """Run the demo.

    Args:
        folder: for the trained recommender and its evaluation.
        minutes: time for the language model's training.
        on_step: called after each training step.
        tell: prints a result.
    """
    begin = time.monotonic()
    recommender = Recommender.from_domain(DOMAIN, settings={"training.max_minutes": minutes})
    data = load_data(recommender.domain)
    data.report.log()
    catalog, interactions = data.catalog, data.interactions
    split = interactions.leave_one_out()
    recommender.fit(
        catalog,
        split.train,
        split.validation,
        final=split.train_and_validation,
        histories=interactions,
        folder=folder,
        on_step=on_step,
    )
    recommender.save_pretrained(folder)
    _recommend(recommender, tell)
    report = evaluate_recommender(recommender, split, "test")
    text, picture = write_report(report, folder)
    tell(f"\n{report_text(report)}\n")
    tell(f"model in {folder}, every user's rank in {text}, plot in {picture}; {_minutes(begin)} in all")


def _recommend(recommender: Recommender, tell: Callable[[str], None]) -> None:
    histories = recommender.histories
    lengths = np.diff(histories.offsets)
    heavy, light = histories.history_at(int(lengths.argmax())), histories.history_at(int(lengths.argmin()))
    for label, history in (("a heavy user", heavy), ("a light user", light)):
        picks = next(recommender.recommend_many([history], 5, explain=True))
        tell(f"\nUser {history.user}, {label} with {len(history)} movies, {_last(recommender, history)}:")
        tell(picks_text(picks))
    picks = recommender.recommend(history=THREE_TITLES, n=5, explain=True)
    tell(f"\nSomeone of whom only three titles are known, {', '.join(THREE_TITLES)}:")
    tell(picks_text(picks))


def _last(recommender: Recommender, history: History) -> str:
    titles = [recommender.catalog[int(row)].title for row in history.rows[-3:]]
    return f"the last {', '.join(titles)}"


def _minutes(begin: float) -> str:
    return f"{(time.monotonic() - begin) / 60:.1f} minutes"
