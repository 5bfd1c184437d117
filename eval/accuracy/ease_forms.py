"""Is EASE with sparse weights as good as with all of them, and what do both cost?

    python -m eval.accuracy.ease_forms [--data ml-100k amazon-scientific amazon-beauty] [--cases 5000] [--l2 200]

Both forms learn from ``train`` and rank validation cases; no test item is looked at. ItemKNN is fitted for comparison.
The p is of a paired permutation test of NDCG@10 against all weights, on the same users.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from eval.bench.cases import Bench
from eval.bench.results import p_text, record, table
from eval.bench.script import at_least_one, new_parser, script
from genre_gen.collaborative import CollaborativeModel, Ease, ItemKNN
from genre_gen.collaborative.ease_weights import DenseWeights, SparseWeights
from genre_gen.collaborative.together import PAIRS, seen_matrix
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import sample_cases
from genre_gen.evaluation.significance import paired_test
from genre_gen.metrics import case_ranks, ndcg_at

DATA = ("ml-100k", "amazon-scientific", "amazon-beauty")
HEAD = ("data", "weights", "NDCG@10", "p", "fit, s of the processor", "saved, MB")


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit and rank, print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(DATA), help=f"[{' '.join(DATA)}]")
    parser.add_argument("--cases", type=int, default=5000, help="validation cases at most [5000]")
    parser.add_argument("--l2", type=float, default=200.0, help="regularisation [200]")
    with script(parser, arguments) as options:
        at_least_one(options, "cases")
        for name in options.data:
            split = Bench.open(name).split
            cases = sample_cases(split.validation, options.cases)
            found, rows = {}, []
            for form, model, seconds in fitted(split.train, options.l2):
                ranks = case_ranks(model.score, cases, split.train.n_items)
                found[form] = ndcg_at(ranks, 10)
                p = None if form == "all" else paired_test(found[form], found["all"])
                size = sum(array.nbytes for array in model.arrays().values()) / 1e6
                figures = (f"{found[form].mean():.4f}", "" if p is None else p_text(p), f"{seconds:.1f}", f"{size:.1f}")
                rows.append((name, form, *figures))
            text = table(HEAD, rows, words=2)
            content = {form: dict(zip(HEAD[2:], row[2:], strict=True)) for form, row in zip(found, rows, strict=True)}
            record(options.out, "ease_forms", name, content, text)
            print(text)


def fitted(interactions: Interactions, l2: float) -> list[tuple[str, CollaborativeModel, float]]:
    """Return EASE with all and with sparse weights, and ItemKNN, with the seconds of each fit."""
    models: list[tuple[str, CollaborativeModel, float]] = []
    for name, form in (("all", DenseWeights), ("sparse", SparseWeights)):
        begin, model = time.process_time(), Ease(l2)
        model.weights = form.fit(seen_matrix(interactions, PAIRS), l2)
        models.append((name, model, time.process_time() - begin))
    begin = time.process_time()
    models.append(("ItemKNN", ItemKNN(recency=0.5).fit(interactions), time.process_time() - begin))
    return models


if __name__ == "__main__":
    main()
