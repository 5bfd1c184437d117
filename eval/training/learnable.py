"""How much of a law can a log of this size tell at all, and how much do counted rules take from it?

    python -m eval.training.learnable [--items 100000 1000000] [--skews 1 1.2] [--users 600] [--quick]

Logs are drawn from a known law (`eval/bench/law.py`), of the sizes of `large_catalog`. NDCG@10 of test users, nothing
is trained but the rules: the law's own ranking; one that knows all of the law but which items follow which, and counts
that in the log, about the best that any model can do; and sequential rules that read the last item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eval.bench.law import Law
from eval.bench.results import record, table
from eval.bench.script import at_least_one, new_parser, script
from eval.training.large_catalog import SIZES, shape
from genre_gen.collaborative import SequentialRules
from genre_gen.data.interactions import History
from genre_gen.data.splits import Case, sample_cases
from genre_gen.metrics import case_ranks, ndcg_at

RULES = {"lags": 1, "backward": 0.0, "smoothing": 3.0, "novelty": 0.0, "recency": 4.0}
HEAD = ("items", "interactions", "skew", "items in the log", "the law", "from the log", "share", "rules", "share")


def main(arguments: Sequence[str] | None = None) -> None:
    """Rank by each and print the table."""
    parser = new_parser(__doc__, "quick")
    parser.add_argument("--items", nargs="+", type=int, choices=list(SIZES), default=[100_000, 1_000_000])
    parser.add_argument("--skews", nargs="+", type=float, default=[1.0, 1.2], help="exponents of popularity [1 1.2]")
    parser.add_argument("--users", type=int, default=600, help="test users [600]")
    with script(parser, arguments) as options:
        at_least_one(options, "users")
        for n_items in options.items:
            for skew in options.skews:
                sizes = shape(n_items, options.quick)
                found = measured(*sizes, skew, options.users)
                text = table(HEAD, [row(sizes[0], sizes[2], skew, found)])
                record(options.out, "learnable", f"{n_items} items, skew {skew:g}", found, text)
                print(text)


def measured(n_items: int, n_users: int, n_interactions: int, skew: float, users: int) -> dict[str, float]:
    """Return NDCG@10 by the law, from the log, and by rules, and the share of items that the log has."""
    law = Law(n_items, seed=0, skew=skew)
    log = law.interactions(n_users, n_interactions, rated=False)
    last = np.zeros(len(log), bool)
    last[log.offsets[1:] - 1] = True
    cases = sample_cases(tuple(map(_last_case, log.histories())), users)
    train = log.keep(~last)
    rules = SequentialRules(**RULES).fit(train)
    scorers: dict[str, Callable[[Sequence[History]], Any]] = {
        "law": law.score, "log": law.learned(train), "rules": rules.score
    }  # fmt: skip
    found = {"seen": len(np.unique(train.rows)) / n_items}
    for name, score in scorers.items():
        ranks = case_ranks(lambda some, by=score: by(some).astype(np.float32), cases, n_items, batch=8)  # type: ignore[misc]
        found[name] = float(ndcg_at(ranks, 10).mean())
    return found


def _last_case(history: History) -> Case:
    return Case(history.slice(0, len(history) - 1), int(history.rows[-1]))


def row(n_items: int, n_interactions: int, skew: float, found: dict[str, float]) -> list[str]:
    """Return the line of a log."""
    law, log, rules = found["law"], found["log"], found["rules"]
    figures = (
        f"{found['seen']:.2f}",
        f"{law:.4f}",
        f"{log:.4f}",
        f"{log / law:.3f}",
        f"{rules:.4f}",
        f"{rules / log:.3f}",
    )
    return [f"{n_items:,}", f"{n_interactions:,}", f"{skew:g}", *figures]


if __name__ == "__main__":
    main()
