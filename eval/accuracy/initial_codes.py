"""How good are item codes before any training? Ranks validation items by the codes' initial vectors only.

    python -m eval.accuracy.initial_codes --data amazon-scientific [--users 3000]

Each row has NDCG@10 and recall@10 of the items nearest to the history (inner product of vectors, with its items
weighted by 1 / (1 + age)), for several ways to make the vectors. The last rows are of the untrained language model,
with pre-trained layers and near-identity layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.bench.cases import Bench
from eval.bench.results import record, table
from eval.bench.script import new_parser, say, script
from genre_gen.collaborative import SequentialRules, TextKNN
from genre_gen.collaborative.base import history_matrix
from genre_gen.data.history import History, allowed_items
from genre_gen.data.splits import Case, sample_cases
from genre_gen.domain import CodeSettings, Domain
from genre_gen.downloads.models import ensure_model
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.load import load_base
from genre_gen.metrics import ndcg_at, ranks, recall_at
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.training.llm_training import build_llm, item_vectors

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
SCALES = (1.0, 0.3, 0.1, 0.05, 0.02)
BATCH = 256


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "data")
    parser.add_argument("--users", type=int, default=3000, help="maximum number of validation users, a fixed sample")
    with script(parser, arguments) as options:
        bench = Bench.open(options.data)
        cases = sample_cases(bench.split.validation, options.users)
        histories = [case.history for case in cases]
        figures = {}
        for name, scores in every_start(bench, histories):
            figures[name] = measured(scores, cases)
            say(name)
        counted = SequentialRules().fit(bench.split.train).score(histories)
        met = float((counted[np.arange(len(cases)), [case.target for case in cases]] > 0).mean())
        content = {"part": "validation", "users": len(cases), "never_met": 1 - met, "figures": figures}
        text = markdown(content)
        record(options.out, "initial_codes", bench.name, content, text)
        print(text)


def markdown(content: Mapping[str, Any]) -> str:
    """Return the table."""
    rows = [(name, f"{row['N@10']:.4f}", f"{row['R@10']:.4f}") for name, row in content["figures"].items()]
    about = f"{content['users']:,} validation users."
    if "never_met" in content:  # recorded since it is counted
        about += f" {content['never_met']:.1%} of the targets never occurred near an item of the history."
    return f"{about}\n\n{table(['item vectors', 'N@10', 'R@10'], rows)}"


def every_start(bench: Bench, histories: Sequence[History]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each initialisation with its scores ``[len(histories), n_items]``."""
    catalog, train = bench.catalog, bench.split.train
    texts = [item.describe() for item in catalog]
    yield "sequential_rules, for comparison", SequentialRules().fit(train).score(histories)
    yield "TF-IDF of words (text_knn), for comparison", TextKNN(texts).fit(train).score(histories)
    base, tokenizer = load_base(ensure_model(bench.domain.model.llm))
    recent = history_matrix(histories, len(catalog), recency=1.0)
    embeddings = base.get_input_embeddings().weight.detach()  # type: ignore[operator, union-attr]
    ids = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    plain = torch.stack([embeddings[torch.tensor(row or [0])].float().mean(0) for row in ids]).numpy()
    yield "texts, plain means of token embeddings", nearest(recent, plain)
    for weight in WEIGHTS:
        settings = CodeSettings(text=1.0, collaborative=weight)
        vectors = item_vectors(base, tokenizer, catalog, train, settings).numpy()
        yield f"texts + {weight:g} x co-occurrence", nearest(recent, vectors)
    only = item_vectors(base, tokenizer, catalog, train, CodeSettings(text=0.0, collaborative=1.0)).numpy()
    yield "co-occurrence alone", nearest(recent, only)
    for scale in SCALES:
        yield f"untrained LLM, near_identity_scale {scale:g}", untrained(bench, bench.domain, scale, histories)


def nearest(recent: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return inner products of the histories' weighted vectors with every item's."""
    return np.asarray((recent @ vectors) @ vectors.T, dtype=np.float32)


def untrained(bench: Bench, domain: Domain, scale: float, histories: Sequence[History]) -> NDArray[np.float32]:
    """Return the scores of the language model before its first step."""
    changed = domain.changed({"model.near_identity_scale": scale})
    data = TaskData(bench.catalog, bench.split.train, changed)
    llm = build_llm(changed, data.catalog, data.interactions)
    generator = ItemGenerator(llm, PromptBook.load(changed), data)
    parts = [generator.score(histories[begin : begin + BATCH]) for begin in range(0, len(histories), BATCH)]
    return np.concatenate(parts)


def measured(scores: NDArray[np.float32], cases: Sequence[Case]) -> dict[str, float]:
    """Return NDCG@10 and recall@10 over all items but the seen ones."""
    targets = np.array([case.target for case in cases])
    allowed = allowed_items([case.history for case in cases], scores.shape[1])
    target_ranks = ranks(scores, targets, allowed)
    return {"N@10": float(ndcg_at(target_ranks, 10).mean()), "R@10": float(recall_at(target_ranks, 10).mean())}


if __name__ == "__main__":
    main()
