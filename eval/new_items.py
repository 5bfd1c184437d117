"""Where do items belong that nobody has had? How ``codes.cold_start_scale`` was chosen.

    python eval/new_items.py --data amazon-scientific [--minutes 5] [--lengths 0 0.7 0.8 0.9 1 1.1] [--seed 0]

The items that ``cold_start.py`` asks about are left out of everything. Of the others a tenth of those that are
somebody's last is held out of one training of the language model. Then the new items are placed at each of the lengths,
and asked is for the last item of those who had a new one last, and of ``--known`` others, whose items the new ones
compete with. Writes ``new_items_DATA`` as ``.json`` and ``.md`` into ``--out``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cold_start import new_items, without_items
from leaderboard import Bench, say, told, write_text
from numpy.typing import NDArray

from genre_gen.collaborative import TextKNN
from genre_gen.data.interactions import History, allowed_items
from genre_gen.data.splits import Case, sample_cases
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE
from genre_gen.evaluation.protocol import Mixture, Scorer
from genre_gen.evaluation.significance import interval
from genre_gen.metrics import case_ranks, ndcg_at, recall_at
from genre_gen.recommender.state import LLM_MEMBER
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE
from genre_gen.recommender.recommender import Recommender
from genre_gen.training.llm_training import place_cold_items

CUTOFFS = 10
BATCH = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Train once, place at every length, and write the table."""
    options = parser().parse_args(arguments)
    with told():
        bench = Bench.open(options.data, "leave-one-out", options.out)
        content = measured(bench, options)
        text = markdown(content)
        options.out.mkdir(parents=True, exist_ok=True)
        write_text(options.out / f"new_items_{bench.name}.json", json.dumps(content, indent=1) + "\n")
        write_text(options.out / f"new_items_{bench.name}.md", text)
        print(text)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", required=True, help="a folder of eval/domains, or any folder with a domain.toml")
    made.add_argument("--minutes", type=float, help="limit of the training")
    made.add_argument("--lengths", type=float, nargs="+", default=[0, 0.7, 0.8, 0.9, 1.0, 1.1], help="0: left at texts")
    made.add_argument("--known", type=int, default=800, help="how many others are asked about known items")
    made.add_argument("--seed", type=int, default=0, help="as for cold_start.py")
    made.add_argument("--out", type=Path, default=Path("eval/results"), help="folder of the tables")
    return made


def measured(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures at every length, and those of TextKNN, as JSON values."""
    split = new_items(bench, options.seed).known.leave_one_out()
    question = without_items(split, bench.name, options.seed + 1)
    met = set(question.known.rows.tolist())
    asked = {
        "new": question.cases["all"],
        "known": sample_cases([case for case in split.test if case.target in met], options.known),
    }
    say(f"{question.held} items held out, {len(asked['new'])} cases of them and {len(asked['known'])} of known items")
    changes = {"training.max_minutes": options.minutes, "training.seed": options.seed, "codes.cold_start_scale": 0}
    recommender = Recommender.from_domain(bench.domain, settings=changes)
    inner = question.known.leave_one_out()
    recommender.fit(bench.catalog, inner.train_and_validation, inner.test)
    rows = {f"{length:g}": at_length(recommender, length, asked) for length in sorted(options.lengths)}
    texts = TextKNN([item.describe() for item in bench.catalog], **recommender.member_options.get(TextKNN.name, {}))
    score = texts.fit(inner.train_and_validation).score
    at_length(recommender, bench.domain.codes.cold_start_scale, asked)
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
        "blend": dict(recommender.blend.weights),
        "blends": {
            name: figures(scorer, asked, len(bench.catalog), bench.domain.repeat)
            for name, scorer in blends(recommender).items()
        },
    }


def at_length(recommender: Recommender, length: float, asked: Mapping[str, Sequence[Case]]) -> dict[str, Any]:
    """Place the new items at a length (0, first of all, leaves them) and return the language model's figures."""
    generator = recommender.generator
    domain = recommender.domain.changed({"codes.cold_start_scale": length})
    generator.data = replace(generator.data, domain=domain)
    place_cold_items(generator.llm, generator.data)
    generator.clear_caches()
    return figures(generator.score, asked, len(recommender.catalog), domain.repeat)


def blends(recommender: Recommender) -> dict[str, Scorer]:
    """Return the blend as it serves, and with the score of nothing for new items, as scorers."""
    scorers, size, repeat = recommender.scorers(), len(recommender.catalog), recommender.domain.repeat

    def scored(mixture: Mixture, histories: Sequence[History]) -> NDArray[np.float32]:
        scores = {name: scorer(histories) for name, scorer in scorers.items()}
        return mixture({LLM_MEMBER: scores[LLM_ALONE], **scores}, allowed_items(histories, size, repeat))

    ways: dict[str, Mixture] = {
        "the blend": recommender.mixtures()[GENRE],
        "the blend, new items at the score of nothing": recommender.blend.combine,
    }
    return {name: partial(scored, mixture) for name, mixture in ways.items()}


def figures(
    score: Callable[..., NDArray[np.float32]], asked: Mapping[str, Sequence[Case]], size: int, repeat: bool
) -> dict[str, Any]:
    """Return recall with its 95 % interval, and NDCG, of each kind of case."""
    found = {}
    for name, cases in asked.items():
        ranks = case_ranks(score, cases, size, repeat, BATCH)
        recall = recall_at(ranks, CUTOFFS).astype(np.float64)
        found[name] = {
            f"R@{CUTOFFS}": float(recall.mean()),
            "interval": list(interval(recall)),
            f"N@{CUTOFFS}": float(ndcg_at(ranks, CUTOFFS).mean()),
        }
    return found


def markdown(content: Mapping[str, Any]) -> str:
    """Return the table."""
    cases = content["cases"]
    rows = {
        **{
            f"{length} times as long" if float(length) else "left at texts": row
            for length, row in content["lengths"].items()
        },
        "TextKNN": content["text_knn"],
        **content["blends"],
    }
    return "\n".join(
        [
            f"# {content['data']}: where new items are placed",
            "",
            f"{content['held_out']} items held out of training, of {content['without_interactions']} of "
            f"{content['items']:,} that nobody has; {cases['new']} cases of new items, {cases['known']} of known ones; "
            "none of them is asked about by `cold_start.py`. The language model alone but for the last rows, all items "
            "ranked.",
            "",
            f"| new items | new: R@{CUTOFFS} | N@{CUTOFFS} | known: R@{CUTOFFS} | N@{CUTOFFS} |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(f"| {name} | {cells(row['new'])} | {cells(row['known'])} |" for name, row in rows.items()),
            "",
        ]
    )


def cells(row: Mapping[str, Any]) -> str:
    """Return recall with its interval, and NDCG."""
    low, high = row["interval"]
    return f"{row[f'R@{CUTOFFS}']:.3f} [{low:.3f}, {high:.3f}] | {row[f'N@{CUTOFFS}']:.4f}"


if __name__ == "__main__":
    main()
