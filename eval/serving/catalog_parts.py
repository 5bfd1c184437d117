"""What do the parts of a request cost that grow with the catalog, with one token an item and with several?

    python -m eval.serving.catalog_parts [--items 1682 100000 1000000] [--factors 64] [--llm NAME] [--quick]

Milliseconds of the processor, medians, for one history of ten items; nothing is trained. The embeddings of items have
the shape that their number gets by default, and so has what members have learned. "language model" goes from the
tokens of the prompt to the scores of all items, where each has one token. With several tokens an item, it searches for
the best CANDIDATES items, as in serving. "together" is the language model, the members, the blend with cold items, and
the ten best. Not contained are the prompt's text, filters and the answer, which do not grow. With --factors, embeddings
of one token an item have so many columns at all sizes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from scipy import sparse

from eval.bench.results import record, table
from eval.bench.script import at_least_one, new_parser, script
from genre_gen.blending.blend import Blend
from genre_gen.blending.quotas import best_within
from genre_gen.codes.base import Codes
from genre_gen.collaborative import ItemKNN, Popularity, SequentialRules
from genre_gen.data.interactions import History
from genre_gen.decoding.search import log_probabilities, score_items, search_many
from genre_gen.decoding.tree import TreeModel
from genre_gen.decoding.trie import Trie
from genre_gen.domain import CodeSettings, ModelSettings
from genre_gen.downloads.models import ensure_model
from genre_gen.llm.factors import number_of_factors
from genre_gen.llm.generator import CANDIDATES
from genre_gen.llm.load import load_base
from genre_gen.llm.model import LLM
from genre_gen.recommender.state import mask_cold_items

TOKENS = 4
"""The tokens of an item's code, where it has several."""
HIDDEN, NEIGHBOURS, LENGTH, COLD, ROUNDS = 576, 30, 10, 0.3, 15
WEIGHTS = {"llm": 0.3, "sequential_rules": 0.4, "item_knn": 0.2, "popularity": 0.1}
PARTS = (
    "logits, by rows", "logits, by columns", "log-softmax", "three members", "blend", "blend, cold items", "ten best",
)  # fmt: skip
SHARED = ("three members", "blend, cold items", "ten best")
INSTRUCTION, LAYERS = 35, 3  # cached tokens before the history; layers that items are ranked after


def main(arguments: Sequence[str] | None = None) -> None:
    """Time every part at every size and print the table."""
    parser = new_parser(__doc__, "threads", "quick")
    parser.add_argument("--items", nargs="+", type=int, default=[1_682, 100_000, 1_000_000], help="sizes of catalogs")
    parser.add_argument("--factors", type=int, help="columns of item embeddings [as their number gets by default]")
    parser.add_argument("--llm", default=ModelSettings().llm, help="name or folder of a model [%(default)s]")
    with script(parser, arguments) as options:
        at_least_one(options, "threads")
        torch.set_num_threads(options.threads)
        sizes = [50, 100] if options.quick else options.items
        found = {n_items: parts(n_items, options.factors) for n_items in sizes}
        for n_items, each in found.items():
            shared = sum(each[name] for name in SHARED)
            for tokens, kind in ((1, ""), (TOKENS, f", {TOKENS} tokens")):
                each[f"language model{kind}"] = language_model(n_items, options.llm, tokens, options.factors)
                each[f"together{kind}"] = each[f"language model{kind}"] + shared
        rows = [[f"{n_items:,}", *(f"{ms:.2f}" for ms in each.values())] for n_items, each in found.items()]
        text = table(("items", *found[sizes[0]]), rows)
        record(options.out, "catalog_parts", f"{options.threads} threads", {str(n): found[n] for n in found}, text)
        print(text)


@torch.inference_mode()
def parts(n_items: int, factors: int | None = None) -> dict[str, float]:
    """Return the milliseconds of each part; ``factors`` replace the number of columns that embeddings have."""
    random = np.random.default_rng(0)
    width = factors or number_of_factors(CodeSettings(), n_items) or HIDDEN
    by_row = torch.from_numpy(random.standard_normal((n_items, width), np.float32))
    by_column, state = by_row.T.contiguous(), torch.ones(1, width)
    logits = F.linear(state, by_row)
    rules, neighbours, popularity = SequentialRules(), ItemKNN(), Popularity()
    rules.rules, neighbours.similar = (_weights(random, n_items) for _ in range(2))
    popularity.log_counts = random.random(n_items, dtype=np.float32)
    members = {"sequential_rules": rules, "item_knn": neighbours, "popularity": popularity}
    histories = [History(random.choice(n_items, LENGTH, replace=False))]
    scores = {"llm": log_probabilities(logits), **{name: each.score(histories) for name, each in members.items()}}
    allowed, cold, blend = np.ones((1, n_items), bool), random.random(n_items) < COLD, Blend(WEIGHTS)
    allowed[0, histories[0].rows] = False
    total = blend.combine(scores, allowed).total[0]
    timed: tuple[Callable[[], object], ...] = (
        lambda: F.linear(state, by_row),
        lambda: state @ by_column,
        lambda: log_probabilities(logits),
        lambda: [each.score(histories) for each in members.values()],
        lambda: blend.combine(scores, allowed),
        lambda: blend.combine(mask_cold_items(scores, None, cold, {"llm"}), allowed),
        lambda: best_within(total, 10, allowed[0]),
    )
    return {name: _milliseconds(run) for name, run in zip(PARTS, timed, strict=True)}


@torch.inference_mode()
def language_model(n_items: int, name: str, tokens: int = 1, factors: int | None = None) -> float:
    """Return the milliseconds from the tokens of a history to the scores of items, by an untrained model."""
    base, tokenizer = load_base(ensure_model(name))
    codes = codes_of(n_items, tokens)
    settings = ModelSettings(llm=name, exit_layer=min(LAYERS, len(base.model.layers)))
    if tokens > 1:
        factors = 0
    elif factors is None:
        factors = number_of_factors(CodeSettings(), n_items)
    llm = LLM(base, tokenizer, codes, settings, factors).eval()
    llm.code_embedding.normal_()
    parts = llm.item_backbone, llm.embed_items, llm.code_logits, llm.text_vocabulary
    model, trie = TreeModel(*parts, quick_head=llm.quick_code_logits), Trie.build(codes.codes, codes.vocabulary)
    random, instruction = np.random.default_rng(0), np.arange(INSTRUCTION)
    model.cache_prefix(instruction)

    def run() -> None:
        history = codes.codes[random.choice(n_items, LENGTH, replace=False)].ravel() + llm.text_vocabulary
        prompt = np.concatenate([instruction, history])
        if tokens == 1:
            score_items(model, [prompt], trie)
        else:
            search_many(model, [prompt], trie, CANDIDATES)

    return _milliseconds(run)


def codes_of(n_items: int, tokens: int) -> Codes:
    """Return codes of so many tokens an item; with several, those of each level are used about equally often."""
    if tokens == 1:
        return Codes("atomic", np.arange(n_items)[:, None], tuple(map(str, range(n_items))))
    width = max(2, int(np.ceil(n_items ** (1 / tokens))) + 1)
    shuffled = np.random.default_rng(1).permutation(width**tokens)[:n_items]
    digits = shuffled[:, None] // width ** np.arange(tokens) % width
    return Codes("semantic", digits + width * np.arange(tokens), tuple(map(str, range(width * tokens))))


def _weights(random: np.random.Generator, n_items: int) -> sparse.csr_matrix:
    """Return item-to-item weights, NEIGHBOURS an item."""
    columns = random.integers(n_items, size=n_items * NEIGHBOURS).astype(np.int32)
    values, begins = random.random(len(columns), dtype=np.float32), np.arange(0, len(columns) + 1, NEIGHBOURS)
    return sparse.csr_matrix((values, columns, begins), (n_items, n_items))


def _milliseconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS + 2):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return 1e3 * float(np.median(times[2:]))


if __name__ == "__main__":
    main()
