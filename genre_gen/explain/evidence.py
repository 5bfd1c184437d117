"""Evidence: what is true and worth saying about a pick, found in the catalog, the history and the training data.

A :class:`Fact` is one checkable triple. A :class:`Reason` is the one to three facts that make a sentence, with how
much it is worth. Nothing here knows any words: how a reason is said stands in ``prompts/<domain>/explain.*``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import History, Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.domain import Domain
from genre_gen.errors import UsageError

Relation: TypeAlias = Literal[
    "rated",
    "had",
    "shares",
    "followed_by",
    "linked",
    "liked_too",
    "weighed",
    "liked",
    "often",
    "predicted",
    "average",
    "had_by",
]
Kind: TypeAlias = Literal["anchor", "linked", "alike", "weighed", "liked", "often", "predicted", "average", "popular"]

POPULAR = 0.25  # share of all people from which popularity is worth a word
MIN_PEOPLE = 5  # fewer people who went from one item to another prove nothing,
MIN_SHARE = 0.1  # nor does a smaller share of those who had the one,
MIN_LIFT = 1.5  # nor a share hardly above what chance would give
MIN_ITEMS = 3  # fewer items with an attribute show no liking for it,
MIN_LIKED = 2 / 3  # nor does a smaller share of them liked
MIN_ABOVE = 0.3  # a prediction closer to the user's mean tells nothing
MAX_VALUES = 3  # shared values that are named, the rarest
MIN_EFFECT = 0.1  # standard deviations of score that an item must be good for, to be said to weigh most,
WEIGHTIER = 1.5  # and how many times the effect of one that can be cited for more than that
SECOND = 0.5  # share of the greatest effect below which another item is not cited
COUNTED = 2**27  # bytes for counts of who went on to an item
WEAKEST = 0.4  # share of the best anchor's worth below which another is not offered
REPEATED = 0.6  # what a reason is worth beside another that rests on the same attribute or is of the same kind

NEAREST = 3  # liked items of the history, the nearest to the pick by the factors of ratings, that are looked at
DIRECT = 2.0  # what it is worth that a graph leads from the pick to an item, beside at most 1 for what both share
MIN_CLOSER = 0.05  # how much oftener those who liked an item must like the pick than all who rated it

MEMBER_RELATIONS: dict[str, tuple[Relation, ...]] = {
    "sequential_rules": ("followed_by",),
    "ease": ("followed_by",),
    "item_knn": ("followed_by",),
    "sasrec": ("followed_by",),
    "svd": ("predicted", "liked_too"),
    "popularity": ("had_by",),
}
"""Blend member -> the relations that tell best what the member saw."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One triple that anyone can check against the data.

    ========================  ===================  ==========================================================
    subject, relation         object               numbers, values
    ========================  ===================  ==========================================================
    user ``rated``            history item         its rating
    user ``had``              history item         (not rated)
    pick ``shares``           history item         the values of ``field`` that both have
    item ``followed_by``      pick                 people who had the pick after the item, people who had the item
    pick ``linked``           history item         entities of the relation ``field`` that both have (none: the pick is
                                                   what ``field`` calls it of the item, such as its sequel)
    item ``liked_too``        pick                 people who liked both, people who liked the item and rated the pick
    item ``weighed``          pick                 of how many items that were left out this changed the score most
    user ``liked``            (items with values)  how many the user liked, of how many the user rated
    user ``often``            (items with values)  how many of the history, of how many in all
    user ``predicted``        pick                 the model's rating, the user's mean rating
    pick ``average``                               mean of people's latest ratings, people who rated it
    pick ``had_by``                                people who had it, people in all
    ========================  ===================  ==========================================================

    Attributes:
        subject: catalog row, or None for the user.
        relation: see above.
        object: catalog row, or None.
        field: the attribute that ``values`` are of, or the relation of ``[knowledge]``.
        values: attribute values.
        numbers: counts are whole; ratings other than the user's own are rounded to one decimal.
    """

    subject: int | None
    relation: Relation
    object: int | None = None
    field: str = ""
    values: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()

    def text(self, catalog: Catalog) -> str:
        """Return the triple for people: ``Aliens (1986) | shares genre Action | Alien (1979)``."""
        subject = "user" if self.subject is None else catalog[self.subject].title
        what = " ".join(filter(None, [self.relation, self.field, ", ".join(self.values)]))
        numbers = " of ".join(f"{number:g}" for number in self.numbers)
        right = [] if self.object is None else [catalog[self.object].title]
        return " | ".join([subject, what, *right, *([numbers] if numbers else [])])


@dataclass(frozen=True, slots=True)
class Reason:
    """The facts of one sentence.

    Attributes:
        kind: what sort of sentence, which templates ask for.
        facts: all of them are said.
        weight: usefulness, 0 or more; comparable within one pick only.
        anchor: catalog row of the history item it rests on, if any.
    """

    kind: Kind
    facts: tuple[Fact, ...]
    weight: float
    anchor: int | None = None

    def fact(self, *relations: Relation) -> Fact | None:
        """Return the first fact of one of these relations, or None."""
        return next((fact for fact in self.facts if fact.relation in relations), None)

    @property
    def values(self) -> tuple[str, ...]:
        """Return the attribute values it rests on."""
        return next((fact.values for fact in self.facts if fact.values), ())


def labels(item: Item) -> dict[str, tuple[str, ...]]:
    """Return an item's attributes that are words: field -> values. Numbers (years, prices) are no labels."""
    found: dict[str, tuple[str, ...]] = {}
    for field, value in item.attributes.items():
        if isinstance(value, str) and value:
            found[field] = (value,)
        elif isinstance(value, tuple) and value:
            found[field] = tuple(dict.fromkeys(value))
    return found


class Evidence:
    """Finds reasons for picks. Build it once for a catalog and the interactions that the models learned from."""

    def __init__(
        self,
        catalog: Catalog,
        interactions: Interactions,
        domain: Domain,
        knowledge: Knowledge | None = None,
        factors: NDArray[np.float64] | None = None,
    ) -> None:
        """Index the data.

        Args:
            catalog: the items.
            interactions: what the models learned from.
            domain: says which ratings count as liked.
            knowledge: what a graph says of the items, if anything.
            factors: float ``[n_items, factors]`` of a model of ratings, such as SVD's, which tell what is rated alike.

        Raises:
            UsageError: interactions of another catalog.
        """
        if len(catalog) != interactions.n_items:
            raise UsageError(
                f"{catalog.name} has {len(catalog)} items, but the interactions are of {interactions.n_items}; "
                "give those that were read with this catalog"
            )
        self.catalog, self.interactions, self.domain, self.knowledge = catalog, interactions, domain, knowledge
        self._factors = (
            None if factors is None else factors / np.maximum(np.linalg.norm(factors, axis=1), 1e-9)[:, None]
        )
        self._owners = interactions.owners
        self._by_item = np.argsort(interactions.rows, kind="stable")
        self._item_starts = np.searchsorted(interactions.rows[self._by_item], np.arange(interactions.n_items + 1))
        pairs = np.unique(self._owners * interactions.n_items + interactions.rows)
        self.people = np.bincount(pairs % interactions.n_items, minlength=interactions.n_items)  # who had each item
        values = [{(field, value) for field, found in labels(item).items() for value in found} for item in catalog]
        self._labels = [labels(item) for item in catalog]
        self.followed = lru_cache(max(16, COUNTED // (8 * len(catalog))))(self._followed)  # popular picks come often
        self._rarity = _rarity(values)
        self._raters = lru_cache(1024)(self._ratings_by_user)

    def reasons(
        self,
        history: History,
        row: int,
        predicted: float | None = None,
        parts: Mapping[str, float] | None = None,
        n: int = 6,
        effects: Mapping[int, float] | None = None,
    ) -> list[Reason]:
        """Return at most ``n`` reasons, the most useful first, and always at least one.

        Args:
            history: what the user had; disliked items (rated below the domain's ``liked_from``) are never cited, nor
                is the pick itself.
            row: the pick.
            predicted: the rating that a model expects of this user for the pick.
            parts: blend member -> its share in the pick's score; reasons that show what the strongest members saw
                count for more.
            n: >= 1.
            effects: catalog row -> what the pick's score loses without that item of the history, where that was
                measured: items are then cited by how much they did for the pick, and only if they did anything. Where
                the one that did most cannot be cited, none is said to have done most.
        """
        found = [*self._tastes(history, row), *self._expectation(history, row, predicted), *self._reception(row)]
        anchors = [*self._anchors(history, row, effects), *self._links(history, row, effects)]
        anchors += self._rated_alike(history, row, effects)
        anchors = _strong(anchors) if effects is None else _by_effect(anchors, effects)
        people = self._popularity(row)
        if not (anchors or found) or people.numbers[0] >= POPULAR * people.numbers[1]:
            found.append(Reason("popular", (people,), 0.3))
        weighed = [] if effects is None else self._weighed(history, row, anchors, effects)
        if effects is None:  # what was measured need not be guessed from the parts of the blend
            anchors = [_boosted(reason, parts) for reason in anchors]
        return _diverse([*weighed, *anchors, *(_boosted(reason, parts) for reason in found)], n)

    def _followed(self, row: int) -> NDArray[np.int64]:
        """Return for every item how many people had it and, later, the item in ``row``: int64 ``[n_items]``."""
        data = self.interactions
        moments = np.arange(len(data.rows)) if data.times is None else data.times
        places = self._by_item[self._item_starts[row] : self._item_starts[row + 1]]
        last = dict(zip(self._owners[places].tolist(), moments[places].tolist(), strict=True))  # later ones overwrite
        spans = [np.arange(int(data.offsets[user]), int(data.offsets[user + 1])) for user in last]
        if not spans:
            return np.zeros(data.n_items, dtype=np.int64)
        until = np.repeat(np.fromiter(last.values(), dtype=np.int64), [len(span) for span in spans])
        everything = np.concatenate(spans)
        before = everything[moments[everything] < until]
        pairs = np.unique(self._owners[before] * data.n_items + data.rows[before])  # a person counts once
        return np.bincount(pairs % data.n_items, minlength=data.n_items)

    def _anchors(self, history: History, row: int, effects: Mapping[int, float] | None) -> Iterator[Reason]:
        """Yield a reason for each liked item of the history that has something to do with the pick.

        Where effects were measured, only for items that did something for it.
        """
        followed = self.followed(row)
        expected = self.people[row] / (2 * max(len(self.interactions.users), 1))  # half of those who have both
        for anchor, rating, recency in self._citable(history, row, effects):
            worth, facts = 0.0, []
            shared = self._shared(row, anchor)
            if shared:
                worth += self._closeness(row, anchor, shared)
                facts.append(shared)
            count, total = int(followed[anchor]), int(self.people[anchor])
            if count >= max(MIN_PEOPLE, MIN_SHARE * total, MIN_LIFT * expected * total):
                worth += math.sqrt(count / total) * (1 - expected * total / count)
                facts.append(Fact(anchor, "followed_by", row, numbers=(count, total)))
            if facts:
                yield Reason("anchor", (_had(anchor, rating), *facts), worth * self._liking(rating) * recency, anchor)

    def _citable(
        self, history: History, row: int, effects: Mapping[int, float] | None
    ) -> Iterator[tuple[int, float | None, float]]:
        """Yield the items of the history that may be cited, with their rating and .5 to 1 for how recent they are."""
        for anchor, (rating, place) in _latest(history).items():
            if anchor == row or (rating is not None and not self._likes(rating)):
                continue
            if effects is None or effects.get(anchor, 0.0) > 0:
                yield anchor, rating, 0.5 + 0.5 * (place + 1) / len(history)

    def _weighed(
        self, history: History, row: int, anchors: Sequence[Reason], effects: Mapping[int, float]
    ) -> list[Reason]:
        """Return that an item weighed most in a pick, where none can be cited that did nearly as much.

        Nothing where the pick itself, had before, or a disliked item weighed most: of any other it would not be so.
        """
        cited = max((effects[reason.anchor] for reason in anchors if reason.anchor is not None), default=0.0)
        most = max(effects, key=lambda item: effects[item], default=None)  # the latest of equals
        if most is None or len(effects) == 1 or effects[most] < max(MIN_EFFECT, WEIGHTIER * cited):
            return []
        if most not in {item for item, *_ in self._citable(history, row, effects)}:
            return []
        fact = Fact(most, "weighed", row, numbers=(len(effects),))
        return [Reason("weighed", (fact,), max((reason.weight for reason in anchors), default=1.0), most)]

    def _links(self, history: History, row: int, effects: Mapping[int, float] | None) -> Iterator[Reason]:
        """Yield for each liked item of the history what the graph has in it that ties it closest to the pick."""
        links = None if self.knowledge is None else self._linked(row)
        for anchor, rating, recency in self._citable(history, row, effects) if links else ():
            own = [(worth[anchor], fact(anchor)) for worth, fact in links or () if worth[anchor] > 0]
            if own:
                worth, best = max(own, key=lambda pair: pair[0])
                facts = (_had(anchor, rating), best)
                yield Reason("linked", facts, float(worth) * self._liking(rating) * recency, anchor)

    def _linked(self, row: int) -> list[tuple[NDArray[np.float64], Callable[[int], Fact]]]:
        """Return for each relation what a tie between the pick and each item is worth, and the fact of it.

        What more than ``[knowledge] most`` of the items have in common with the pick, as its language, ties it to none.
        """
        graph, found = self.knowledge, list[tuple[NDArray[np.float64], Callable[[int], Fact]]]()
        for place, name in enumerate(graph.relations if graph else ()):
            if graph is None or not len(graph.tails(row, place)):
                continue
            worth = np.zeros(graph.n_items)
            if graph.to_items[place]:
                worth[graph.tails(row, place)] = DIRECT
                found.append((worth, partial(Fact, row, "linked", field=name)))
                continue
            counts = graph.shared(row, place)
            counts[row] = 0
            at_least = np.cumsum(np.bincount(counts)[::-1])[::-1] / max(graph.n_items - 1, 1)  # share with so many
            common = at_least[counts]
            worth = np.where((counts > 0) & (common <= self.domain.knowledge.max_share), 1 - np.sqrt(common), 0.0)
            found.append((worth, partial(_sharing, row, name, counts)))
        return found

    def _rated_alike(self, history: History, row: int, effects: Mapping[int, float] | None) -> Iterator[Reason]:
        """Yield for the liked items nearest to the pick, by the factors, that who likes the one likes the other."""
        if self._factors is None or self.domain.liked_from is None or self.interactions.ratings is None:
            return
        citable = [one for one in self._citable(history, row, effects) if one[1] is not None]
        near = self._factors[[anchor for anchor, *_ in citable]] @ self._factors[row]
        users, ratings = self._raters(row)
        usual = float((ratings >= self.domain.liked_from).mean()) if len(ratings) else 1.0
        for place in np.argsort(-near, kind="stable")[:NEAREST].tolist():
            anchor, rating, recency = citable[place]
            others, theirs = self._raters(anchor)
            _, mine, other = np.intersect1d(users, others, assume_unique=True, return_indices=True)
            liking = theirs[other] >= self.domain.liked_from
            count, total = int((ratings[mine][liking] >= self.domain.liked_from).sum()), int(liking.sum())
            if near[place] > 0 and count >= MIN_PEOPLE and count >= (usual + MIN_CLOSER) * total:
                worth = float(near[place]) * (count / total - usual) / max(1 - usual, 1e-9) * recency
                fact = Fact(anchor, "liked_too", row, numbers=(count, total))
                yield Reason("alike", (_had(anchor, rating), fact), worth * self._liking(rating), anchor)

    def _ratings_by_user(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return who rated an item, ascending, and the latest rating of each."""
        places = self._by_item[self._item_starts[row] : self._item_starts[row + 1]]
        if self.interactions.ratings is None:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        places = places[~np.isnan(self.interactions.ratings[places])]
        users, last = np.unique(self._owners[places][::-1], return_index=True)
        return users, self.interactions.ratings[places[::-1][last]]

    def _shared(self, row: int, anchor: int) -> Fact | None:
        """Return the field in which two items share most, weighed by rarity."""
        best, most = None, 0.0
        for field, values in self._labels[row].items():
            both = [value for value in values if value in self._labels[anchor].get(field, ())]
            rarest = sorted(both, key=lambda value: -self._rarity[field, value])[:MAX_VALUES]
            rarity = sum(self._rarity[field, value] for value in rarest)
            if rarity > most:
                named = tuple(value for value in both if value in rarest)
                best, most = Fact(row, "shares", anchor, field, named), rarity
        return best

    def _closeness(self, row: int, anchor: int, shared: Fact) -> float:
        """Return 0 to 1: how rare the shared values are, and how much of the two items' values they are."""
        everything = {*self._labels[row][shared.field], *self._labels[anchor][shared.field]}
        rarity = sum(self._rarity[shared.field, value] for value in shared.values)
        return (1 - math.exp(-rarity / 2)) * len(shared.values) / len(everything)

    def _tastes(self, history: History, row: int) -> Iterator[Reason]:
        """Yield a reason for each attribute of the pick that the user likes, or has often where nothing is rated."""
        latest = _latest(history)
        ratings = {item: rating for item, (rating, _) in latest.items() if rating is not None}
        usual = sum(map(self._likes, ratings.values())) / max(len(ratings), 1)
        for field, values in self._labels[row].items():
            for value in values:
                having = [item for item in latest if item != row and value in self._labels[item].get(field, ())]
                interest = 1 - math.exp(-self._rarity[field, value] / 2)
                if ratings and self.domain.liked_from is not None:
                    rated = [item for item in having if item in ratings]
                    liked = sum(self._likes(ratings[item]) for item in rated)
                    if liked >= MIN_ITEMS and liked >= max(usual, MIN_LIKED) * len(rated):
                        fact = Fact(None, "liked", None, field, (value,), (liked, len(rated)))
                        yield Reason("liked", (fact,), interest * liked / (len(rated) + MIN_ITEMS))
                elif len(having) >= MIN_ITEMS:
                    fact = Fact(None, "often", None, field, (value,), (len(having), len(latest)))
                    yield Reason("often", (fact,), interest * len(having) / (len(latest) + MIN_ITEMS))

    def _popularity(self, row: int) -> Fact:
        return Fact(row, "had_by", numbers=(int(self.people[row]), len(self.interactions.users)))

    def _reception(self, row: int) -> Iterator[Reason]:
        """Yield what people think of the pick, where that is better than of the average item."""
        _, ratings = self._raters(row)
        if len(ratings) < MIN_PEOPLE or float(ratings.mean()) <= self._mean_rating:
            return
        low, high = self.domain.rating_scale or (float(ratings.min()), float(ratings.max()))
        above = (float(ratings.mean()) - self._mean_rating) / max(high - low, 1e-9)
        fact = Fact(row, "average", numbers=(round(float(ratings.mean()), 1), len(ratings)))
        yield Reason("average", (fact,), 0.2 + above)

    def _expectation(self, history: History, row: int, predicted: float | None) -> Iterator[Reason]:
        """Yield the predicted rating, where it is clearly above what the user gives on average.

        None of what the user has rated, or has had and would not be recommended again: it foretells nothing.
        """
        latest = _latest(history)
        ratings = [rating for rating, _ in latest.values() if rating is not None]
        over = row in latest and (latest[row][0] is not None or not self.domain.repeat)
        if predicted is None or not ratings or over:
            return
        expected, usual = round(float(predicted), 1), round(sum(ratings) / len(ratings), 1)
        if expected < usual + MIN_ABOVE:
            return
        low, high = self.domain.rating_scale or (min(ratings), max(ratings))
        weight = 0.2 + (expected - usual) / max(high - low, 1e-9)
        yield Reason("predicted", (Fact(None, "predicted", row, numbers=(expected, usual)),), weight)

    def _likes(self, rating: float) -> bool:
        return self.domain.liked_from is None or rating >= self.domain.liked_from

    def _liking(self, rating: float | None) -> float:
        """Return how much an item counts: 1 when not rated, up to 1.5 for the best rating."""
        if rating is None or self.domain.rating_scale is None:
            return 1.0
        low, high = self.domain.rating_scale
        least = low if self.domain.liked_from is None else self.domain.liked_from
        return 1.0 + 0.5 * (rating - least) / max(high - least, 1e-9)

    @cached_property
    def _mean_rating(self) -> float:
        return float(np.nanmean(self.interactions.ratings)) if self.interactions.ratings is not None else 0.0


def _had(anchor: int, rating: float | None) -> Fact:
    """Return that the user had an item, or rated it."""
    return Fact(None, "had", anchor) if rating is None else Fact(None, "rated", anchor, numbers=(rating,))


def _sharing(row: int, name: str, counts: NDArray[np.int64], anchor: int) -> Fact:
    """Return how many entities of a relation two items share."""
    return Fact(row, "linked", anchor, name, numbers=(int(counts[anchor]),))


def _latest(history: History) -> dict[int, tuple[float | None, int]]:
    """Return each item of a history with its latest rating (None if not rated) and its place, oldest first."""
    ratings = [None] * len(history) if history.ratings is None else history.ratings.tolist()
    return {
        row: (None if rating is None or math.isnan(rating) else float(rating), place)
        for place, (row, rating) in enumerate(zip(history.rows.tolist(), ratings, strict=True))
    }


def _rarity(values: Sequence[set[tuple[str, str]]]) -> dict[tuple[str, str], float]:
    """Return (field, value) -> log(items / items that have it)."""
    counts = Counter(pair for item in values for pair in item)
    return {pair: math.log(len(values) / count) for pair, count in counts.items()}


def _boosted(reason: Reason, parts: Mapping[str, float] | None) -> Reason:
    """Raise a reason's weight by the share that the blend members it speaks for have in the pick."""
    positive = {member: part for member, part in (parts or {}).items() if part > 0}
    relations = {fact.relation for fact in reason.facts}
    share = sum(part for member, part in positive.items() if relations.intersection(MEMBER_RELATIONS.get(member, ())))
    total = sum(positive.values())
    return replace(reason, weight=reason.weight * (1 + (share / total if total else 0)))


def _strong(reasons: list[Reason]) -> list[Reason]:
    """Leave out reasons that are weak beside the best."""
    best = max((reason.weight for reason in reasons), default=0.0)
    return [reason for reason in reasons if reason.weight >= WEAKEST * best]


def _by_effect(reasons: list[Reason], effects: Mapping[int, float]) -> list[Reason]:
    """Let the effects of the items they cite decide what reasons are worth; leave out those of much less effect."""
    sizes = [effects[reason.anchor] for reason in reasons if reason.anchor is not None]
    worth, most = max((reason.weight for reason in reasons), default=0.0), max(sizes, default=0.0)
    best: dict[int | None, float] = {}  # of what can be said of one item, the best is worth its effect
    for reason in reasons:
        best[reason.anchor] = max(reason.weight, best.get(reason.anchor, 0.0))
    return [
        replace(reason, weight=worth * size / most * reason.weight / max(best[reason.anchor], 1e-9))
        for reason, size in zip(reasons, sizes, strict=True)
        if size >= SECOND * most
    ]


def _diverse(reasons: Sequence[Reason], n: int) -> list[Reason]:
    """Pick reasons one by one, each time the one that is worth most beside those already chosen."""
    left, chosen = list(reasons), list[Reason]()
    while left and len(chosen) < n:
        kinds = Counter(reason.kind for reason in chosen)
        values = Counter(reason.values for reason in chosen if reason.values)
        best = max(left, key=lambda r: r.weight * REPEATED ** (kinds[r.kind] + values[r.values]))  # first of equals
        left.remove(best)
        chosen.append(_without_repetition(best) if best.values in values else best)
    return chosen


def _without_repetition(reason: Reason) -> Reason:
    """Leave out shared values that another reason names, where something else remains to be said."""
    if reason.fact("followed_by") is None:
        return reason
    facts = tuple(fact for fact in reason.facts if fact.relation != "shares")
    return Reason(reason.kind, facts, reason.weight, reason.anchor)
