"""Which length should the vectors of cold items have? This is how ``codes.cold_start_scale`` was chosen.

    python -m eval.accuracy.cold_start_scale --data amazon-scientific [--minutes 5] [--lengths 0 0.7 0.8 0.9 1 1.1]

The items that ``cold_start`` holds out are not used. Of the others, a tenth of the items that are a user's last one is
held out of one training of the language model. Then these cold items are placed with each of the lengths. Cases are the
last items of the users with a cold last item, and of ``--known`` others, whose items compete with cold ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.accuracy.cold_start import new_items, without_items
from eval.bench.cases import Bench
from eval.bench.results import record, table
from eval.bench.script import new_parser, say, script
from genre_gen.collaborative import TextKNN
from genre_gen.data.history import History, allowed_items
from genre_gen.data.splits import Case, hold_out_last, leave_one_out, sample_cases
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, mixtures, scorers
from genre_gen.evaluation.protocol import Mixture, Scorer
from genre_gen.evaluation.significance import interval
from genre_gen.metrics import case_ranks, ndcg_at, recall_at
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import LLM_MEMBER, RecommenderState
from genre_gen.training.llm_training import place_cold_items

CUTOFF = 10
BATCH = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Train once, place cold items with every length, and write the table."""
    with script(parser(), arguments) as options:
        bench = Bench.open(options.data)
        content = measured(bench, options)
        text = markdown(content)
        record(options.out, "cold_start_scale", bench.name, content, text)
        print(text)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = new_parser(__doc__, "data", "minutes")
    made.add_argument("--lengths", type=float, nargs="+", default=[0, 0.7, 0.8, 0.9, 1.0, 1.1], help="0: left at texts")
    made.add_argument("--known", type=int, default=800, help="number of cases of known items")
    made.add_argument("--seed", type=int, default=0, help="as for cold_start")
    return made


def measured(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures at every length, and those of TextKNN, as JSON values."""
    split = leave_one_out(new_items(bench, options.seed).known, bench.catalog)
    question = without_items(split, bench.name, options.seed + 1)
    met = set(question.known.rows.tolist())
    asked = {
        "new": question.cases["all"],
        "known": sample_cases([case for case in split.test if case.target in met], options.known),
    }
    say(f"{question.held} items held out, {len(asked['new'])} cases of them and {len(asked['known'])} of known items")
    changes = {"training.max_minutes": options.minutes, "training.seed": options.seed}
    changes |= {"codes.cold_start_scale": 0, "training.refit": "none"}
    held_out = hold_out_last(question.known, bench.catalog)
    state = Recommender(bench.domain, settings=changes).fit(held_out).state
    rows = {f"{length:g}": at_length(state, length, asked) for length in sorted(options.lengths)}
    texts = TextKNN([item.describe() for item in bench.catalog], **state.tuned.members.get(TextKNN.name, {}))
    score = texts.fit(held_out.train).score
    at_length(state, bench.domain.codes.cold_start_scale, asked)
    return {
        "data": bench.name,
        "seed": options.seed,
        "minutes": options.minutes,
        "items": len(bench.catalog),
        "held_out": question.held,
        "without_interactions": len(bench.catalog) - len(met),
        "cases": {name: len(cases) for name, cases in asked.items()},
        "lengths": rows,
        "text_knn": figures(score, asked, len(bench.catalog), bench.domain.repeat),
        "blend": dict(state.blend.weights),
        "blends": {
            name: figures(scorer, asked, len(bench.catalog), bench.domain.repeat)
            for name, scorer in blends(state).items()
        },
    }


def at_length(state: RecommenderState, length: float, asked: Mapping[str, Sequence[Case]]) -> dict[str, Any]:
    """Place the cold items with a length (0, used first, changes nothing); return the language model's figures."""
    generator = state.generator
    domain = state.domain.changed({"codes.cold_start_scale": length})
    place_cold_items(generator.llm, replace(generator.data, domain=domain))
    generator.clear_caches()
    return figures(generator.score, asked, len(state.catalog), domain.repeat)


def blends(state: RecommenderState) -> dict[str, Scorer]:
    """Return two scorers: the blend as in serving, and with the score 0 for cold items."""
    members, size, repeat = scorers(state), len(state.catalog), state.domain.repeat

    def scored(mixture: Mixture, histories: Sequence[History]) -> NDArray[np.float32]:
        scores = {name: scorer(histories) for name, scorer in members.items()}
        return mixture({LLM_MEMBER: scores[LLM_ALONE], **scores}, allowed_items(histories, size, repeat))

    ways: dict[str, Mixture] = {
        "the blend": mixtures(state)[GENRE],
        "the blend, cold items at the score 0": lambda scores, allowed: state.blend.combine(scores, allowed).total,
    }
    return {name: partial(scored, mixture) for name, mixture in ways.items()}


def figures(
    score: Callable[..., NDArray[np.float32]], asked: Mapping[str, Sequence[Case]], size: int, repeat: bool
) -> dict[str, Any]:
    """Return recall with its 95 % interval, and NDCG, of each kind of case."""
    of_cases = {}
    for name, cases in asked.items():
        ranks = case_ranks(score, cases, size, repeat, BATCH)
        recall = recall_at(ranks, CUTOFF).astype(np.float64)
        of_cases[name] = {
            f"R@{CUTOFF}": float(recall.mean()),
            "interval": list(interval(recall)),
            f"N@{CUTOFF}": float(ndcg_at(ranks, CUTOFF).mean()),
        }
    return of_cases


def markdown(content: Mapping[str, Any]) -> str:
    """Return the table."""
    cases = content["cases"]
    lengths = {
        f"{length} times as long" if float(length) else "left at texts": row
        for length, row in content["lengths"].items()
    }
    rows = lengths | {"TextKNN": content["text_knn"], **content["blends"]}
    about = (
        f"{content['held_out']} items held out of training, of {content['without_interactions']} cold ones among "
        f"{content['items']:,}; {cases['new']} cases of cold items, {cases['known']} of known ones; none of them is a "
        "case of `cold_start`. The language model alone, except for the last rows; all items ranked."
    )
    head = ["cold items", f"cold: R@{CUTOFF}", f"N@{CUTOFF}", f"known: R@{CUTOFF}", f"N@{CUTOFF}"]
    lines = [[name, *cells(row["new"]), *cells(row["known"])] for name, row in rows.items()]
    return f"{about}\n\n{table(head, lines)}"


def cells(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return recall with its interval, and NDCG."""
    low, high = row["interval"]
    return f"{row[f'R@{CUTOFF}']:.3f} [{low:.3f}, {high:.3f}]", f"{row[f'N@{CUTOFF}']:.4f}"


if __name__ == "__main__":
    main()
