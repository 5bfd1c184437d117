"""JSON values of picks, reasons and items, as answers hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from genre_gen.data.catalog import Catalog, Item
from genre_gen.explain.explainer import Explanation
from genre_gen.query.parsed import ParsedQuery
from genre_gen.recommender.requests import Recommendation

_DIGITS = 6


def number(value: float) -> float | None:
    """Return a number for JSON, which has no infinity; six digits after the point."""
    return round(value, _DIGITS) if math.isfinite(value) else None


def numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return numbers by name."""
    return {name: number(value) for name, value in values.items()}


def reasons(explanation: Explanation, catalog: Catalog) -> dict[str, Any]:
    """Return an explanation: its text, and the facts that can be checked."""
    facts = [
        {
            "subject": None if fact.subject is None else catalog[fact.subject].id,
            "relation": fact.relation,
            "object": None if fact.object is None else catalog[fact.object].id,
            "field": fact.field,
            "values": list(fact.values),
            "numbers": list(fact.numbers),
        }
        for fact in explanation.facts
    ]
    return {
        "text": explanation.text,
        "method": explanation.method,
        "reasons": facts,
        "notes": list(explanation.notes),
    }


def pick(recommendation: Recommendation, rank: int, catalog: Catalog) -> dict[str, Any]:
    """Return one pick of a list."""
    item = recommendation.item
    content: dict[str, Any] = {
        "rank": rank,
        "item": item.id,
        "title": item.title,
        "score": number(recommendation.score),
        "parts": numbers(recommendation.parts),
    }
    if recommendation.pinned:
        content["pinned"] = True
    if recommendation.explanation is not None:
        content["explanation"] = reasons(recommendation.explanation, catalog)
    return content


def picks(recommendations: Sequence[Recommendation], catalog: Catalog, first: int = 1) -> list[dict[str, Any]]:
    """Return the picks of a list, whose ranks begin with ``first``."""
    return [pick(recommendation, rank, catalog) for rank, recommendation in enumerate(recommendations, first)]


def understood(parsed: ParsedQuery | None) -> dict[str, Any] | None:
    """Return how a request in free text was understood."""
    return None if parsed is None else {"where": parsed.where, "text": str(parsed)}


def item_values(item: Item) -> dict[str, Any]:
    """Return the fields of an item."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in item.attributes.items()}
