"""Profile: what the data alone tells of a user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.history import History
from genre_gen.data.html_table import html_block, html_table, html_text
from genre_gen.domain import Domain
from genre_gen.explain.facts import pairs_of
from genre_gen.explain.text import plain
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.variables import entries

PROFILE = "profile"
MAX_LABELS = 3  # of a field
MIN_COUNT = 2  # interactions that a label must have, to be told
MAX_LIKED = 5  # titles


@dataclass(frozen=True, slots=True)
class LabelShare:
    """How often a user had items with a label: ``share`` of the user's interactions have it, ``count`` in number.

    ``lift`` is that share over the same share of all users' interactions; infinite if no other user has one.
    """

    value: str
    count: int
    share: float
    lift: float


@dataclass(frozen=True, slots=True)
class UsualRange:
    """The quartiles of a user's items by a number field, each a value that an item has."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Profile:
    """Summary of the data about a user.

    Attributes:
        interactions: how many there are.
        labels: field -> its most frequent labels, by ``count``; fields without labels are left out.
        ranges: number field -> usual range; fields without values are left out.
        mean_rating: of all ratings; None without ratings.
        liked: titles of liked items (rated at least ``liked_from``, or not rated at all), the most recent first.
        text: the same in words, by the template ``profile``.
    """

    interactions: int
    labels: Mapping[str, tuple[LabelShare, ...]]
    ranges: Mapping[str, UsualRange]
    mean_rating: float | None
    liked: tuple[str, ...]
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON; an infinite lift is None."""
        shown = asdict(self)
        for shares in shown["labels"].values():
            for share in shares:
                share["lift"] = share["lift"] if np.isfinite(share["lift"]) else None
        return shown

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it."""
        labels = [
            [field, label.value, label.count, f"{label.share:.0%}", f"{label.lift:.1f}"]
            for field, shares in self.labels.items()
            for label in shares
        ]
        ranges = [[field, f"{each.low:g}", f"{each.median:g}", f"{each.high:g}"] for field, each in self.ranges.items()]
        return html_block(
            html_text(self.text),
            html_table(["field", "label", "count", "share", "lift"], labels, numbers=(2, 3, 4)) if labels else "",
            html_table(["field", "25 %", "median", "75 %"], ranges, numbers=(1, 2, 3)) if ranges else "",
        )


class Profiler:
    """Profiles users against all interactions. Build it once for a recommender; several threads may use it."""

    def __init__(self, catalog: Catalog, counts: NDArray[np.integer], domain: Domain, book: PromptBook) -> None:
        """Count the labels of all interactions, of which ``counts`` says how many each item has, ``[n_items]``."""
        self.catalog, self.domain, self.book, self.language = catalog, domain, book, DomainLanguage.of(domain)
        self._pairs = [pairs_of(item) for item in catalog]
        self._total, self._usual = int(counts.sum()), Counter[tuple[str, str]]()
        for pairs, count in zip(self._pairs, counts.tolist(), strict=True):
            self._usual.update(dict.fromkeys(pairs, count))

    def profile(self, history: History) -> Profile:
        """Return the profile of the user with a history; repeated items count each time. Raises PromptError."""
        rows, total = history.rows.tolist(), len(history)
        seen = entries(self.catalog, history, self.domain.liked_from, self.language)
        counts = Counter(pair for row in rows for pair in self._pairs[row])
        ratings = None if history.ratings is None else history.ratings[~np.isnan(history.ratings)]
        profile = Profile(
            total,
            self._labels(counts, total),
            dict(self._ranges(rows)),
            None if ratings is None or not len(ratings) else round(float(ratings.mean(dtype=np.float64)), 2),
            tuple(dict.fromkeys(entry.title for entry in reversed(seen) if entry.liked))[:MAX_LIKED],
        )
        message = self.book.say(PROFILE, domain=self.domain.name, history=seen, profile=self._called(profile))
        joint = self.language.tables.explain.joint
        return replace(profile, text=joint.join(plain(line) for line in message.text.split("\n") if line.strip()))

    def _called(self, profile: Profile) -> Profile:
        """Return a profile with fields and labels as people call them."""
        labels = {
            self.language.field(field): tuple(
                replace(share, value=self.language.label(field, share.value)) for share in shares
            )
            for field, shares in profile.labels.items()
        }
        ranges = {self.language.field(field): usual for field, usual in profile.ranges.items()}
        return replace(profile, labels=labels, ranges=ranges)

    def _labels(self, counts: Counter[tuple[str, str]], total: int) -> dict[str, tuple[LabelShare, ...]]:
        shares: dict[str, list[LabelShare]] = {field: [] for field in self.catalog.fields}
        for (field, value), count in counts.items():
            if count >= MIN_COUNT:
                usual, share = self._usual[field, value] / max(self._total, 1), count / total
                shares[field].append(LabelShare(value, count, share, share / usual if usual else float("inf")))
        return {
            field: tuple(sorted(each, key=lambda share: (-share.count, -share.lift, share.value))[:MAX_LABELS])
            for field, each in shares.items()
            if each
        }

    def _ranges(self, rows: list[int]) -> Iterator[tuple[str, UsualRange]]:
        for field in self.catalog.fields:
            values = [self.catalog[row].attributes[field] for row in rows]
            numbers = [value for value in values if isinstance(value, (int, float))]
            if numbers:
                yield field, UsualRange(*np.quantile(numbers, [0.25, 0.5, 0.75], method="nearest").tolist())
