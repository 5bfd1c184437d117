"""GENRE: a language model that generates recommendations from a catalog, and only from that catalog.

Public names are imported on first use, so that ``import genre_gen`` and ``genre-gen --help`` are fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genre_gen.blending.tuned import TunedSettings
    from genre_gen.data.catalog import Catalog, Item
    from genre_gen.data.dataset import Dataset
    from genre_gen.data.history import History
    from genre_gen.data.interactions import Interactions
    from genre_gen.data.splits import Case, Split
    from genre_gen.domain import Domain
    from genre_gen.errors import GenreGenError
    from genre_gen.evaluation.report import Report
    from genre_gen.evaluation.run_comparison import RunComparison, compare_runs
    from genre_gen.prompting.book import PromptBook
    from genre_gen.ranking import Ranking
    from genre_gen.recommender.predicting import Prediction
    from genre_gen.recommender.recommender import Recommender
    from genre_gen.recommender.requests import Answers, Recommendation, Recommendations, Request
    from genre_gen.recommender.state import RecommenderState
    from genre_gen.rules.settings import Rules
    from genre_gen.training.progress import Progress

__version__ = "0.1.0"

_HOMES = {
    "Answers": "recommender.requests",
    "Case": "data.splits",
    "Catalog": "data.catalog",
    "Dataset": "data.dataset",
    "Domain": "domain",
    "GenreGenError": "errors",
    "History": "data.interactions",
    "Interactions": "data.interactions",
    "Item": "data.catalog",
    "Prediction": "recommender.predicting",
    "Progress": "training.progress",
    "PromptBook": "prompting.book",
    "Ranking": "ranking",
    "Recommendation": "recommender.requests",
    "Recommendations": "recommender.requests",
    "Recommender": "recommender.recommender",
    "RecommenderState": "recommender.state",
    "Report": "evaluation.report",
    "Request": "recommender.requests",
    "RunComparison": "evaluation.run_comparison",
    "Rules": "rules.settings",
    "Split": "data.splits",
    "TunedSettings": "blending.tuned",
    "compare_runs": "evaluation.run_comparison",
}

__all__ = [
    "Answers",
    "Case",
    "Catalog",
    "Dataset",
    "Domain",
    "GenreGenError",
    "History",
    "Interactions",
    "Item",
    "Prediction",
    "Progress",
    "PromptBook",
    "Ranking",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "RecommenderState",
    "Report",
    "Request",
    "Rules",
    "RunComparison",
    "Split",
    "TunedSettings",
    "compare_runs",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"genre_gen.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'genre_gen' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names before they are imported."""
    return sorted([*globals(), *__all__])
