"""Comparison: why this item and not that, and what would change a pick. Both are measured as attribution is.

What was measured turns into sentences by ``explain_measured.assistant.jinja``, and into what the checker compares such
sentences with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import EXPECTED
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import History
from genre_gen.errors import PromptError, UsageError
from genre_gen.explain.attribution import Attributor
from genre_gen.explain.check import EXACT, HUNDREDTH, Measured, Ordered
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.wording import MEASURED, MeasuredView, measured_lines
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.variables import entry

MOST_LEFT_OUT = 3
"""How many items are taken away together, at most, to see what would change a pick."""

SAID = 2  # members of the blend that a comparison tells of

Pair = tuple[float, float]
"""Of the pick, and of the item that it is compared with."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """What a history item did for one item beside another: the difference of its effects on both.

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
        text: the same in words; empty where the templates have none.
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
            {**_named(one.item), "llm": one.llm, "blend": one.blend, "without": list(one.without)} for one in self.items
        ]
        return {
            "item": _named(self.item),
            "other": _named(self.other),
            "scores": list(self.scores),
            "parts": {name: list(pair) for name, pair in self.parts.items()},
            "items": contrasts,
            "text": self.text,
        }

    def measured(self, catalog: Catalog) -> Measured:
        """Return what a sentence about it may say."""
        claims = {frozenset[int](): tuple(_near(pair) for pair in (self.scores, *self.parts.values()))}
        claims |= {frozenset([catalog.row(one.item.id)]): (_near(one.without),) for one in self.items}
        return Measured(claims, catalog.row(self.other.id))


@dataclass(frozen=True)
class Counterfactual:
    """What would change a pick: few history items without which it ranks lower.

    Attributes:
        item: the pick.
        rank, new_rank: its rank, and its rank without these items.
        left_out: the items; found one by one, the most harmful each time, so that fewer may exist.
        changed: whether that takes the pick out of the ranks asked about; if not, no so many items were found that do.
        first: what then ranks first.
        text: the same in words; empty where the templates have none.
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
        return {
            "item": _named(self.item),
            "rank": self.rank,
            "new_rank": self.new_rank,
            "left_out": [_named(one) for one in self.left_out],
            "changed": self.changed,
            "first": _named(self.first),
            "text": self.text,
        }

    def measured(self, catalog: Catalog) -> Measured:
        """Return what a sentence about it may say."""
        ranks = Ordered([(self.new_rank, EXACT), (self.rank, EXACT)])
        rows = frozenset(catalog.row(one.id) for one in self.left_out)
        return Measured({rows: (ranks if self.changed else Ordered(ranks[:1]),)})


def compare(
    attributor: Attributor, history: History, row: int, other: int, allowed: NDArray[np.bool_], most: int | None
) -> Comparison:
    """Compare two items for a user; see :meth:`genre_gen.recommender.recommender.Recommender.compare`."""
    recent = [seen for seen in attributor.recent(history, most) if seen not in (row, other)]
    found = attributor.variants(history, [[seen] for seen in recent], [row, other], allowed)
    llm, score = (part[0] - part[1:] for part in (found.llm, found.score))
    items = [
        Contrast(
            attributor.catalog[seen],
            float(llm[at, 0] - llm[at, 1]),
            float(score[at, 0] - score[at, 1]),
            _pair(found.score[at + 1]),
        )
        for at, seen in enumerate(recent)
    ]
    parts = {name: _pair(part[0]) for name, part in found.parts.items()}
    ordered = sorted(parts, key=lambda name: -abs(parts[name][0] - parts[name][1]))
    return Comparison(
        attributor.catalog[row],
        attributor.catalog[other],
        _pair(found.score[0]),
        {name: parts[name] for name in ordered},
        tuple(sorted(items, key=lambda one: -one.blend)),
    )


def what_if(
    attributor: Attributor, history: History, row: int, allowed: NDArray[np.bool_], n: int | None, most: int | None
) -> Counterfactual:
    """Find items without which a pick ranks lower; see ``Recommender.what_if``."""
    catalog = attributor.catalog

    def ranked(sets: Sequence[Collection[int]]) -> tuple[list[int], list[int]]:
        """Return the pick's rank and the first item, of the whole history and without each set."""
        blended = attributor.variants(history, sets, [row], allowed, blend_only=True).blended
        own = blended[:, [row]]
        above = (blended > own).sum(axis=1) + (blended == own)[:, :row].sum(axis=1)  # equals rank by row
        return (above + 1).tolist(), blended.argmax(axis=1).tolist()

    ranks, firsts = ranked([])
    before = rank = ranks[0]
    first, n = firsts[0], before if n is None else n
    if before > n:
        raise UsageError(f"{catalog[row].title!r} is number {before}, not among the first {n}; ask with a larger n")
    left: list[int] = []
    while rank <= n and len(left) < MOST_LEFT_OUT:
        sets = [[*left, seen] for seen in attributor.recent(history, most) if seen not in (row, *left)]
        if not sets:
            break
        left, rank, first = _worst(sets, *ranked(sets))
    while rank > n and len(left) > 1:  # an item that another made needless goes
        sets = [[seen for seen in left if seen != one] for one in left]
        fewer, its_rank, its_first = _worst(sets, *ranked(sets))
        if its_rank <= n:
            break
        left, rank, first = fewer, its_rank, its_first
    if not left:
        raise UsageError(f"{catalog[row].title!r} is all that the history holds; there is nothing else to leave out")
    items = tuple(catalog[seen] for seen in left)
    return Counterfactual(catalog[row], before, rank, items, rank > n, catalog[first])


def _worst(sets: Sequence[list[int]], ranks: Sequence[int], firsts: Sequence[int]) -> tuple[list[int], int, int]:
    """Return the set without which the pick ranks lowest, its rank, and what is first then."""
    at = max(range(len(sets)), key=lambda place: ranks[place + 1])
    return list(sets[at]), ranks[at + 1], firsts[at + 1]


def check_words(book: PromptBook) -> None:
    """Refuse templates that have no words for what is measured; raises PromptError."""
    if not book.has(MEASURED):
        raise PromptError(
            f"{book.folder / MEASURED}.assistant.jinja: no such file, and what is measured is said in its words; add "
            "it to the domain's prompts (prompts/generic has one) and give the same train command again"
        )


def said(found: Comparison | Counterfactual, book: PromptBook, evidence: Evidence) -> str:
    """Return what was measured in words; empty where the templates have none. Raises PromptError."""
    if not book.has(MEASURED):
        return ""
    row = evidence.catalog.row(found.item.id)
    other = evidence.catalog.row(found.other.id) if isinstance(found, Comparison) else None
    views = _of_comparison(found, evidence) if isinstance(found, Comparison) else [_of_change(found, evidence)]
    return " ".join(measured_lines(book, evidence, view, row, other)[0] for view in views)


def _of_comparison(found: Comparison, evidence: Evidence) -> list[MeasuredView]:
    """Return the scores, the members that differ most, and the item that speaks most for each."""
    views = [MeasuredView("ahead", scores=_rounded(found.scores))]
    if len(found.parts) > 1:
        parts = [(name, pair) for name, pair in found.parts.items() if name != EXPECTED][:SAID]
        views += [MeasuredView("member", member=name, scores=_rounded(pair)) for name, pair in parts]
    ends = [one for one in found.items[:1] if one.blend > 0] + [one for one in found.items[1:][-1:] if one.blend < 0]
    return views + [MeasuredView("without", _seen([one.item], evidence), scores=_rounded(one.without)) for one in ends]


def _of_change(found: Counterfactual, evidence: Evidence) -> MeasuredView:
    kind = "change" if found.changed else "steady"
    return MeasuredView(kind, _seen(found.left_out, evidence), ranks=(found.rank, found.new_rank))


def _seen(items: Sequence[Item], evidence: Evidence) -> tuple[Any, ...]:
    return tuple(entry(evidence.catalog, evidence.catalog.row(one.id)) for one in items)


def _pair(values: NDArray[np.floating]) -> Pair:
    return float(values[0]), float(values[1])


def _rounded(pair: Pair) -> Pair:
    return round(pair[0], 2), round(pair[1], 2)


def _near(pair: Pair) -> Ordered:
    return Ordered((value, HUNDREDTH) for value in pair)


def _named(item: Item) -> dict[str, str]:
    return {"id": item.id, "title": item.title}
