"""How good are recommendations of items and for users that training has never seen?

    python -m eval.accuracy.cold_start --data ml-100k [--minutes 20] [--seed 0] [--set key=value]

New items: a tenth of the items that are a user's last one is held out, with all their interactions. Cases are the last
item of the users who had such an item last, ranked among all items except those of the history. A purely collaborative
model cannot distinguish new items: it gives all of them the score 0.

New users: a fifth of the users is held out. Cases are their last item, from the last 1, 3, 5 and all interactions
before it. Interactions that were cut off do not count as seen, and their items are ranked too.

Each question has its own training; ours takes at most ``--minutes``, and a third of that for the refit. All models
learn from the leave-one-out split's training and validation part without the held-out interactions, and choose their
settings on its last interactions. A killed run resumes from the checkpoints in ``--runs``.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.cases import Bench, digest
from eval.bench.plots import BLUE, DARK_GREY, GREY, INK, LIGHT_BLUE, new_figure, save
from eval.bench.results import public, record, table, with_interval
from eval.bench.script import assignments, new_parser, say, script
from genre_gen.collaborative import CollaborativeModel
from genre_gen.collaborative.tuning import tune
from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case, Split, hold_out_last
from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, WITHOUT_LLM, mixtures, scorers
from genre_gen.evaluation.protocol import Mixture, Scorer, evaluate_scorers
from genre_gen.evaluation.report import Report
from genre_gen.recommender.recommender import Recommender
from genre_gen.training.members import new_member

STEM = "cold_start"
PEERS = ("text_knn", "sequential_rules", "ease", "item_knn", "popularity")
TEXT_PEER = "text_knn"
ITEM_SHARE, USER_SHARE = 0.1, 0.2
LENGTHS: Mapping[str, int | None] = {"1": 1, "3": 3, "5": 5, "all": None}
CUTOFFS = (10, 50)
ITEM_METRICS, USER_METRICS = ("R@10", "R@50", "N@10"), ("R@10", "N@10")


@dataclass(frozen=True)
class Question:
    """The data and the cases of one question.

    Attributes:
        known: all interactions that are not held out.
        held: number of held-out items or users.
        cases: the cases, by the length of their histories.
    """

    known: Interactions
    held: int
    cases: Mapping[str, tuple[Case, ...]]


@dataclass(frozen=True)
class Models:
    """The models that rank.

    Attributes:
        scorers: models by name.
        mixtures: our blends of them.
        texts: names of the content-based models.
        weights: weights of our blend.
    """

    scorers: Mapping[str, Scorer]
    mixtures: Mapping[str, Mixture]
    texts: frozenset[str]
    weights: Mapping[str, float]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both questions, and write tables and picture."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    with script(parser(), arguments) as options:
        if options.seed < 0:
            raise UsageError(f"--seed {options.seed}; give 0 or more")
        bench = Bench.open(options.data)
        changes = assignments(options.set) | {"training.seed": options.seed}
        if options.minutes is not None:
            changes["training.max_minutes"] = options.minutes
        content = measured(bench, changes, options.seed, options.runs)
        text = markdown(content)
        record(options.out, STEM, bench.name, content, text)
        draw(content, options.out / f"{STEM}_{bench.name}.png")
        print(text)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = new_parser(__doc__, "data", "minutes", "set")
    made.add_argument("--seed", type=int, default=0, help="seed of held-out items and users, and of our training")
    made.add_argument("--runs", type=Path, default=Path("runs/cold_start"), help="folder of checkpoints")
    return made


def measured(bench: Bench, changes: Mapping[str, Any], seed: int, runs: Path) -> dict[str, Any]:
    """Return the figures of both questions as JSON values."""
    answers = {}
    questions = {"new_items": (new_items, ITEM_METRICS), "new_users": (new_users, USER_METRICS)}
    for part, (ask, metrics) in questions.items():
        question = ask(bench, seed)
        say(f"{part}: {question.held:,} held out, {len(question.known):,} interactions to learn from")
        folder = runs / f"{bench.name}-{part}-{digest([seed, dict(changes)])}"
        answers[part] = answered(bench, question, fitted(bench, question.known, changes, folder), metrics)
    return {
        "data": bench.name,
        "seed": seed,
        "settings": {name: public(value) for name, value in changes.items()},
        "items": bench.interactions.n_items,
        "users": len(bench.interactions.users),
        **answers,
    }


def new_items(bench: Bench, seed: int) -> Question:
    """Hold items out; raises UsageError if no case is left."""
    return without_items(bench.split, bench.name, seed)


def without_items(split: Split, name: str, seed: int) -> Question:
    """Hold a tenth of the test items out; raises UsageError if no case is left."""
    targets = np.unique([case.target for case in split.test])
    held = np.random.default_rng(seed).choice(targets, max(1, round(ITEM_SHARE * len(targets))), replace=False)
    known = split.train_and_validation.keep(~np.isin(split.train_and_validation.rows, held))
    left, wanted = set(known.users), set(held.tolist())
    cases = tuple(
        Case(known.history(case.history.user), case.target, case.rating)
        for case in split.test
        if case.target in wanted and case.history.user in left
    )
    if not cases:
        raise UsageError(f"{name}: users with a new item last have no other; give users more interactions")
    return Question(known, len(held), {"all": cases})


def new_users(bench: Bench, seed: int) -> Question:
    """Hold users out, and cut their histories."""
    split = bench.split
    users = [case.history.user for case in split.test]
    chosen = np.random.default_rng(seed).choice(len(users), max(1, round(USER_SHARE * len(users))), replace=False)
    held, before = {users[number] for number in chosen}, split.train_and_validation
    kept = np.array([user not in held for user in before.users])
    cases = [case for case in split.test if case.history.user in held]
    return Question(
        before.keep(np.repeat(kept, np.diff(before.offsets))),
        len(held),
        {
            name: tuple(
                Case(case.history if length is None else case.history.last(length), case.target, case.rating)
                for case in cases
            )
            for name, length in LENGTHS.items()
        },
    )


def fitted(bench: Bench, known: Interactions, changes: Mapping[str, Any], folder: Path) -> Models:
    """Train ours and the peers; each chooses its settings on the last interactions, and is then fitted on all."""
    split = hold_out_last(known, bench.catalog)
    state = Recommender(bench.domain, settings=changes).fit(split, folder=folder).state
    models, domain = scorers(state), state.domain
    for name in PEERS:
        if name not in models:
            make = partial(new_peer, name, domain, bench.catalog)
            options = tune(make, split.train, split.validation, repeat=domain.repeat)[1]
            models[name] = make(options).fit(known).score
    texts = {LLM_ALONE, TEXT_PEER} | ({WITHOUT_LLM} if TEXT_PEER in state.tuned.blend_without_llm.members else set())
    if {"llm", TEXT_PEER} & set(state.blend.members):
        texts.add(GENRE)
    return Models(models, mixtures(state), frozenset(texts), dict(state.blend.weights))


def new_peer(name: str, domain: Domain, catalog: Catalog, options: Mapping[str, Any]) -> CollaborativeModel:
    """Return an untrained classic model."""
    return new_member(name, domain, catalog, **options)


def answered(bench: Bench, question: Question, models: Models, metrics: Sequence[str]) -> dict[str, Any]:
    """Return every model's figures for histories of each length."""
    histories = {}
    for length, cases in question.cases.items():
        report = evaluate_scorers(
            models.scorers,
            cases,
            bench.interactions.n_items,
            CUTOFFS,
            repeat=bench.domain.repeat,
            mixtures=models.mixtures,
            data=bench.name,
        )
        histories[length] = rows_of(report, models, metrics)
    return {
        "held_out": question.held,
        "cases": len(next(iter(question.cases.values()))),
        "interactions": len(question.known),
        "blend": dict(models.weights),
        "histories": histories,
    }


def rows_of(report: Report, models: Models, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Return each model's figures with 95 % bootstrap intervals over users, best first."""
    rows = [
        {
            "name": result.name,
            "texts": result.name in models.texts,
            "figures": {metric: result.figure(metric) for metric in metrics},
            "intervals": {metric: list(report.interval(result.name, metric)) for metric in metrics},
            "median_rank": float(np.median(result.ranks)),
        }
        for result in report.results
    ]
    return sorted(rows, key=lambda row: -row["figures"]["N@10"])


# --- tables and picture -----------------------------------------------------------------------------------------------


def markdown(content: Mapping[str, Any]) -> str:
    """Return both tables with explanations."""
    items, users = content["new_items"], content["new_users"]
    return "\n\n".join(
        [
            f"New items: {items['held_out']:,} of {content['items']:,} items are held out of training altogether; "
            f"{items['cases']:,} users have one of them as last item. All items are ranked except those "
            "of the history. Purely collaborative models give all new items the score 0. In brackets: 95 % bootstrap "
            "intervals over users.",
            item_table(items["histories"]["all"]),
            f"New users: {users['held_out']:,} of {content['users']:,} users are held out of training altogether. "
            "Their histories are cut to the last interactions before the item asked for. Each cell: R@10 / N@10.",
            user_table(users["histories"]),
        ]
    )


def item_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of new items."""
    lines = []
    for row in rows:
        cells = [with_interval(row["figures"][name], row["intervals"][name]) for name in ITEM_METRICS]
        rank = f"{row['median_rank']:,.0f}" if np.isfinite(row["median_rank"]) else ""
        lines.append([row["name"], "yes" if row["texts"] else "no", *cells, rank])
    return table(["model", "knows texts", *ITEM_METRICS, "median rank"], lines, words=2)


def user_table(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the table of new users, in the order of whole histories."""
    head = ["model", *(name if name == "all" else f"last {name}" for name in histories)]
    lines = [
        [name, *(" / ".join(f"{row['figures'][metric]:.4f}" for metric in USER_METRICS) for row in rows)]
        for name, rows in by_model(histories).items()
    ]
    return table(head, lines)


def by_model(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return each model's rows over the lengths of histories; models in the order of the last length."""
    *_, last = histories.values()
    return {
        best["name"]: [next(row for row in rows if row["name"] == best["name"]) for rows in histories.values()]
        for best in last
    }


COLOURS = {GENRE: BLUE, LLM_ALONE: LIGHT_BLUE}
MARKERS = "osD^vPX<>*"


def draw(content: Mapping[str, Any], file: Path) -> None:
    """Draw recall of new items as bars, and NDCG of new users over the length of their histories as lines."""
    figure, (left, right) = new_figure(12, 4.6, 2)
    draw_items(left, content["new_items"]["histories"]["all"])
    draw_users(right, content["new_users"]["histories"])
    figure.suptitle(f"{content['data']}: new items and new users, all items ranked", fontsize=11)
    save(figure, file)


def draw_items(panel: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw bars, best on top, with intervals."""
    rows = sorted(rows, key=lambda row: row["figures"]["R@10"])
    values = np.array([row["figures"]["R@10"] for row in rows])
    ends = np.array([row["intervals"]["R@10"] for row in rows])
    panel.barh(range(len(rows)), values, color=[COLOURS.get(row["name"], GREY) for row in rows], height=0.68)
    panel.errorbar(values, range(len(rows)), xerr=np.abs(ends - values[:, None]).T, fmt="none", ecolor=INK, capsize=3)
    panel.set_yticks(range(len(rows)), [row["name"] + ("" if row["texts"] else " (ids only)") for row in rows])
    panel.set_xlim(left=0)
    panel.set_xlabel("Recall@10 of new items, with 95 % bootstrap interval")


def draw_users(panel: Any, histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw one line per model; peers are told apart by their markers."""
    for number, (name, rows) in enumerate(by_model(histories).items()):
        panel.plot(
            range(len(rows)),
            [row["figures"]["N@10"] for row in rows],
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS.get(name, DARK_GREY),
            linewidth=2 if name in COLOURS else 1,
            label=name,
        )
    panel.set_xticks(range(len(histories)), list(histories))
    panel.set_ylim(bottom=0)
    panel.set_xlabel("interactions known of a new user")
    panel.set_ylabel("NDCG@10")
    panel.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


if __name__ == "__main__":
    main()
