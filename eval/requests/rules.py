"""What do business rules cost in a request?

    python -m eval.requests.rules [--items 100000] [--rounds 100] [--quick]

A shop is made up: items with a brand (single), tags (a list) and a price, and users whose histories popularity and
sequential rules have learned from; no language model takes part, which would hide the difference. The same requests are
answered without and with rules alternately in one process: three boosts, two quotas and two pins; and with re-ranking.
Figures are medians of the rounds in milliseconds, the difference that of each pair. Rules are read once for a catalog
(``compile``) and kept.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from genre_gen.blending.blend import Blend
from genre_gen.blending.tuned import TunedSettings
from genre_gen.collaborative import MEMBERS, ModelContext
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import Interactions
from genre_gen.domain import Domain
from genre_gen.llm.model import LLM
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import RecommenderState
from genre_gen.rules.compiled import compile_rules
from genre_gen.rules.settings import Rules

RULES = Rules(
    boosts={"price < 20": 0.3, "tags == 'tag 3' and price >= 50": -0.5, "brand in ['brand 1', 'brand 2']": 0.2},
    at_most={"brand": 2, "price > 80": 3},
    pins={"item 17": 1, "item 40": 4},
)
WEIGHTS = {"popularity": 0.5, "sequential_rules": 0.5}
TAGS, PER_ITEM, USERS = 30, 3, 2000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "quick")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int)
    with script(parser, arguments) as options:
        rounds = options.rounds or (5 if options.quick else 100)
        content = measured(shop(options.items), rounds)
        text = markdown(content)
        record(options.out, "rules", f"{options.items} items", content, text)
        print(text)


def shop(n_items: int) -> RecommenderState:
    """Return a recommender of a made-up shop, which asks no language model."""
    rng = np.random.default_rng(0)
    brands = rng.integers(0, max(n_items // 50, 2), n_items)
    tags = rng.integers(0, TAGS, (n_items, PER_ITEM))
    prices = rng.gamma(2.0, 15.0, n_items).round(2)
    catalog = Catalog(
        Item(
            f"id {row}",
            f"item {row}",
            {"brand": f"brand {brand}", "tags": tuple(f"tag {tag}" for tag in own), "price": price},
        )
        for row, (brand, own, price) in enumerate(zip(brands.tolist(), tags.tolist(), prices.tolist(), strict=True))
    )
    fields = {"brand": {"type": "text"}, "tags": {"type": "list"}, "price": {"type": "number"}}
    domain = Domain.from_settings({"name": "ecommerce", "fields": fields, "codes": {"text": 0.0}})
    domain = domain.model_copy(update={"prompts_folder": Domain.load("ecommerce").prompts_folder})
    users = np.repeat([str(number) for number in range(USERS)], 10)
    rows = (n_items * rng.random(len(users)) ** 3).astype(np.int64)
    log = Interactions.from_columns(users, rows, n_items, times=np.arange(len(users)))
    members = {name: MEMBERS[name].for_data(ModelContext(catalog)).fit(log) for name in WEIGHTS}
    tuned = TunedSettings(Blend(WEIGHTS), Blend(WEIGHTS))
    return RecommenderState(domain, PromptBook.load(domain), catalog, log, log, cast("LLM", None), members, {}, tuned)


def measured(state: RecommenderState, rounds: int) -> dict[str, Any]:
    """Return the times of a request without and with rules, measured alternately, for each way to re-rank."""
    begin = time.perf_counter()
    compile_rules(RULES, state.catalog)
    compiling = 1e3 * (time.perf_counter() - begin)  # the catalog's columns are read here too
    rows = [row(state, method, n, rounds) for method, n in (("none", 10), ("none", 100), ("mmr", 10))]
    return {"items": len(state.catalog), "compile_ms": compiling, "rows": rows}


def row(state: RecommenderState, method: str, n: int, rounds: int) -> dict[str, Any]:
    """Return the median times of one kind of request, in milliseconds."""
    recommender = Recommender.from_state(replace(state, domain=state.domain.changed({"rerank.method": method})))
    taken = np.zeros((rounds, 2))
    for turn in range(-1, rounds):
        user = str(turn % USERS)
        for column in np.argsort([turn % 2, 1 - turn % 2]):  # which goes first changes from round to round
            begin = time.perf_counter()
            recommender.recommend(user, n, rules=RULES if column else None)
            if turn >= 0:
                taken[turn, column] = 1e3 * (time.perf_counter() - begin)
    without, ruled = np.median(taken, axis=0).tolist()
    return {"rerank": method, "n": n, "without": without, "with": ruled, "difference": float(np.median(np.diff(taken)))}


def markdown(content: dict[str, Any]) -> str:
    """Return the table."""
    names = ["re-ranking", "n", "without rules", "with rules", "difference"]
    rows = [
        [each["rerank"], each["n"], *(f"{each[name]:.2f}" for name in ("without", "with", "difference"))]
        for each in content["rows"]
    ]
    caption = (
        f"Milliseconds of a request, {content['items']:,} items; rules are read in {content['compile_ms']:.0f} ms."
    )
    return f"{caption}\n\n{table(names, rows)}"


if __name__ == "__main__":
    main()
