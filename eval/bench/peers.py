"""Peers of the leaderboard, and the grids of their settings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.bench.cases import Bench


@dataclass(frozen=True)
class Peer:
    """A model and the grid of its settings.

    Attributes:
        module: module of its class; imported only by the process that runs it.
        kind: name of the class.
        stages: each maps settings to values, all combinations of which are tried; a stage starts from the best
            settings of the stage before.
        scoring: settings that affect scoring only, so that trying them needs no new fit.
        seeded: whether it is random, so that several seeds are run.
        rated: whether it learns from ratings.
        early: whether it stops early on validation cases; then its best epoch is a setting, and ``--minutes`` limits
            it.
        content_based: whether it gets the items' texts.
    """

    module: str
    kind: str
    stages: tuple[Mapping[str, Sequence[Any]], ...] = ()
    scoring: tuple[str, ...] = ()
    seeded: bool = False
    rated: bool = False
    early: bool = False
    content_based: bool = False

    def make(self, settings: Mapping[str, Any], **inputs: Any) -> Any:
        """Return a new model."""
        return getattr(importlib.import_module(self.module), self.kind)(**{**settings, **inputs})

    def inputs(self, bench: Bench, seed: int) -> dict[str, Any]:
        """Return the arguments of a model other than its settings."""
        texts = {"texts": [item.describe() for item in bench.catalog]} if self.content_based else {}
        return texts | ({"seed": seed} if self.seeded else {})

    def grid(self) -> list[dict[str, list[Any]]]:
        """Return the grid as JSON values."""
        return [{name: list(values) for name, values in stage.items()} for stage in self.stages]


RECENCY = (0.0, 0.5, 1.0, 2.0)
PACKAGE = "genre_gen.collaborative"
IMPLICIT, SURPRISE = "eval.models.implicit_models", "eval.models.surprise_models"
PEERS: dict[str, Peer] = {
    "popularity": Peer(PACKAGE, "Popularity"),
    "item_knn": Peer(
        PACKAGE,
        "ItemKNN",
        ({"neighbours": (20, 50, 100, 200), "shrink": (0.0, 10.0, 50.0), "recency": RECENCY},),
        scoring=("recency",),
    ),
    "ease": Peer(
        PACKAGE, "Ease", ({"l2": (50.0, 100.0, 200.0, 500.0, 1000.0), "recency": RECENCY},), scoring=("recency",)
    ),
    "sequential_rules": Peer(
        PACKAGE,
        "SequentialRules",
        (
            {"smoothing": (10.0, 100.0, 1000.0), "novelty": (0.0, 0.2, 0.4, 0.6), "recency": (0.5, 1.0, 1.5, 2.0)},
            {"decay": (0.0, 0.3, 0.6, 1.0), "backward": (0.0, 0.5, 1.0), "recency": (0.5, 1.0, 1.5, 2.0)},
        ),
        scoring=("recency",),
    ),
    "text_knn": Peer(
        PACKAGE, "TextKNN", ({"neighbours": (50, 200), "recency": RECENCY},), scoring=("recency",), content_based=True
    ),
    "bpr": Peer(
        IMPLICIT,
        "BPR",
        (
            {"factors": (32, 64, 128), "regularization": (0.001, 0.01, 0.05, 0.1)},
            {"learning_rate": (0.01, 0.02, 0.05), "iterations": (100, 200, 400)},
        ),
        seeded=True,
    ),
    "als": Peer(
        IMPLICIT,
        "ALS",
        ({"factors": (16, 32, 64, 128), "alpha": (1.0, 2.0, 5.0, 20.0)}, {"regularization": (0.1, 1.0, 5.0, 20.0)}),
        seeded=True,
    ),
    "surprise-svd": Peer(
        SURPRISE, "SurpriseSVD", ({"factors": (20, 100), "regularisation": (0.02, 0.1)},), seeded=True, rated=True
    ),
    "surprise-svdpp": Peer(SURPRISE, "SurpriseSVDpp", seeded=True, rated=True),
    "surprise-knn": Peer(
        SURPRISE, "SurpriseKNN", ({"neighbours": (20, 40, 80), "shrinkage": (20.0, 100.0)},), rated=True
    ),
    "sasrec": Peer(
        PACKAGE,
        "SASRec",
        ({"dropout": (0.2, 0.5), "learning_rate": (0.001, 0.003)}, {"dim": (128,)}),
        seeded=True,
        early=True,
    ),
}
