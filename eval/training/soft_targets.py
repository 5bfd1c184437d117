"""What do soft targets cost, next to scoring every prefix alone, and how does the cost grow?

    python -m eval.training.soft_targets [--users 600] [--items 9000] [--interactions 100000] [--part growth]

``ratio``: the same made-up log is taught in both ways in one run. Scoring every prefix alone asks each member for the
whole history before each interaction, with a dense EASE; since that takes many minutes, it scores a random sample of
the prefixes, and its time is multiplied. Its models are fitted on all folds in both ways. ``growth``: the time of logs
with more users, longer histories or more items, and the exponent of growth of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.bench.law import Law
from eval.bench.results import record, table
from eval.bench.script import at_least_one, new_parser, say, script
from genre_gen.blending.blend import blended
from genre_gen.collaborative import MEMBERS, Ease
from genre_gen.collaborative.base import CollaborativeModel, ModelContext
from genre_gen.collaborative.ease_weights import DenseWeights
from genre_gen.collaborative.together import seen_matrix
from genre_gen.data.batches import batches
from genre_gen.data.dataset import Dataset
from genre_gen.data.history import allowed_items
from genre_gen.data.interactions import Interactions
from genre_gen.training.distillation import SoftTargets, Teacher

WEIGHTS = {"sequential_rules": 0.3, "ease": 0.2, "item_knn": 0.1, "text_knn": 0.1, "popularity": 0.1, "svd": 0.2}
TEMPERATURE = 0.5
BATCH = 512
GROWTH: Mapping[str, Sequence[tuple[int, int, int]]] = MappingProxyType(
    {
        "users": [(200, 9_000, 25_000), (400, 9_000, 50_000), (800, 9_000, 100_000)],
        "length of histories": [(400, 9_000, 25_000), (400, 9_000, 50_000), (400, 9_000, 100_000)],
        "items": [(400, 4_000, 50_000), (400, 8_000, 50_000), (400, 16_000, 50_000)],
    }
)
"""Users, items and interactions of the logs whose times are compared."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "threads", "quick")
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--items", type=int, default=9_000)
    parser.add_argument("--interactions", type=int, default=100_000)
    parser.add_argument("--sample", type=int, default=2_000, help="prefixes that are scored alone")
    parser.add_argument("--part", choices=("ratio", "growth"), default="ratio")
    with script(parser, arguments) as options:
        import torch

        at_least_one(options, "threads", "sample")
        torch.set_num_threads(options.threads)
        if options.part == "ratio":
            shape = (options.users, options.items, options.interactions)
            figures: Mapping[str, Any] = ratio(*shape, options.sample)
            text = table(
                (
                    "users, items, interactions",
                    "every prefix alone, s",
                    "read once, s",
                    "times",
                    "by processor",
                    "same rows",
                    "share",
                ),
                [(", ".join(f"{size:,}" for size in shape), *_cells(figures))],
            )
        else:
            figures = exponents = growth(GROWTH, 4 if options.quick else 1)
            text = table(
                ("more of", "seconds of the processor", "exponent"),
                [
                    (name, ", ".join(f"{s:.1f}" for s in of["seconds"]), f"{of['exponent']:.2f}")
                    for name, of in exponents.items()
                ],
            )
        record(options.out, "soft_targets", options.part, figures, text)
        print(text)


def _cells(figures: Mapping[str, float]) -> list[str]:
    digits = {"alone": 0, "once": 1, "times": 0, "times, processor": 0, "rows": 4, "share": 4}
    return [f"{figures[name]:.{places}f}" for name, places in digits.items()]


def teacher_of(data: Dataset) -> Teacher:
    """Return a teacher of six members with default settings."""
    context = ModelContext(data.catalog, data.domain.rating_scale)
    makers = {name: partial(MEMBERS[name].for_data, context) for name in WEIGHTS}
    return Teacher(makers, WEIGHTS, TEMPERATURE)


def ratio(users: int, items: int, interactions: int, sample: int) -> dict[str, float]:
    """Return the seconds of both ways, and how far their results agree; ``processor`` seconds are of all threads."""
    data = Law(items).dataset(users, interactions)
    known, teacher = data.interactions, teacher_of(data)
    say(f"a log of {len(known):,} interactions")
    begin = _now()
    ours = teacher(known)
    once = _now() - begin
    say(f"read once: {once[0]:.1f} s, {once[1]:.1f} s of the processor")
    later = np.setdiff1d(np.arange(len(known)), known.offsets[:-1])
    chosen = np.sort(np.random.default_rng(0).choice(later, min(sample, len(later)), replace=False))
    took = {"fit": np.zeros(2), "score": np.zeros(2)}
    wanted = score_every_prefix(_with_dense_ease(teacher), known, chosen, took)
    alone = took["fit"] + took["score"] * len(later) / len(chosen)
    say(f"every prefix alone: {took['fit'][0]:.1f} s of fitting, {took['score'][0]:.1f} s for {len(chosen):,} prefixes")
    same = (ours.rows[chosen] == wanted.rows[chosen]).mean()
    differences = np.abs(ours.shares[chosen].astype(np.float64) - wanted.shares[chosen].astype(np.float64))
    return {
        "alone": alone[0], "alone, fitting": took["fit"][0], "once": once[0], "times": alone[0] / once[0],
        "alone, processor": alone[1], "once, processor": once[1], "times, processor": alone[1] / once[1],
        "rows": float(same), "share": float(differences.max()),
    }  # fmt: skip


def _now() -> NDArray[np.float64]:
    """Return the seconds of the clock and of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def growth(logs: Mapping[str, Sequence[tuple[int, int, int]]], divide: int = 1) -> dict[str, dict[str, Any]]:
    """Return the processor's seconds for soft targets of logs of growing size, and the exponents of growth."""
    figures: dict[str, dict[str, Any]] = {}
    for name, shapes in logs.items():
        seconds = []
        for users, items, interactions in ((shape[0] // divide, shape[1], shape[2] // divide) for shape in shapes):
            data = Law(items).dataset(users, interactions)
            begin = time.process_time()
            teacher_of(data)(data.interactions)
            seconds.append(time.process_time() - begin)
            say(f"{users:,} users, {items:,} items, {interactions:,} interactions: {seconds[-1]:.1f} s")
        sizes = [max(shape[place] / shapes[0][place] for place in range(3)) for shape in shapes]
        figures[name] = {"seconds": seconds, "exponent": float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])}
    return figures


def score_every_prefix(
    teacher: Teacher,
    interactions: Interactions,
    chosen: NDArray[np.int64] | None = None,
    took: Mapping[str, NDArray[np.float64]] | None = None,
) -> SoftTargets:
    """Make soft targets by asking each member for every prefix, in double precision: what the definition says.

    Args:
        teacher: the members, weights, and settings.
        interactions: the histories.
        chosen: the positions whose soft targets are made; None for all.
        took: the seconds of ``fit`` and ``score``, which are added to.
    """
    from genre_gen.training.distillation import _folds

    took = took or {"fit": np.zeros(2), "score": np.zeros(2)}
    top = min(teacher.top, interactions.n_items)
    targets = SoftTargets.empty(len(interactions), top)
    for others, users in _folds(interactions, teacher.folds):
        begin = _now()
        models = {name: make() for name, make in teacher.members.items() if teacher.weights.get(name, 0) > 0}
        fitted = {name: model.fit(others) for name, model in models.items()}
        took["fit"][:] += _now() - begin
        positions = np.flatnonzero(np.isin(interactions.owners, users))
        positions = np.setdiff1d(positions, interactions.offsets[:-1])
        begin = _now()
        for part in batches(positions if chosen is None else np.intersect1d(positions, chosen), BATCH):
            owners = interactions.owners[part]
            lengths = (part - interactions.offsets[owners]).tolist()
            histories = [interactions.history_at(owner).slice(0, n) for owner, n in zip(owners, lengths, strict=True)]
            allowed = allowed_items(histories, interactions.n_items, teacher.repeat)
            by_member = {name: model.score(histories) for name, model in fitted.items()}
            total = blended(by_member, teacher.weights, allowed).total
            targets.rows[part], targets.shares[part] = _likeliest(total, top, teacher.temperature)
        took["score"][:] += _now() - begin
    return targets


def _likeliest(scores: NDArray[np.float32], top: int, temperature: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the ``top`` items of a softmax over ``[B, n_items]`` scores, and their probabilities among them."""
    rows = np.argpartition(-scores, top - 1, axis=1)[:, :top]
    best = np.take_along_axis(scores, rows, axis=1).astype(np.float64)
    order = np.lexsort((rows, -best), axis=1)
    rows, best = np.take_along_axis(rows, order, axis=1), np.take_along_axis(best, order, axis=1)
    telling = np.isfinite(best[:, :1]) & (best[:, :1] > 0)
    shares = np.exp(np.where(telling, best - np.where(telling, best[:, :1], 0.0), -np.inf) / temperature)
    return rows, shares / np.where(telling, shares.sum(axis=1, keepdims=True), 1.0)


class DenseEase(Ease):
    """EASE with all weights in memory, whatever the size of the catalog."""

    def fit(self, interactions: Interactions) -> DenseEase:
        """Invert the items' matrix."""
        self.weights = DenseWeights.by_items(seen_matrix(interactions), self.l2)
        return self


def _with_dense_ease(teacher: Teacher) -> Teacher:
    members: dict[str, Callable[[], CollaborativeModel]] = {**teacher.members, "ease": DenseEase}
    return Teacher(members, teacher.weights, teacher.temperature, teacher.repeat, teacher.folds, teacher.top)


if __name__ == "__main__":
    main()
