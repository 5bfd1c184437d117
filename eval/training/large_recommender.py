"""How near does the recommender of a large catalog come to the law of its log, and how long does a request take?

    python -m eval.training.large_recommender [--items 1682 100000 1000000] [--steps 300] [--users 300] [--quick]

What a user gets is measured: the blend of the language model and the collaborative models. Logs are drawn from a known
law (`eval/bench/law.py`), each size in a process of its own. NDCG@10 of test users is compared with that of the law's
own ranking, and with about the best that can be learned from the log: a ranking that knows all of the law but which
items follow which, and counts that. Requests have the last ten items of a history. Their milliseconds are of the
processor.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from eval.bench.law import Law
from eval.bench.results import record, table
from eval.bench.script import assignments, at_least_one, new_parser, say, script
from eval.bench.stages import replaced
from eval.training.large_catalog import SIZES, shape, started
from eval.training.llm_alone import ALONE, WARM_UP, peak_gigabytes, stepping
from genre_gen.blending import weights
from genre_gen.collaborative import tuning
from genre_gen.data.history import History
from genre_gen.data.splits import Split, sample_cases
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE, WITHOUT_LLM
from genre_gen.metrics import case_ranks, ndcg_at
from genre_gen.recommender.recommender import Recommender

MEMBERS = ["sequential_rules", "popularity"]
REQUESTS, LENGTH = 30, 10
HEAD = ("items", "interactions", "steps", "ms a token", "peak GB", "NDCG@10", "LLM alone", "without LLM", "the law's",
        "share", "of the log", "share", "LLM, ms", "of the first", "request, ms", "of the first")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size in a process of its own and print the table."""
    parser = new_parser(__doc__, "threads", "quick", "set")
    parser.add_argument("--items", nargs="+", type=int, choices=list(SIZES), default=[1_682, 100_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=300, help="of the language model [300]")
    parser.add_argument("--users", type=int, default=300, help="test users [300]")
    parser.add_argument("--cases", type=int, default=300, help="validation users that weights are chosen on [300]")
    parser.add_argument("--skew", type=float, default=1.0, help="exponent of popularity in the law [1]")
    parser.add_argument("--one", help="measure this size, and print JSON; for the processes that the script starts")
    with script(parser, arguments) as options:
        at_least_one(options, "threads", "users", "cases", "steps")
        if options.one is not None:
            print(json.dumps(one(options)))
            return
        found = {}
        for n_items in options.items:
            names = ("threads", "steps", "users", "cases", "skew")
            found[n_items] = started("eval.training.large_recommender", n_items, options, names)
            say(f"{n_items:,} items: {found[n_items]}")
        text = table(HEAD, rows(found))
        key = f"{options.steps} steps, skew {options.skew:g}"
        record(options.out, "large_recommender", key, {str(n): found[n] for n in found}, text)
        print(text)


def one(options: Any) -> dict[str, Any]:
    """Measure one size in this process."""
    import torch

    torch.set_num_threads(options.threads)
    n_items, n_users, n_interactions = shape(int(options.one), options.quick)
    law = Law(n_items, seed=0, skew=options.skew)
    data = law.dataset(n_users, n_interactions, rated=False)
    settings = {"blend.members": MEMBERS, **assignments(options.set)}
    domain = data.domain.changed({**ALONE, **settings})
    split = data.leave_one_out()
    recommender = Recommender(domain)
    begin = time.process_time()
    few = (replaced(module, name, options.cases) for module in (tuning, weights) for name in ("CASES", "LEAST_CASES"))
    with ExitStack() as changes, stepping(3 if options.quick else options.steps) as taken:
        for change in few:
            changes.enter_context(change)
        recommender.fit(split)
    found: dict[str, Any] = {
        "interactions": n_interactions,
        "steps": len(taken),
        "fit_processor_seconds": time.process_time() - begin,
        "token_ms": 1e3 * sum(s for s, _ in taken[WARM_UP:]) / max(1, sum(n for _, n in taken[WARM_UP:])),
        "peak_gigabytes": peak_gigabytes(),
        "weights": dict(recommender.state.blend.weights),
        "members": recommender.state.tuned.members,
    }
    return found | quality(recommender, split, law, options.users) | requests(recommender, split)


def quality(recommender: Recommender, split: Split, law: Law, users: int) -> dict[str, float]:
    """Return NDCG@10 of the blend, its parts, the law, and the best from the log."""
    split = replace(split, test=tuple(sample_cases(split.test, users)))
    report = recommender.evaluate(split, 10, baselines=False)
    names = {GENRE: "blend", LLM_ALONE: "llm", WITHOUT_LLM: "without_llm"}
    found = {names[each.name]: each.figure("N@10") for each in report.results if each.name in names}
    for key, score in (("law", law.score), ("log", law.learned(split.train))):
        ranks = case_ranks(_single(score), split.test, law.n_items, recommender.state.domain.repeat, 8)
        found[key] = float(ndcg_at(ranks, 10).mean())
    return found


def _single(score: Callable[[Sequence[History]], np.ndarray[Any, Any]]) -> Callable[[Sequence[History]], Any]:
    return lambda histories: score(histories).astype(np.float32)


def requests(recommender: Recommender, split: Split) -> dict[str, float]:
    """Return the median milliseconds of the processor of a request, and of its part by the language model."""
    state, of_llm, whole = recommender.state, list[float](), list[float]()
    for case in sample_cases(split.test, REQUESTS):
        rows = case.history.rows[-LENGTH:]
        begin = time.process_time()
        state.generator.score([History(rows)])
        of_llm.append(time.process_time() - begin)
        ids = [state.catalog[int(row)].id for row in rows]
        begin = time.process_time()
        recommender.recommend(ids)
        whole.append(time.process_time() - begin)
    return {"llm_ms": _median(of_llm), "request_ms": _median(whole)}


def _median(seconds: Sequence[float]) -> float:
    return 1e3 * float(np.median(seconds[WARM_UP:] or seconds))


def rows(found: dict[int, dict[str, Any]]) -> list[list[str]]:
    """Return a line for each size, next to the first."""
    first = next(iter(found.values()))
    return [
        [
            f"{n_items:,}",
            f"{each['interactions']:,}",
            f"{each['steps']:,}",
            f"{each['token_ms']:.3f}",
            f"{each['peak_gigabytes']:.2f}",
            *(f"{each[name]:.4f}" if name in each else "" for name in ("blend", "llm", "without_llm", "law")),
            f"{each['blend'] / max(1e-9, each['law']):.3f}",
            f"{each['log']:.4f}",
            f"{each['blend'] / max(1e-9, each['log']):.3f}",
            f"{each['llm_ms']:.1f}",
            f"{each['llm_ms'] / first['llm_ms']:.2f}",
            f"{each['request_ms']:.1f}",
            f"{each['request_ms'] / first['request_ms']:.2f}",
        ]
        for n_items, each in found.items()
    ]


if __name__ == "__main__":
    main()
