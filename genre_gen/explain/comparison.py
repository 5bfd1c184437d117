"""Comparison: why this item and not that, and what would change a pick. Both are measured as attribution is.

What was measured turns into sentences by ``explain_scores.assistant.jinja``, and into what the checker compares such
sentences with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import EXPECTED
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.history import History
from genre_gen.errors import UsageError
from genre_gen.explain.attribution import Attributor
from genre_gen.explain.claims import EXACT, HUNDREDTH, Ordered, ScoreClaims
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.facts import named
from genre_gen.explain.wording import ScoreView, score_lines
from genre_gen.prompting.book import PromptBook

MAX_LEFT_OUT = 3
"""How many items are taken away together, at most, to see what would change a pick."""

MAX_MEMBERS = 2  # members of the blend that a comparison tells of

Pair = tuple[float, float]
"""Of the pick, and of the item that it is compared with."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """What a history item did for one item more than for another: the difference of its effects on both.

    Attributes:
        item: of the history.
        llm, blend: how much more it did for the first item, in the units of
            :class:`~genre_gen.explain.attribution.Effect`; negative where it spoke for the other.
        without: blended scores of both without it.
    """

    item: Item
    llm: float
    blend: float
    without: Pair


@dataclass(frozen=True)
class Comparison:
    """Why this and not that.

    Attributes:
        item, other: what is compared.
        scores: blended scores.
        parts: blend member -> its parts of both scores, the greatest difference first.
        items: of the history, from what speaks most for ``item`` to what speaks most for ``other``.
        text: the same in words.
    """

    item: Item
    other: Item
    scores: Pair
    parts: Mapping[str, Pair]
    items: tuple[Contrast, ...]
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        contrasts = [
            {**named(each.item), "llm": each.llm, "blend": each.blend, "without": each.without} for each in self.items
        ]
        return {**vars(self), "item": named(self.item), "other": named(self.other), "items": contrasts}

    def claims(self, catalog: Catalog) -> ScoreClaims:
        """Return what a sentence about it may say."""
        claims = {frozenset[int](): tuple(_near(pair) for pair in (self.scores, *self.parts.values()))}
        claims |= {frozenset([catalog.row(each.item.id)]): (_near(each.without),) for each in self.items}
        return ScoreClaims(claims, catalog.row(self.other.id))


@dataclass(frozen=True)
class Counterfactual:
    """What would change a pick: few history items without which it ranks lower.

    Attributes:
        item: the pick.
        rank, new_rank: its rank, and its rank without these items.
        left_out: the items; found one by one, the most harmful each time, so that fewer may exist.
        changed: whether that takes the pick out of the ranks asked about; if not, no such items were found.
        first: what then ranks first.
        text: the same in words.
    """

    item: Item
    rank: int
    new_rank: int
    left_out: tuple[Item, ...]
    changed: bool
    first: Item
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        items = {"item": named(self.item), "left_out": [*map(named, self.left_out)], "first": named(self.first)}
        return {**vars(self), **items}

    def claims(self, catalog: Catalog) -> ScoreClaims:
        """Return what a sentence about it may say."""
        ranks = Ordered([(self.new_rank, EXACT), (self.rank, EXACT)])
        rows = frozenset(catalog.row(item.id) for item in self.left_out)
        return ScoreClaims({rows: (ranks if self.changed else Ordered(ranks[:1]),)})


def compare(
    attributor: Attributor, history: History, row: int, other: int, allowed: NDArray[np.bool_], max_items: int | None
) -> Comparison:
    """Compare two items for a user; see :meth:`genre_gen.recommender.recommender.Recommender.compare`."""
    recent = [seen for seen in attributor.recent(history, max_items) if seen not in (row, other)]
    variants = attributor.variants(history, [[seen] for seen in recent], [row, other], allowed)
    llm, score = (-np.diff(part[0] - part[1:])[:, 0] for part in (variants.llm, variants.score))
    contrasts = zip(recent, llm.tolist(), score.tolist(), map(_pair, variants.score[1:]), strict=True)
    items = [Contrast(attributor.catalog[seen], *measured) for seen, *measured in contrasts]
    parts = {name: _pair(part[0]) for name, part in variants.parts.items()}
    return Comparison(
        attributor.catalog[row],
        attributor.catalog[other],
        _pair(variants.score[0]),
        dict(sorted(parts.items(), key=lambda part: -abs(part[1][0] - part[1][1]))),
        tuple(sorted(items, key=lambda contrast: -contrast.blend)),
    )


def what_if(
    attributor: Attributor, history: History, row: int, allowed: NDArray[np.bool_], n: int | None, max_items: int | None
) -> Counterfactual:
    """Find items without which a pick ranks lower; see ``Recommender.what_if``."""
    catalog = attributor.catalog

    def worst(sets: list[list[int]]) -> tuple[int, int, list[int]]:
        """Return the pick's lowest rank without one of the sets, what is first then, and the set."""
        blended = attributor.variants(history, sets, [row], allowed, blend_only=True).blended[1:]
        score = blended[:, [row]]
        above = (blended > score).sum(axis=1) + (blended == score)[:, :row].sum(axis=1)  # equals rank by row
        ranked = zip((above + 1).tolist(), blended.argmax(axis=1).tolist(), sets, strict=True)
        return max(ranked, key=lambda each: each[0])

    rank, first, left = worst([[]])
    before, n = rank, rank if n is None else n
    if before > n:
        raise UsageError(f"{catalog[row].title!r} is number {before}, not among the first {n}; ask with a larger n")
    while rank <= n and len(left) < MAX_LEFT_OUT:
        sets = [[*left, seen] for seen in attributor.recent(history, max_items) if seen not in (row, *left)]
        if not sets:
            break
        rank, first, left = worst(sets)
    while rank > n and len(left) > 1:  # drop items that later ones made needless
        fewer = worst([[seen for seen in left if seen != dropped] for dropped in left])
        if fewer[0] <= n:
            break
        rank, first, left = fewer
    if not left:
        raise UsageError(f"{catalog[row].title!r} is the only item of the history; there is nothing else to leave out")
    items = tuple(catalog[seen] for seen in left)
    return Counterfactual(catalog[row], before, rank, items, rank > n, catalog[first])


def describe(measured: Comparison | Counterfactual, book: PromptBook, evidence: Evidence) -> str:
    """Return what was measured in words; raises PromptError."""
    row, other = evidence.catalog.row(measured.item.id), None
    if isinstance(measured, Comparison):
        other, views = evidence.catalog.row(measured.other.id), _of_comparison(measured, evidence)
    else:
        kind = "change" if measured.changed else "steady"
        views = [ScoreView(kind, _seen(measured.left_out, evidence), ranks=(measured.rank, measured.new_rank))]
    joint = evidence.language.tables.explain.joint
    return joint.join(score_lines(book, evidence, view, row, other)[0] for view in views)


def _of_comparison(comparison: Comparison, evidence: Evidence) -> list[ScoreView]:
    """Return the scores, the members that differ most, and the item that speaks most for each."""
    views = [ScoreView("ahead", scores=_rounded(comparison.scores))]
    if len(comparison.parts) > 1:
        parts = [(name, pair) for name, pair in comparison.parts.items() if name != EXPECTED][:MAX_MEMBERS]
        views += [ScoreView("member", member=name, scores=_rounded(pair)) for name, pair in parts]
    best, worst = comparison.items[:1], comparison.items[1:][-1:]
    ends = [each for each in best if each.blend > 0] + [each for each in worst if each.blend < 0]
    return views + [ScoreView("without", _seen([each.item], evidence), scores=_rounded(each.without)) for each in ends]


def _seen(items: Sequence[Item], evidence: Evidence) -> tuple[Any, ...]:
    return tuple(evidence.entry(evidence.catalog.row(item.id)) for item in items)


def _pair(values: NDArray[np.floating]) -> Pair:
    return float(values[0]), float(values[1])


def _rounded(pair: Pair) -> Pair:
    return round(pair[0], 2), round(pair[1], 2)


def _near(pair: Pair) -> Ordered:
    return Ordered((value, HUNDREDTH) for value in pair)
