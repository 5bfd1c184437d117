"""The demo: train on MovieLens-100K, recommend to three people with reasons, and say how good it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from genre_gen.cli.verbosity import shows_progress
from genre_gen.data.dataset import Dataset
from genre_gen.evaluation.baselines import report_text, write_report
from genre_gen.recommender.persistence import record_metrics
from genre_gen.recommender.recommender import Recommender
from genre_gen.reporting.formatting import picks_text

DOMAIN = "movies"
THREE_TITLES = ("Toy Story (1995)", "Lion King, The (1994)", "Babe (1995)")
CUT_OFFS = (5, 10, 20)


def run(folder: Path, minutes: float, tell: Callable[[str], None]) -> None:
    """Run the demo.

    Args:
        folder: for the trained recommender and its evaluation.
        minutes: time budget of the training.
        tell: prints a result.
    """
    begin = time.monotonic()
    data = Dataset.load(DOMAIN)
    split = data.leave_one_out()
    recommender = Recommender(data.domain, max_minutes=minutes).fit(split, folder=folder, progress=shows_progress())
    recommender.save_pretrained(folder)
    _recommend(recommender, data, tell)
    report = recommender.evaluate(split, CUT_OFFS, progress=shows_progress())
    text, picture = write_report(report, folder)
    record_metrics(recommender.state, folder, report.summary())
    tell(f"\n{report_text(report)}\n")
    total = f"{(time.monotonic() - begin) / 60:.1f} minutes in all"
    plot = "" if picture is None else f", plot in {picture}"
    tell(f"model in {folder}, every user's rank in {text}{plot}; {total}")


def _recommend(recommender: Recommender, data: Dataset, tell: Callable[[str], None]) -> None:
    lengths = np.diff(data.interactions.offsets)
    for label, row in (("a heavy user", int(lengths.argmax())), ("a light user", int(lengths.argmin()))):
        user = data.interactions.users[row]
        history = data.interactions.history(user)
        last = ", ".join(data.catalog[int(item)].title for item in history.rows[-3:])
        tell(f"\nUser {user}, {label} with {len(history)} movies, the last {last}:")
        tell(picks_text(recommender.recommend(user, n=5, explain=True), recommender.state.language))
    tell(f"\nSomeone of whom only three titles are known, {', '.join(THREE_TITLES)}:")
    tell(picks_text(recommender.recommend(THREE_TITLES, n=5, explain=True), recommender.state.language))
