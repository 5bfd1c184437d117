"""Evidence: what is true and worth saying about a pick, found in the catalog, the history and the training data.

The wording of reasons is in the templates ``explain.*``, not here.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.explain.counts import Counts, InteractionCounts
from genre_gen.explain.facts import Fact, Reason, labels, pairs_of
from genre_gen.explain.selection import choose_diverse, drop_weak, weigh_by_effects, weigh_by_parts
from genre_gen.explain.shared_counts import SharedCounts
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.prompting.variables import Entry, entries, entry
from genre_gen.registry import MEMBERS

POPULAR = 0.25  # share of all users from which popularity is worth a word
MIN_ITEMS = 3  # fewer items with an attribute show no liking for it,
MIN_LIKED = 2 / 3  # nor does a smaller share of them liked
MIN_ABOVE = 0.3  # a prediction closer to the user's mean tells nothing
MAX_VALUES = 3  # shared values that are named, the rarest
MIN_EFFECT = 0.1  # standard deviations of score that an item must be good for, to be said to weigh most,
WEIGHTIER = 1.5  # and how many times the effect of one that can be cited for more than that
NEAREST = 3  # liked items of the history, the nearest to the pick by the factors of ratings, that are looked at
KEPT_LABELS = 10_000  # items whose labels are kept
DIRECT = 2.0  # what it is worth that a graph leads from the pick to an item; what both share is worth at most 1

Latest: TypeAlias = dict[int, tuple[float | None, int]]
"""Item of a history -> its latest rating, None if it is not rated, and its position."""
Cited: TypeAlias = tuple[int, float | None, float]
"""Item of a history, its rating, and 0.5 to 1 for how recent it is."""


class Evidence:
    """Finds reasons for picks. Build it once for a catalog and the interactions that the models learned from."""

    def __init__(
        self,
        catalog: Catalog,
        interactions: Interactions | SharedCounts,
        domain: Domain,
        knowledge: Knowledge | None = None,
        factors: NDArray[np.floating] | None = None,
        relations: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Index the data that the models learned from, and what a graph says of the items, if anything.

        In a recommender that came without histories, counts replace the interactions.

        ``factors`` (float ``[n_items, factors]``) are of a model of ratings, such as SVD's: near items are rated
        similarly. ``relations`` names those that tell best what each blend member saw; None for the built-in members.

        Raises:
            UsageError: interactions of another catalog.
        """
        if len(catalog) != interactions.n_items:
            raise UsageError(
                f"{catalog.name} has {len(catalog)} items, but the interactions are of {interactions.n_items}; "
                "give those that were read with this catalog"
            )
        self.catalog, self.interactions, self.domain, self.knowledge = catalog, interactions, domain, knowledge
        self.language = DomainLanguage.of(domain)
        self._factors = (
            None if factors is None else factors / np.maximum(np.linalg.norm(factors, axis=1), 1e-9)[:, None]
        )
        if relations is None:
            relations = {name: model.relations for name, model in MEMBERS.built_in().items()}
        self._relations = relations
        self.counts: Counts = (
            interactions
            if isinstance(interactions, SharedCounts)
            else InteractionCounts(interactions, domain.liked_from)
        )
        self._labels = lru_cache(KEPT_LABELS)(lambda row: labels(catalog[row]))  # those of a million items are large
        self._having = Counter(pair for item in catalog for pair in pairs_of(item))
        self._rarity = _rarities(self._having, len(catalog))

    def with_items(self, catalog: Catalog, domain: Domain, knowledge: Knowledge | None) -> Evidence:
        """Return the evidence for a catalog with more items behind these, or with other descriptions of them.

        No user had the further items. The domain and the graph are those that hold for it.
        """
        other = copy.copy(self)
        other.catalog, other.domain, other.knowledge = catalog, domain, knowledge
        other.language = DomainLanguage.of(domain)
        if len(catalog) > len(self.catalog):
            other.interactions = self.interactions.with_items(len(catalog))
            other.counts = self.counts.with_items(len(catalog))
        other._labels = lru_cache(KEPT_LABELS)(lambda row: labels(catalog[row]))
        other._having = self._having.copy()
        for before, after in zip_longest(self.catalog, catalog):
            if before is not after:
                other._having.subtract(() if before is None else pairs_of(before))
                other._having.update(pairs_of(after))
        other._rarity = _rarities(other._having, len(catalog))
        return other

    def entry(self, row: int, rating: float | None = None) -> Entry:
        """Return an item as the templates of explanations see it."""
        return entry(self.catalog, row, rating, words=self.language)

    def entries(self, history: History) -> tuple[Entry, ...]:
        """Return a history as these templates see it, oldest first."""
        return entries(self.catalog, history, self.domain.liked_from, self.language)

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
        latest = _latest(history)
        citable = [*self._citable(latest, row, len(history), effects)]
        others = [*self._tastes(latest, row), *self._expectation(latest, row, predicted), *self._reception(row)]
        anchors = [*self._anchors(citable, row), *self._links(citable, row), *self._rated_similarly(citable, row)]
        owners, users = int(self.counts.users_with[row]), self.counts.n_users
        if not (anchors or others) or owners >= POPULAR * users:
            others.append(Reason("popular", (Fact(row, "had_by", numbers=(owners, users)),), 0.3))
        others = weigh_by_parts(others, parts or {}, self._relations)
        if effects is None:
            anchors = weigh_by_parts(drop_weak(anchors), parts or {}, self._relations)
        else:  # what was measured need not be guessed from the parts of the blend
            anchors = weigh_by_effects(anchors, effects)
            anchors = [*_weighed(citable, row, anchors, effects), *anchors]
        return choose_diverse([*anchors, *others], n)

    def _anchors(self, citable: Sequence[Cited], row: int) -> Iterator[Reason]:
        """Yield a reason for each liked item of the history that has something to do with the pick."""
        followers, expected = self.counts.followers(row), self.counts.expected(row)
        for anchor, rating, recency in citable:
            worth, facts = 0.0, []
            shared = self._shared(row, anchor)
            if shared:
                worth += self._closeness(row, anchor, shared)
                facts.append(shared)
            count, total = int(followers[anchor]), int(self.counts.users_with[anchor])
            if count:
                worth += math.sqrt(count / total) * (1 - expected * total / count)
                facts.append(Fact(anchor, "followed_by", row, numbers=(count, total)))
            if facts:
                yield Reason("anchor", (_had(anchor, rating), *facts), worth * self._liking(rating) * recency, anchor)

    def _citable(self, latest: Latest, row: int, length: int, effects: Mapping[int, float] | None) -> Iterator[Cited]:
        """Yield what may be cited: not disliked, nor the pick, nor, where effects were measured, without one for it."""
        for anchor, (rating, position) in latest.items():
            if anchor == row or (rating is not None and not self._likes(rating)):
                continue
            if effects is None or effects.get(anchor, 0.0) > 0:
                yield anchor, rating, 0.5 + 0.5 * (position + 1) / length

    def _links(self, citable: Sequence[Cited], row: int) -> Iterator[Reason]:
        """Yield for each liked item of the history what the graph has in it that ties it closest to the pick."""
        ties = [] if self.knowledge is None else list(self._ties(self.knowledge, row))
        for anchor, rating, recency in citable if ties else ():
            name, worth, counts = max(ties, key=lambda tie: tie[1][anchor])
            if worth[anchor] > 0:
                numbers = () if counts is None else (int(counts[anchor]),)
                facts = (_had(anchor, rating), Fact(row, "linked", anchor, name, numbers=numbers))
                yield Reason("linked", facts, float(worth[anchor]) * self._liking(rating) * recency, anchor)

    def _ties(self, graph: Knowledge, row: int) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.int64] | None]]:
        """Yield each relation of the pick, what its tie to each item is worth, and how many entities both share.

        What more than ``[knowledge] max_share`` of the items share with the pick, as its language, ties it to none. A
        relation that leads to items has no counts.
        """
        for relation, name in enumerate(graph.relations):
            tails = graph.tails(row, relation)
            if not len(tails):
                continue
            if graph.to_items[relation]:
                worth = np.zeros(graph.n_items)
                worth[tails] = DIRECT
                yield name, worth, None
                continue
            counts = graph.shared(row, relation)
            counts[row] = 0
            at_least = np.cumsum(np.bincount(counts)[::-1])[::-1] / max(graph.n_items - 1, 1)  # share with so many
            common = at_least[counts]
            worth = np.where((counts > 0) & (common <= self.domain.knowledge.max_share), 1 - np.sqrt(common), 0.0)
            yield name, worth, counts

    def _rated_similarly(self, citable: Sequence[Cited], row: int) -> Iterator[Reason]:
        """Yield for the liked items nearest to the pick, by the factors, that who likes the one likes the other."""
        about = self.counts.ratings(row)
        if self._factors is None or self.domain.liked_from is None or about is None:
            return
        # Items that came after training have no factors.
        rated = [cited for cited in citable if cited[1] is not None and cited[0] < len(self._factors)]
        near = self._factors[[anchor for anchor, *_ in rated]] @ self._factors[row]
        for nearest in np.argsort(-near, kind="stable")[:NEAREST].tolist():
            anchor, rating, recency = rated[nearest]
            count, total = self.counts.liked_too(anchor, row) if near[nearest] > 0 else (0, 0)
            if count:
                worth = float(near[nearest]) * (count / total - about.liked) / max(1 - about.liked, 1e-9) * recency
                fact = Fact(anchor, "liked_too", row, numbers=(count, total))
                yield Reason("similar", (_had(anchor, rating), fact), worth * self._liking(rating), anchor)

    def _shared(self, row: int, anchor: int) -> Fact | None:
        """Return the field in which two items share most, weighed by rarity."""
        best, highest = None, 0.0
        for field, values in self._labels(row).items():
            both = [value for value in values if value in self._labels(anchor).get(field, ())]
            rarest = sorted(both, key=lambda value: -self._rarity[field, value])[:MAX_VALUES]
            rarity = sum(self._rarity[field, value] for value in rarest)
            if rarity > highest:
                named = tuple(value for value in both if value in rarest)
                best, highest = Fact(row, "shares", anchor, field, named), rarity
        return best

    def _closeness(self, row: int, anchor: int, shared: Fact) -> float:
        """Return 0 to 1: how rare the shared values are, and how much of the two items' values they are."""
        everything = {*self._labels(row)[shared.field], *self._labels(anchor)[shared.field]}
        rarity = sum(self._rarity[shared.field, value] for value in shared.values)
        return (1 - math.exp(-rarity / 2)) * len(shared.values) / len(everything)

    def _tastes(self, latest: Latest, row: int) -> Iterator[Reason]:
        """Yield a reason for each attribute of the pick that the user likes, or has often where nothing is rated."""
        ratings = {item: rating for item, (rating, _) in latest.items() if rating is not None}
        usual = sum(map(self._likes, ratings.values())) / max(len(ratings), 1)
        for field, values in self._labels(row).items():
            for value in values:
                having = [item for item in latest if item != row and value in self._labels(item).get(field, ())]
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

    def _reception(self, row: int) -> Iterator[Reason]:
        """Yield how users rate the pick, where that is better than of the average item."""
        about = self.counts.ratings(row)
        if about is None or about.mean <= self.counts.mean_rating:
            return
        low, high = self.domain.rating_scale or (about.low, about.high)
        above = (about.mean - self.counts.mean_rating) / max(high - low, 1e-9)
        fact = Fact(row, "average", numbers=(round(about.mean, 1), about.count))
        yield Reason("average", (fact,), 0.2 + above)

    def _expectation(self, latest: Latest, row: int, predicted: float | None) -> Iterator[Reason]:
        """Yield the predicted rating, where it is clearly above what the user gives on average.

        Not for a rated pick, nor for one in the history unless items repeat.
        """
        ratings = [rating for rating, _ in latest.values() if rating is not None]
        settled = row in latest and (latest[row][0] is not None or not self.domain.repeat)
        if predicted is None or not ratings or settled:
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


def _rarities(having: Mapping[tuple[str, str], int], n_items: int) -> dict[tuple[str, str], float]:
    """Return how rare each pair of a field and a label is among the items."""
    return {pair: math.log(n_items / count) for pair, count in having.items() if count}


def _weighed(
    citable: Sequence[Cited], row: int, anchors: Sequence[Reason], effects: Mapping[int, float]
) -> list[Reason]:
    """Return that an item weighed most in a pick, where none can be cited that did nearly as much.

    Nothing where the pick itself, had before, or a disliked item weighed most: of any other it would not be so.
    """
    cited = max((effects[reason.anchor] for reason in anchors if reason.anchor is not None), default=0.0)
    strongest = max(effects, key=lambda item: effects[item], default=None)  # the latest of equals
    if strongest is None or len(effects) == 1 or effects[strongest] < max(MIN_EFFECT, WEIGHTIER * cited):
        return []
    if strongest not in {item for item, *_ in citable}:
        return []
    fact = Fact(strongest, "weighed", row, numbers=(len(effects),))
    return [Reason("weighed", (fact,), max((reason.weight for reason in anchors), default=1.0), strongest)]


def _had(anchor: int, rating: float | None) -> Fact:
    """Return that the user had an item, or rated it."""
    return Fact(None, "had", anchor) if rating is None else Fact(None, "rated", anchor, numbers=(rating,))


def _latest(history: History) -> Latest:
    """Return each item of a history with its latest rating (None if not rated) and its position, oldest first."""
    ratings = [None] * len(history) if history.ratings is None else history.ratings.tolist()
    return {
        row: (None if rating is None or math.isnan(rating) else float(rating), position)
        for position, (row, rating) in enumerate(zip(history.rows.tolist(), ratings, strict=True))
    }
