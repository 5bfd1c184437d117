"""What do item codes know before any training? Ranks validation items by nothing but what codes start from.

    python eval/starts.py --data amazon-scientific [--users 3000] [--json eval/results/starts_DATA.json]

Each line is NDCG@10 and recall@10 of the items nearest to the history (its items weighed by 1 / (1 + age), inner
product of vectors), for several ways to make the vectors; then of the untrained language model itself, with its layers
as they were pre-trained and quietened.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from leaderboard import Bench, told
from numpy.typing import NDArray

from genre_gen.collaborative import SequentialRules, TextKNN
from genre_gen.collaborative.base import history_matrix
from genre_gen.data.interactions import History, allowed_items
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
_BATCH = 256


@told()
def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="ml-100k", help="a folder of eval/domains, or any with a domain.toml")
    parser.add_argument("--users", type=int, default=3000, help="validation users, at most: a fixed sample")
    parser.add_argument("--json", type=Path, help="where the figures go [eval/results/starts_DATA.json]")
    options = parser.parse_args()
    bench = Bench.open(options.data, "leave-one-out", Path("runs/leaderboard"))
    cases = sample_cases(bench.split.validation, options.users)
    figures = {}
    for name, scores in every_start(bench, [case.history for case in cases]):
        figures[name] = measured(scores, cases)
        print(f"{name:58} N@10 {figures[name]['N@10']:.4f}  R@10 {figures[name]['R@10']:.4f}", flush=True)
    file = options.json or Path(f"eval/results/starts_{bench.name}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    counted = SequentialRules().fit(bench.split.train).score([case.history for case in cases])
    met = float((counted[np.arange(len(cases)), [case.target for case in cases]] > 0).mean())
    print(f"{1 - met:.3f} of the targets never occurred within ten steps of any item of their history")
    content = {"data": bench.name, "part": "validation", "users": len(cases), "never_met": 1 - met, "figures": figures}
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def every_start(bench: Bench, histories: Sequence[History]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each way to start with its scores ``[len(histories), n_items]``."""
    catalog, train = bench.catalog, bench.split.train
    texts = [item.describe() for item in catalog]
    yield "sequential_rules, for comparison", SequentialRules().fit(train).score(histories)
    yield "TF-IDF of words (text_knn), for comparison", TextKNN(texts).fit(train).score(histories)
    base, tokenizer = load_base(ensure_model(bench.domain.model.llm))
    recent = history_matrix(histories, len(catalog), lambda age: 1.0 / (1.0 + age))
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
    parts = [generator.score(histories[begin : begin + _BATCH]) for begin in range(0, len(histories), _BATCH)]
    return np.concatenate(parts)


def measured(scores: NDArray[np.float32], cases: Sequence[Case]) -> dict[str, float]:
    """Return NDCG@10 and recall@10 over all items but the seen ones."""
    targets = np.array([case.target for case in cases])
    allowed = allowed_items([case.history for case in cases], scores.shape[1])
    found = ranks(scores, targets, allowed)
    return {"N@10": float(ndcg_at(found, 10).mean()), "R@10": float(recall_at(found, 10).mean())}


if __name__ == "__main__":
    main()
