"""What does re-ranking cost and gain? Accuracy against variety and calibration, by weight.

    python -m eval.accuracy.trade_off runs/movies [--split leave-one-out] [--part validation|test]

Every case is scored once by the blend; each method then re-ranks the same candidates with weights from 0 (the unchanged
ranking) to .9. The measures of lists of 10 are recall and NDCG, diversity (mean distance of two items by their labels),
calibration (KL divergence from the history's labels, in nats, smaller is better), coverage, Gini index and popularity
lift. Cases are those of the validation part, or of the test part for a recommender that was refit on the validation
part, as by the command line.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eval.bench.cases import named_split
from eval.bench.plots import BLUE, new_figure, save
from eval.bench.results import record, table
from eval.bench.script import new_parser, say, script
from genre_gen.blending.rerank import METHODS, rerank
from genre_gen.data.history import allowed_items
from genre_gen.data.labels import Labels
from genre_gen.data.splits import Case, Split
from genre_gen.domain import RerankSettings
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE, mixtures, scorers
from genre_gen.evaluation.protocol import check_trained_for, evaluate_lists
from genre_gen.metrics import diversity
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import RecommenderState

CUTOFF = 10
BATCH = 64
WEIGHTS = tuple(step / 10 for step in range(10))
ACCURACY = (f"R@{CUTOFF}", f"N@{CUTOFF}")
LISTS = ("diversity", "calibration", "coverage", "gini", "popularity_lift")
CURVES = {"mmr": ("diversity", "diversity (more is better)"), "calibration": ("calibration", "KL (less is better)")}
"""The measure that each method is plotted against, and its axis label."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write table and picture."""
    parser = new_parser(__doc__, "run", "split")
    parser.add_argument(
        "--part", choices=("validation", "test"), help="[validation; test if that has been learned from]"
    )
    with script(parser, arguments) as options:
        state = Recommender.from_pretrained(options.run).state
        split = named_split(options.split, state.histories, state.catalog)
        result = measured(state, split, options.part or fair_part(state, split))
        text = markdown(result)
        record(options.out, "trade_off", options.run.name, result, text)
        draw(result, options.out / f"trade_off_{options.run.name}.png")
        print(text)


def fair_part(state: RecommenderState, split: Split) -> Literal["validation", "test"]:
    """Return the validation part, or the test part with a message if the recommender has learned from the former.

    Raises:
        UsageError: the recommender was trained for another split, or on everything.
    """
    try:
        check_trained_for(state.trained_on, split, "validation")
    except UsageError:
        check_trained_for(state.trained_on, split, "test")
        say("this recommender has learned from the validation items: the test part is used; choose no weight by it")
        return "test"
    return "validation"


def measured(state: RecommenderState, split: Split, part: Literal["validation", "test"]) -> dict[str, Any]:
    """Return the figures of every method and weight, with a description of the data.

    Raises:
        UsageError: the recommender was trained on other interactions, there are no cases, or the catalog has no labels.
    """
    check_trained_for(state.trained_on, split, part)
    labels = Labels.of_domain(state.catalog, state.domain)
    if labels is None:
        raise UsageError(f"the domain {state.domain.name} has no list field with labels to re-rank by; add one")
    cases = split.cases(part)
    settings = [
        RerankSettings(method=method, weight=weight)  # type: ignore[arg-type]
        for method in METHODS
        for weight in WEIGHTS
    ]
    lists, seconds = reranked(state, cases, settings, labels)
    counts = np.bincount(state.trained_on.rows, minlength=len(state.catalog))
    rows = []
    for number, setting in enumerate(settings):
        report = evaluate_lists(
            GENRE,
            lists[number],
            cases,
            len(state.catalog),
            (CUTOFF,),
            repeat=state.domain.repeat,
            counts=counts,
            labels=labels,
        )
        figures = {name: report[GENRE].figure(name) for name in ACCURACY}
        figures |= {name: report[GENRE].lists[name] for name in LISTS if name in report[GENRE].lists}
        low, high = report.interval(GENRE, ACCURACY[1])
        rows.append({**setting.model_dump(), **figures, "interval": [low, high], "ms_per_list": seconds[number] * 1e3})
    return {
        "data": state.domain.name,
        "split": split.name,
        "part": part,
        "users": len(cases),
        "items": len(state.catalog),
        "labels": labels.field,
        "history_diversity": history_diversity(cases, labels),
        "rows": rows,
    }


def reranked(
    state: RecommenderState, cases: Sequence[Case], settings: Sequence[RerankSettings], labels: Labels
) -> tuple[NDArray[np.int64], list[float]]:
    """Score each case once and re-rank it in each way.

    Returns:
        int64 ``[len(settings), len(cases), k]`` catalog rows, -1 if a list is shorter; and the mean seconds of each
        setting per list.
    """
    lists = np.full((len(settings), len(cases), CUTOFF), -1, np.int64)
    seconds = [0.0] * len(settings)
    for number, (case, scores, allowed) in enumerate(scored(state, cases)):
        for way, setting in enumerate(settings):
            begin = time.perf_counter()
            rows = rerank(setting, scores, allowed, case.history, CUTOFF, labels).rows
            seconds[way] += time.perf_counter() - begin
            lists[way, number, : len(rows)] = rows
    return lists, [total / max(len(cases), 1) for total in seconds]


def scored(
    state: RecommenderState, cases: Sequence[Case]
) -> Iterator[tuple[Case, NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield each case with the blend's scores and the allowed items, both ``[n_items]``."""
    members, ours = scorers(state), mixtures(state)[GENRE]
    for begin in range(0, len(cases), BATCH):
        part = cases[begin : begin + BATCH]
        histories = [case.history for case in part]
        allowed = allowed_items(histories, len(state.catalog), state.domain.repeat)
        blended = ours({name: scorer(histories) for name, scorer in members.items()}, allowed)
        yield from zip(part, blended, allowed, strict=True)


def history_diversity(cases: Sequence[Case], labels: Labels) -> float | None:
    """Return the mean diversity of the users' last CUTOFF items, for comparison; None without such items."""
    lists = np.full((len(cases), CUTOFF), -1, np.int64)
    for number, case in enumerate(cases):
        recent = case.history.last(CUTOFF).rows
        lists[number, : len(recent)] = recent
    values = diversity(lists, labels.matrix)
    return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else None


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    names = [*ACCURACY, *LISTS, "ms_per_list"]
    about = f"{result['split']}, {result['part']}, {result['users']:,} users, labels: {result['labels']}"
    rows = [
        [row["method"], f"{row['weight']:.1f}", *(f"{row[name]:.4f}" if name in row else "" for name in names)]
        for row in result["rows"]
    ]
    return f"{result['data']}, {about}\n\n{table(['method', 'weight', *names], rows)}"


def draw(result: Mapping[str, Any], file: Path) -> None:
    """Plot NDCG against each method's measure, one panel each, with the weights at the points."""
    figure, panels = new_figure(10, 4.2, len(CURVES), sharey=True)
    for panel, (method, (aim, words)) in zip(panels, CURVES.items(), strict=True):
        rows = [row for row in result["rows"] if row["method"] == method and aim in row]
        accuracy = np.array([row[ACCURACY[1]] for row in rows])
        ends = np.array([row["interval"] for row in rows]).reshape(-1, 2).T
        aims = [row[aim] for row in rows]
        panel.fill_between(aims, *ends, color=BLUE, alpha=0.12, linewidth=0)
        panel.plot(aims, accuracy, marker="o", color=BLUE)
        for row in rows:
            point = (row[aim], row[ACCURACY[1]])
            panel.annotate(f"{row['weight']:g}", point, (4, 5), textcoords="offset points", fontsize=8)
        panel.set_xlabel(words)
        panel.set_title(f"{method}, weight at each point", loc="left", fontsize=10)
    panels[0].set_ylabel(f"NDCG@{CUTOFF}, with 95 % bootstrap interval")
    figure.suptitle(f"{result['data']}, {result['split']}, {result['part']}, {result['users']:,} users", fontsize=10)
    save(figure, file)


if __name__ == "__main__":
    main()
