"""Which reasons are worth saying, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from genre_gen.explain.facts import Reason

WEAKEST = 0.4  # share of the best anchor's weight below which another is not offered
SECOND = 0.5  # share of the greatest effect below which another item is not cited
REPEATED = 0.6  # what a reason is worth next to another that rests on the same attribute or is of the same kind


def weigh_by_parts(
    reasons: Sequence[Reason], parts: Mapping[str, float], relations: Mapping[str, Sequence[str]]
) -> list[Reason]:
    """Raise the weights of reasons by the share that the blend members they speak for have in the pick's score.

    Args:
        reasons: the reasons.
        parts: blend member -> its part of the score.
        relations: blend member -> the relations that tell best what it saw.
    """
    positive = {member: part for member, part in parts.items() if part > 0}
    total = sum(positive.values()) or 1.0

    def share(reason: Reason) -> float:
        told = {fact.relation for fact in reason.facts}
        return sum(part for member, part in positive.items() if told.intersection(relations.get(member, ()))) / total

    return [replace(reason, weight=reason.weight * (1 + share(reason))) for reason in reasons]


def drop_weak(reasons: Sequence[Reason]) -> list[Reason]:
    """Leave out reasons that are weak next to the best."""
    best = max((reason.weight for reason in reasons), default=0.0)
    return [reason for reason in reasons if reason.weight >= WEAKEST * best]


def weigh_by_effects(reasons: Sequence[Reason], effects: Mapping[int, float]) -> list[Reason]:
    """Weigh reasons by the effects of the items they cite; leave out those of much less effect."""
    sizes = [effects[reason.anchor] for reason in reasons if reason.anchor is not None]
    weight, greatest = max((reason.weight for reason in reasons), default=0.0), max(sizes, default=0.0)
    best: dict[int | None, float] = {}  # of what can be said of one item, the best is worth its effect
    for reason in reasons:
        best[reason.anchor] = max(reason.weight, best.get(reason.anchor, 0.0))
    return [
        replace(reason, weight=weight * size / greatest * reason.weight / max(best[reason.anchor], 1e-9))
        for reason, size in zip(reasons, sizes, strict=True)
        if size >= SECOND * greatest
    ]


def choose_diverse(reasons: Sequence[Reason], n: int) -> list[Reason]:
    """Choose reasons one by one, each time the one that is worth most next to those already chosen."""
    left, chosen = list(reasons), list[Reason]()
    while left and len(chosen) < n:
        kinds = Counter(reason.kind for reason in chosen)
        values = Counter(reason.values for reason in chosen if reason.values)
        best = max(left, key=lambda r: r.weight * REPEATED ** (kinds[r.kind] + values[r.values]))  # first of equals
        left.remove(best)
        chosen.append(_without_shared_values(best) if best.values in values else best)
    return chosen


def _without_shared_values(reason: Reason) -> Reason:
    """Leave out shared values that another reason names, where something else remains to be said."""
    if reason.fact("followed_by") is None:
        return reason
    return replace(reason, facts=tuple(fact for fact in reason.facts if fact.relation != "shares"))
