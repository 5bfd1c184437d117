"""Attribution: what of a history a pick depends on, measured by leaving it out and scoring again.

Each *variant* of a history lacks one item, or all items with one attribute value; all are scored in one call of each
model. What may be recommended is the same for every variant, that of the whole history: else what was left out would
compete with the pick and change its probability on that account alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.blending.blend import Blend
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.history import History
from genre_gen.explain.facts import named, pairs_of

if TYPE_CHECKING:
    from genre_gen.llm.generator import ItemGenerator

RECENT = 50
"""How many items of a history are left out one by one by default."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a history item did for a pick: how much the pick loses without it; negative where it spoke against.

    Attributes:
        item: of the history.
        llm: the language model's log-probability of the pick among what is allowed, in nats.
        blend: the blended score, in standard deviations over what is allowed, as picks show it.
        parts: blend member -> its part of ``blend``; they sum to it.
    """

    item: Item
    llm: float
    blend: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ValueEffect:
    """What the ``items`` items of a history that have an attribute value of the pick did for it, left out together.

    ``llm``, ``blend`` and ``parts`` are as in :class:`Effect`.
    """

    field: str
    value: str
    items: int
    llm: float
    blend: float
    parts: Mapping[str, float]


@dataclass(frozen=True)
class Attribution:
    """What a pick depends on.

    Attributes:
        item: the pick.
        score: its blended score.
        log_probability: the language model's, among what is allowed.
        items: of the most recent items of the history but the pick, by ``blend``, the greatest first.
        values: of the pick's attribute values that several items of the history have, in the same order.
    """

    item: Item
    score: float
    log_probability: float
    items: tuple[Effect, ...]
    values: tuple[ValueEffect, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        items = [
            {**named(effect.item), "llm": effect.llm, "blend": effect.blend, "parts": dict(effect.parts)}
            for effect in self.items
        ]
        return {
            **named(self.item),
            "score": self.score,
            "log_probability": self.log_probability,
            "items": items,
            "values": [asdict(effect) for effect in self.values],
        }


@dataclass(frozen=True)
class Variants:
    """Scores of a history and its variants; the first row is the whole history.

    Attributes:
        llm: float64 ``[variants, picks]``, log-probabilities.
        parts: blend member -> float64 ``[variants, picks]``, its part of the blended score.
        blended: float32 ``[variants, n_items]``, ``-inf`` where an item is not allowed.
    """

    llm: NDArray[np.float64]
    parts: Mapping[str, NDArray[np.float32]]
    blended: NDArray[np.float32]

    @property
    def score(self) -> NDArray[np.float64]:
        """Return the blended scores of the picks: float64 ``[variants, picks]``."""
        return np.sum([part.astype(np.float64) for part in self.parts.values()], axis=0)

    def lost(self, pick: int) -> list[dict[str, Any]]:
        """Return what a pick, by its index, loses in each variant, as :class:`Effect` names it."""
        llm = (self.llm[0, pick] - self.llm[1:, pick]).tolist()
        parts = {name: (part[0, pick] - part[1:, pick]).tolist() for name, part in self.parts.items()}
        each = [dict(zip(parts, sizes, strict=True)) for sizes in zip(*parts.values(), strict=True)]
        return [{"llm": size, "blend": sum(own.values()), "parts": own} for size, own in zip(llm, each, strict=True)]


class Attributor:
    """Measures what picks depend on."""

    def __init__(
        self,
        catalog: Catalog,
        blend: Blend,
        members: Mapping[str, Callable[[Sequence[History]], NDArray[np.float32]]],
        language_model: ItemGenerator,
        *,
        name: str,
        window: int,
    ) -> None:
        """Hold what scores: collaborative members (those without a weight are not asked) and the language model.

        The blend calls the latter ``name``; it reads the ``window`` most recent items of a history.
        """
        self.catalog, self.blend, self.language_model, self.name, self.window = (
            catalog, blend, language_model, name, window,
        )  # fmt: skip
        self.members = {member: score for member, score in members.items() if member in blend.members}

    def recent(self, history: History, max_items: int | None = RECENT) -> list[int]:
        """Return the catalog rows of the last ``max_items`` different items that are read, the most recent first."""
        rows = list(dict.fromkeys(history.last(self.window).rows[::-1].tolist()))
        return rows if max_items is None else rows[:max_items]

    def attribute(
        self,
        history: History,
        rows: Sequence[int],
        allowed: NDArray[np.bool_],
        max_items: int | None = RECENT,
        *,
        items_only: bool = False,
    ) -> list[Attribution]:
        """Return what each pick (by its catalog row) depends on; several picks cost as much as one.

        ``allowed`` (bool ``[n_items]``) is what may be recommended to the whole history, and the picks. The last
        ``max_items`` items are left out one by one; None for all that the model reads. With ``items_only`` the effects
        of attribute values are not measured.

        Raises:
            DecodingError: the language model's scores are not finite.
        """
        single, values = self.recent(history, max_items), {} if items_only else self._values(history, rows)
        left_out: list[Collection[int]] = [*([row] for row in single), *values.values()]
        variants = self.variants(history, left_out, rows, allowed)

        def of_pick(index: int, row: int) -> Attribution:
            pairs, lost = pairs_of(self.catalog[row]), variants.lost(index)
            items = [
                Effect(self.catalog[other], **size) for other, size in zip(single, lost, strict=False) if other != row
            ]
            groups = [
                ValueEffect(*pair, len(having), **size)
                for (pair, having), size in zip(values.items(), lost[len(single) :], strict=True)
                if pair in pairs
            ]
            return Attribution(
                self.catalog[row],
                float(variants.score[0, index]),
                float(variants.llm[0, index]),
                tuple(sorted(items, key=lambda effect: -effect.blend)),  # equals stay in order: the latest first
                tuple(sorted(groups, key=lambda effect: -effect.blend)),
            )

        return [of_pick(index, row) for index, row in enumerate(rows)]

    def effects(
        self, history: History, rows: Sequence[int], allowed: NDArray[np.bool_], max_items: int | None = RECENT
    ) -> list[dict[int, float]]:
        """Return for each pick the ``blend`` effect of each recent item, by catalog row; see :meth:`attribute`.

        Where items repeat, the pick may be among them.
        """
        single = self.recent(history, max_items)
        score = self.variants(history, [[row] for row in single], rows, allowed, blend_only=True).score
        return [dict(zip(single, sizes, strict=True)) for sizes in (score[0] - score[1:]).T.tolist()]

    def variants(
        self,
        history: History,
        left_out: Sequence[Collection[int]],
        rows: Sequence[int],
        allowed: NDArray[np.bool_],
        *,
        blend_only: bool = False,
    ) -> Variants:
        """Score a history and, for each group of catalog rows, the history without them.

        Args:
            history: the whole history; of each variant the language model reads the remaining items of the last
                ``window``.
            left_out: what each variant lacks.
            rows: the picks ``[k]``.
            allowed: bool ``[n_items]``, the same for every variant.
            blend_only: leave ``llm`` NaN, and do not ask a language model that has no say in the blend.
        """
        read = history.last(self.window)
        whole, seen = ([given, *map(given.without, left_out)] for given in (history, read))
        permitted = allowed.copy()
        permitted[list(rows)] = True
        mask = np.broadcast_to(permitted, (len(whole), len(permitted)))
        scores = {name: score(whole) for name, score in self.members.items()}
        llm = np.full((len(whole), len(rows)), np.nan)
        if not blend_only or self.name in self.blend.members:
            scores[self.name] = self.language_model.score(seen, mask, shared_prefix=True)
        if not blend_only:
            llm = self._among(scores[self.name], seen, rows, permitted)
        every = np.broadcast_to(np.asarray(rows), (len(whole), len(rows)))
        blended = self.blend.combine(scores, mask)
        return Variants(llm, blended.parts(every), blended.total)

    def _among(
        self, scores: NDArray[np.float32], seen: Sequence[History], rows: Sequence[int], permitted: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return log-probabilities of the picks: float64 ``[variants, k]``.

        Among what is permitted, where all items are scored. A search over longer codes leaves items out, so there the
        picks are asked about by themselves, and their log-probabilities are among all codes.
        """
        from scipy.special import logsumexp

        inside = scores[:, permitted].astype(np.float64)
        if np.isfinite(inside).all():
            return scores[:, list(rows)] - logsumexp(inside, axis=1, keepdims=True)
        only = np.zeros((len(seen), len(permitted)), bool)
        only[:, list(rows)] = True
        return self.language_model.score(seen, only, len(rows))[:, list(rows)].astype(np.float64)

    def _values(self, history: History, rows: Sequence[int]) -> dict[tuple[str, str], list[int]]:
        """Return the picks' attribute values that several items of the history have, but not all, with these items."""
        seen = {row: pairs_of(self.catalog[row]) for row in dict.fromkeys(history.rows.tolist())}
        wanted = sorted({pair for row in rows for pair in pairs_of(self.catalog[row])})
        having = {pair: [row for row, pairs in seen.items() if pair in pairs] for pair in wanted}
        return {pair: rows for pair, rows in having.items() if 1 < len(rows) < len(seen)}
