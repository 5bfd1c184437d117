"""Variables: the values that templates receive for each task, and items as templates see them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from genre_gen.data.catalog import Catalog, Value
from genre_gen.data.history import History
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.prompting.pieces import Code

VARIABLES: dict[str, str] = {
    "domain": "the domain's name, such as movies",
    "history": "the user's items, oldest first; each an entry (see below) with .rating and .liked",
    "item": "the item in question: an entry, or None",
    "other": "a second item, to compare with `item`: an entry",
    "answer": "the expected answer; None when the model is asked",
    "scale": "(lowest, highest) possible rating, or None if the data has no ratings",
    "review": "the user's review of `item`, empty if the data only has a headline",
    "evidence": "reasons for `item`: liked items of the history, each with .item (an entry) and .labels (such as "
    "genres) that both have",
    "reason": "one reason why `item` is recommended; its fields are those of `ReasonView` (for `explain_scores` of "
    "`ScoreView`) in genre_gen/explain/wording.py",
    "facts": "true sentences that the model may use",
    "first": "whether the sentence opens the explanation",
    "profile": "a summary of a user's history; its fields are those of `Profile` in genre_gen/explain/profile.py",
}
"""Every variable a template may use, and what it means."""


ENTRY_FIELDS: dict[str, str] = {
    "code": "the item's code, the token(s) that name it to the model; print it on its own",
    "title": "the item's title",
    "text": "the item's description, may be empty",
    "attributes": "field name -> value; `entry.year` is short for `entry.attributes.year`",
    "rating": "the user's rating, or None",
    "liked": "whether the user liked it: rated at least the domain's liked_from, or not rated at all",
}
"""The fields of entries: of `history`, `item` and `other`."""

TASK_VARIABLES: dict[str, tuple[str, ...]] = {
    "next_item": ("domain", "history"),
    "rating": ("domain", "history", "item", "scale"),
    "fits": ("domain", "history", "item", "answer"),
    "similar": ("domain", "item", "other", "answer"),
    "intent": ("domain", "history", "answer"),
    "title": ("domain", "item", "answer"),
    "description": ("domain", "item", "answer"),
    "code": ("domain", "item", "answer"),
    "catalog_text": ("domain", "answer"),
    "explanation": ("domain", "history", "item", "evidence", "answer"),
    "review": ("domain", "history", "item", "review", "answer"),
    "explain": ("domain", "history", "item", "scale", "reason", "first"),
    "explain_scores": ("domain", "item", "other", "reason", "first"),
    "explain_pinned": ("domain", "item"),
    "explain_free": ("domain", "history", "item", "facts"),
    "profile": ("domain", "history", "profile"),
}
"""Task -> the variables of its templates."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An item as templates see it; ``ENTRY_FIELDS`` documents the fields."""

    code: Code
    title: str
    text: str
    attributes: Mapping[str, Value]
    rating: float | None = None
    liked: bool = True

    def __getitem__(self, name: str) -> Value:
        """Return an attribute, so that templates can write ``entry.year``."""
        return self.attributes[name]


def entry(
    catalog: Catalog,
    row: int,
    rating: float | None = None,
    liked_from: float | None = None,
    words: DomainLanguage | None = None,
) -> Entry:
    """Return the item in a catalog row as templates see it; a NaN rating becomes None.

    ``words`` gives the names of labels; without it they are as in the data.
    """
    item = catalog[row]
    known: Mapping[str, Value] = item.attributes
    if words is not None and words.labels:
        known = {name: words.shown(name, value) for name, value in known.items()}
    if rating is None or math.isnan(rating):
        return Entry(Code(row), item.title, item.text, known)
    liked = liked_from is None or rating >= liked_from
    return Entry(Code(row), item.title, item.text, known, round(float(rating), 3), liked)


def entries(
    catalog: Catalog, history: History, liked_from: float | None = None, words: DomainLanguage | None = None
) -> tuple[Entry, ...]:
    """Return a history as templates see it, oldest first."""
    ratings = [None] * len(history) if history.ratings is None else history.ratings.tolist()
    pairs = zip(history.rows.tolist(), ratings, strict=True)
    return tuple(entry(catalog, row, rating, liked_from, words) for row, rating in pairs)
