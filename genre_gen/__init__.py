"""GENRE: a language model that generates recommendations from a catalog, and only from that catalog.

Public names are imported when first used, so that ``import genre_gen`` and ``genre-gen --help`` answer at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genre_gen.data.catalog import Catalog, Item
    from genre_gen.data.interactions import History, Interactions
    from genre_gen.domain import Domain
    from genre_gen.errors import GenreGenError
    from genre_gen.evaluation import evaluate
    from genre_gen.prompting.book import PromptBook
    from genre_gen.ranking import Ranking
    from genre_gen.recommender.recommender import Recommendation, Recommender

__version__ = "0.1.0"

_HOMES = {
    "Catalog": "data.catalog",
    "Domain": "domain",
    "GenreGenError": "errors",
    "History": "data.interactions",
    "Interactions": "data.interactions",
    "Item": "data.catalog",
    "PromptBook": "prompting.book",
    "Ranking": "ranking",
    "Recommendation": "recommender.recommender",
    "Recommender": "recommender.recommender",
    "evaluate": "evaluation",
}

__all__ = [
    "Catalog",
    "Domain",
    "GenreGenError",
    "History",
    "Interactions",
    "Item",
    "PromptBook",
    "Ranking",
    "Recommendation",
    "Recommender",
    "evaluate",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"genre_gen.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'genre_gen' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names before they are imported."""
    return sorted([*globals(), *__all__])
