"""What does re-ranking cost, and what does it buy? Accuracy against variety and calibration, weight by weight.

    python eval/trade_off.py runs/movies [--split leave-one-out] [--part validation|test] [--json eval/results/...]

Every case is scored once by the blend; each method then re-ranks the same candidates with weights from 0 (the ranking
as it is) to .9. Lists of 10 are measured: recall and NDCG, diversity (mean distance of two items by their labels),
calibration (KL divergence from the history's labels, in nats, smaller is better), coverage, Gini index and popularity
lift. Asked is the validation part; of a recommender that has learned from it too, as the command line leaves all that
it trains, the test part. Writes the figures as JSON, and beside it the curves as a picture.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from leaderboard import say, told
from numpy.typing import NDArray

from genre_gen.blending.rerank import METHODS, rerank
from genre_gen.data.interactions import allowed_items
from genre_gen.data.labels import Labels
from genre_gen.data.splits import Case, Split
from genre_gen.domain import RerankSettings
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE, check_trained_for
from genre_gen.evaluation.protocol import evaluate_lists
from genre_gen.recommender.recommender import Recommender

CUTOFF = 10
BATCH = 64
WEIGHTS = tuple(step / 10 for step in range(10))
ACCURACY = (f"R@{CUTOFF}", f"N@{CUTOFF}")
LISTS = ("diversity", "calibration", "coverage", "gini", "popularity_lift")
CURVES = {"mmr": ("diversity", "diversity (more is better)"), "calibration": ("calibration", "KL (less is better)")}
"""What each method is drawn against, and the words at the axis."""


def main() -> None:
    """Measure, print the table, write JSON and picture; exit code 1 for a failure, and 2 for wrong use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a trained recommender")
    parser.add_argument("--split", default="leave-one-out", help="leave-one-out or global-time; as in training")
    parser.add_argument(
        "--part", choices=("validation", "test"), help="[validation; test if that has been learned from]"
    )
    parser.add_argument("--json", type=Path, default=Path("eval/results/trade_off.json"))
    options = parser.parse_args()
    with told():
        recommender = Recommender.from_pretrained(options.run)
        split = recommender.histories.split(options.split)
        result = measured(recommender, split, options.part or fair_part(recommender, split))
        print(table(result))
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        draw(result, options.json.with_suffix(".png"))


def fair_part(recommender: Recommender, split: Split) -> Literal["validation", "test"]:
    """Return the validation part, or the test part where the recommender has learned from that one, and say so.

    Raises:
        UsageError: it was trained for another split, or on everything.
    """
    try:
        check_trained_for(recommender, split, "validation")
    except UsageError:
        check_trained_for(recommender, split, "test")
        say("this recommender has learned from the validation items: the test part is asked; choose no weight by it")
        return "test"
    return "validation"


def measured(recommender: Recommender, split: Split, part: Literal["validation", "test"]) -> dict[str, Any]:
    """Return the figures of every method and weight, with what they were measured on.

    Raises:
        UsageError: a recommender trained on other interactions, no cases, or a catalog without labels.
    """
    check_trained_for(recommender, split, part)
    labels = Labels.of_domain(recommender.catalog, recommender.domain)
    if labels is None:
        raise UsageError(f"the domain {recommender.domain.name} has no list field with labels to re-rank by; add one")
    cases = split.cases(part)
    settings = [
        RerankSettings(method=method, weight=weight)  # type: ignore[arg-type]
        for method in METHODS
        for weight in WEIGHTS
    ]
    lists, seconds = reranked(recommender, cases, settings, labels)
    counts = np.bincount(recommender.trained_on.rows, minlength=len(recommender.catalog))
    rows = []
    for place, setting in enumerate(settings):
        report = evaluate_lists(
            GENRE,
            lists[place],
            cases,
            len(recommender.catalog),
            (CUTOFF,),
            repeat=recommender.domain.repeat,
            counts=counts,
            labels=labels,
        )
        figures = {name: report[GENRE].figure(name) for name in ACCURACY}
        figures |= {name: report[GENRE].lists[name] for name in LISTS if name in report[GENRE].lists}
        low, high = report.interval(GENRE, ACCURACY[1])
        rows.append({**setting.model_dump(), **figures, "interval": [low, high], "ms_per_list": seconds[place] * 1e3})
    return {
        "data": recommender.domain.name,
        "split": split.name,
        "part": part,
        "users": len(cases),
        "items": len(recommender.catalog),
        "labels": labels.field,
        "history_diversity": history_diversity(cases, labels),
        "rows": rows,
    }


def reranked(
    recommender: Recommender, cases: Sequence[Case], settings: Sequence[RerankSettings], labels: Labels
) -> tuple[NDArray[np.int64], list[float]]:
    """Score each case once and re-rank it in each way.

    Returns:
        int64 ``[len(settings), len(cases), k]`` catalog rows, -1 where a list is shorter; and the mean seconds that
        each setting took per list.
    """
    lists = np.full((len(settings), len(cases), CUTOFF), -1, np.int64)
    seconds = [0.0] * len(settings)
    for number, (case, scores, allowed) in enumerate(scored(recommender, cases)):
        for place, setting in enumerate(settings):
            begin = time.perf_counter()
            rows = rerank(setting, scores, allowed, case.history, CUTOFF, labels).rows
            seconds[place] += time.perf_counter() - begin
            lists[place, number, : len(rows)] = rows
    return lists, [one / max(len(cases), 1) for one in seconds]


def scored(
    recommender: Recommender, cases: Sequence[Case]
) -> Iterator[tuple[Case, NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield each case with the blend's scores and what is allowed, both ``[n_items]``."""
    scorers, ours = recommender.scorers(), recommender.mixtures()[GENRE]
    for begin in range(0, len(cases), BATCH):
        part = cases[begin : begin + BATCH]
        histories = [case.history for case in part]
        allowed = allowed_items(histories, len(recommender.catalog), recommender.domain.repeat)
        blended = ours({name: scorer(histories) for name, scorer in scorers.items()}, allowed)
        yield from zip(part, blended, allowed, strict=True)


def history_diversity(cases: Sequence[Case], labels: Labels) -> float | None:
    """Return the mean diversity of the users' last CUTOFF items, to compare the lists' with; None without such."""
    from genre_gen.metrics import diversity

    lists = np.full((len(cases), CUTOFF), -1, np.int64)
    for number, case in enumerate(cases):
        recent = case.history.last(CUTOFF).rows
        lists[number, : len(recent)] = recent
    values = diversity(lists, labels.matrix)
    return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else None


def table(result: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    names = [*ACCURACY, *LISTS, "ms_per_list"]
    lines = [
        f"{result['data']}, {result['split']}, {result['part']}, {result['users']:,} users, labels: {result['labels']}",
        "",
        "| method | weight | " + " | ".join(names) + " |",
        "| --- | ---: |" + " ---: |" * len(names),
    ]
    for row in result["rows"]:
        figures = [f"{row[name]:.4f}" if name in row else "" for name in names]
        lines.append(f"| {row['method']} | {row['weight']:.1f} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw NDCG against what each method is for, one panel each, with the weights at the points."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)  # no display needed, and no global state of pyplot touched
    panels = figure.subplots(1, len(CURVES), sharey=True)
    for panel, (method, (aim, words)) in zip(panels, CURVES.items(), strict=True):
        rows = [row for row in result["rows"] if row["method"] == method and aim in row]
        accuracy = np.array([row[ACCURACY[1]] for row in rows])
        ends = np.array([row["interval"] for row in rows]).reshape(-1, 2).T
        aims = [row[aim] for row in rows]
        panel.fill_between(aims, *ends, color="#0072B2", alpha=0.12, linewidth=0)
        panel.plot(aims, accuracy, marker="o", color="#0072B2")
        for row in rows:
            point = (row[aim], row[ACCURACY[1]])
            panel.annotate(f"{row['weight']:g}", point, (4, 5), textcoords="offset points", fontsize=8)
        panel.set_xlabel(words)
        panel.set_title(f"{method}, weight at each point", loc="left", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"NDCG@{CUTOFF}, with 95 % bootstrap interval")
    figure.suptitle(f"{result['data']}, {result['split']}, {result['part']}, {result['users']:,} users", fontsize=10)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
