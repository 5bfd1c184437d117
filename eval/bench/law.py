"""Law: made-up logs whose law of the next item is known, so that the best possible ranking is known too.

Items belong to clusters and have a popularity (Zipf-Mandelbrot). Each user prefers one cluster, which the data does not
name. The next item is drawn from a mixture of three parts: the successors of the last item, the items of the user's
cluster by popularity, and all items by popularity. Seen items are excluded, and the rest keeps its proportions.

    law = Law(n_items=100_000, seed=0)
    data = law.dataset(n_users=20_000, n_interactions=1_000_000)
    split = data.leave_one_out()
    bound = ndcg_at(case_ranks(law.score, split.test, law.n_items), 10).mean()
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.dataset import Dataset
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.new_domain.domain_toml import sized_settings
from genre_gen.new_domain.inference import infer_domain

SHIFT = 20.0  # added to ranks of popularity, so that the most popular item does not make up a tenth of the log
SPREAD = 1.0  # standard deviation of the logarithm of a successor's rank, around that of its predecessor
PSEUDO_COUNT = 3.0  # added to the times that an item was followed, where successors are learned from a log
FEWEST = 5  # interactions of a user, where the means allow it
CELLS = 2**23  # places of histories that are drawn together, which limits the memory
DAY = 86_400
FIRST_WORDS, SECOND_WORDS, THIRD_WORDS = (
    words.split()
    for words in (
        "amber ancient autumn blue bright broken calm cold copper crimson crystal dark deep distant electric "
        "empty endless fading first frozen gentle golden green hidden hollow iron last little lonely long lost "
        "midnight modern northern open pale quiet red restless royal",
        "apple arrow bell bird boat book bridge candle castle chair city cloud coast crown desert door dream "
        "engine feather field fire flower forest garden glass harbor heart hill horse house island key lake lamp "
        "letter light map market mirror moon",
        "adventure album basket calendar club collection companion diary edition festival guide handbook journey "
        "kit lesson machine memory museum notebook orchestra parade picnic puzzle quartet recipe school season "
        "society story studio symphony theatre tour trilogy vacation workshop",
    )
)


class Law:
    """The law of the next item over a catalog.

    Attributes:
        n_items: size of the catalog.
        clusters: int64 ``[n_items]``, the cluster of each item.
        popularity: float64 ``[n_items]``, the probability of each item in the log if there were nothing else.
        successors: int32 ``[n_items, k]``; an item may be named twice, and its shares then add up.
        shares: float64 ``[k]``, the probability of each successor, given that one of them comes next.
    """

    def __init__(
        self,
        n_items: int,
        seed: int = 0,
        *,
        follows: float = 0.6,
        fits: float = 0.3,
        successors: int = 4,
        clusters: int = 40,
        skew: float = 1.0,
    ) -> None:
        """Draw clusters, popularity and successors.

        Args:
            n_items: 10 or more.
            seed: the same seed gives the same law and the same logs.
            follows: probability that the next item is a successor of the last one.
            fits: probability that it is drawn from the user's cluster; the rest is drawn from all items.
            successors: of each item; each has half the share of the one before.
            clusters: number of clusters, at most one per ten items.
            skew: exponent of popularity: an item of rank r has a share of ``(r + 20) ** -skew``.

        Raises:
            UsageError: an argument that is out of range.
        """
        if n_items < 10 or successors < 1 or clusters < 1 or not (follows >= 0 and fits >= 0 and follows + fits < 1):  # noqa: PLR2004
            raise UsageError("a law needs 10 items, a successor, a cluster, and follows + fits below 1")
        self.n_items, self.seed, self.follows, self.fits = n_items, seed, follows, fits
        random = np.random.default_rng([seed, n_items])
        n_clusters = min(clusters, n_items // 10, len(FIRST_WORDS))
        by_rank = random.permutation(n_items)  # the items by popularity
        self.popularity = np.empty(n_items)
        weights = (np.arange(n_items) + 1 + SHIFT) ** -skew
        self.popularity[by_rank] = weights / weights.sum()
        self.clusters = np.empty(n_items, np.int64)
        self.clusters[by_rank] = np.arange(n_items) % n_clusters  # each has items of all popularities
        # Items by cluster, most popular first: a cluster is a slice, and one cumulative sum serves all draws.
        self._order = np.lexsort((-self.popularity, self.clusters))
        self._bounds = np.searchsorted(self.clusters[self._order], np.arange(n_clusters + 1))
        self._cumulative = np.concatenate([[0.0], np.cumsum(self.popularity[self._order])])
        self.mass = np.diff(self._cumulative[self._bounds])
        self.shares = 0.5 ** np.arange(successors)
        self.shares /= self.shares.sum()
        self.successors = self._draw_successors(random, successors)

    def _draw_successors(self, random: np.random.Generator, k: int) -> NDArray[np.int32]:
        """Return successors from the item's cluster whose popularity is close to its own.

        Popularity then remains what it is: with successors drawn uniformly, half the log would be of rare items.
        """
        successors = np.empty((self.n_items, k), np.int32)
        cluster = self.clusters[self._order]
        start = self._bounds[cluster]
        rank, size = np.arange(self.n_items) - start, self._bounds[cluster + 1] - start
        for place in range(k):
            waiting = np.arange(self.n_items)
            while len(waiting):  # draws that leave the cluster, or are the item itself, are repeated
                spread = np.exp(SPREAD * random.standard_normal(len(waiting)))
                near = np.minimum((rank[waiting] + 1) * spread, size[waiting]).astype(np.int64)
                successors[self._order[waiting], place] = self._order[start[waiting] + near % size[waiting]]
                waiting = waiting[(near == size[waiting]) | (near == rank[waiting])]
        return successors

    # Drawing

    def interactions(self, n_users: int, n_interactions: int, *, rated: bool = True) -> Interactions:
        """Draw a log of exactly this size; user ids are ``u0``, ``u1`` and so on.

        Raises:
            UsageError: users would have fewer than three items, or more than a third of the catalog, on average.
        """
        if not (0 < 3 * n_users <= n_interactions <= n_users * (self.n_items // 3)):
            raise UsageError(
                f"{n_users:,} users and {n_interactions:,} interactions among {self.n_items:,} items; give each user "
                "three interactions or more, and at most a third of the catalog"
            )
        random = np.random.default_rng([self.seed, self.n_items, n_users, n_interactions])
        lengths = _lengths(random, n_users, n_interactions, self.n_items // 2)
        tastes = random.integers(len(self.mass), size=n_users)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.empty(n_interactions, np.int64)
        for users in _chunks(np.argsort(-lengths, kind="stable"), lengths):
            drawn = self._draw(random, tastes[users], lengths[users])
            for place in range(drawn.shape[1]):
                still = users[lengths[users] > place]
                rows[offsets[still] + place] = drawn[: len(still), place]
        owners = np.repeat(np.arange(n_users), lengths)
        times = _times(random, offsets, owners)
        ratings = None
        if rated:
            liking = 3 + (self.clusters[rows] == tastes[owners]) + random.standard_normal(n_interactions)
            ratings = np.clip(np.rint(liking), 1, 5).astype(np.float32)
        users_ids = [f"u{user}" for user in range(n_users)]
        return Interactions(users_ids, offsets, rows, self.n_items, ratings, times)

    def _draw(
        self, random: np.random.Generator, tastes: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Return histories int32 ``[users, longest]`` of users sorted by length, the longest first."""
        drawn = np.full((len(lengths), int(lengths[0])), -1, np.int32)
        for place in range(drawn.shape[1]):
            waiting = np.arange(np.count_nonzero(lengths > place))
            while len(waiting):  # what was seen is drawn again, which keeps the proportions of the rest
                last = drawn[waiting, place - 1] if place else None
                candidates = self._candidates(random, tastes[waiting], last)
                seen = (drawn[waiting, :place] == candidates[:, None]).any(axis=1)
                drawn[waiting[~seen], place] = candidates[~seen]
                waiting = waiting[seen]
        return drawn

    def _candidates(
        self, random: np.random.Generator, tastes: NDArray[np.int64], last: NDArray[np.int32] | None
    ) -> NDArray[np.int32]:
        """Return one draw per user from the mixture, seen items included; without ``last``, the first of a history."""
        n = len(tastes)
        which, where = random.random(n) * (1 - (self.follows if last is None else 0)), random.random(n)
        fits = which < self.fits
        low, high = self._cumulative[self._bounds[tastes]], self._cumulative[self._bounds[tastes + 1]]
        target = np.where(fits, low + where * (high - low), where * self._cumulative[-1])
        items = self._order[np.clip(np.searchsorted(self._cumulative, target, "right") - 1, 0, self.n_items - 1)]
        if last is not None:
            follows = which >= 1 - self.follows
            place = np.searchsorted(np.cumsum(self.shares)[:-1], where[follows], "right")
            items[follows] = self.successors[last[follows], place]
        return items.astype(np.int32)

    # Probabilities

    def probabilities(self, history: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the probability of each item to be next, ``[n_items]``; they sum to 1, and seen items have 0.

        The user's cluster is not known but inferred: its probability given the history is exact.

        Args:
            history: catalog rows, oldest first, each once; may be empty.
        """
        rows = np.asarray(history, np.int64)
        result, follows = self._without_successors(rows)
        if len(rows):
            np.add.at(result, self.successors[rows[-1]], follows * self.shares)
        result[rows] = 0.0
        return result

    def _without_successors(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
        """Return the probabilities of all items except for the part of successors, and the weight of that part."""
        belief, left = self._beliefs(rows)
        general, fits, follows = self._weights(len(rows))
        weights = belief / left  # of each cluster's mixture, once seen items are excluded
        result = self.popularity * (general * weights.sum() + (fits * weights / self.mass)[self.clusters])
        return result, follows * float(weights.sum())

    def score(self, histories: Sequence[History]) -> NDArray[np.float64]:
        """Return the probabilities for histories, ``[histories, n_items]``: a model that ranks as well as possible."""
        return np.stack([self.probabilities(history.rows) for history in histories])

    def learned(self, log: Interactions) -> Callable[[Sequence[History]], NDArray[np.float64]]:
        """Return what ranks like :meth:`score`, but learns each item's successors from a log.

        All else of the law is known to it: popularity, clusters and the shares of the mixture. So it tells what a log
        of this size says about the law at best, or nearly so: an item that came next more often than the rest of the
        mixture explains, and belongs to the same cluster, is a successor with the share of the times it came next.
        """
        same = log.owners[:-1] == log.owners[1:]
        pairs = log.rows[:-1][same], log.rows[1:][same]
        counts = sparse.csr_matrix((np.ones(len(pairs[0])), pairs), shape=(self.n_items, self.n_items))
        total = np.asarray(counts.sum(axis=1)).ravel()
        general = 1 - self.follows - self.fits

        def probabilities(history: History) -> NDArray[np.float64]:
            rows = np.asarray(history.rows, np.int64)
            result, follows = self._without_successors(rows)
            if len(rows):
                last = rows[-1]
                cells = slice(counts.indptr[last], counts.indptr[last + 1])
                after, cluster = counts.indices[cells], self.clusters[last]
                share = (general + self.fits**2 / self.mass[cluster]) * self.popularity[after]  # a user of the cluster
                excess = np.maximum(counts.data[cells] - total[last] * share, 0.0) * (self.clusters[after] == cluster)
                result[after] += follows / self.follows * excess / (total[last] + PSEUDO_COUNT)
            result[rows] = 0.0
            return result

        return lambda histories: np.stack([probabilities(history) for history in histories])

    def _weights(self, n_seen: int) -> tuple[float, float, float]:
        """Return the probabilities of the mixture's parts: all items, the cluster's, and successors."""
        general = 1 - self.follows - self.fits
        if n_seen:
            return general, self.fits, self.follows
        return general / (1 - self.follows), self.fits / (1 - self.follows), 0.0

    def _beliefs(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return each cluster's probability given a history, and the share of its mixture that is not yet seen."""
        n_clusters = len(self.mass)
        belief, seen = np.zeros(n_clusters), np.zeros(n_clusters)
        left = np.ones(n_clusters)
        popular = 0.0  # the popularity of all seen items
        for place, row in enumerate(rows):
            general, fits, follows = self._weights(place)
            cluster = self.clusters[row]
            after = follows * self.shares[self.successors[rows[place - 1]] == row].sum() if place else 0.0
            chance = np.full(n_clusters, after + general * self.popularity[row])
            chance[cluster] += fits * self.popularity[row] / self.mass[cluster]
            belief += np.log(chance / left)
            popular += self.popularity[row]
            seen[cluster] += self.popularity[row] / self.mass[cluster]
            general, fits, follows = self._weights(place + 1)
            known = np.isin(self.successors[row], rows[: place + 1])
            left = 1 - general * popular - fits * seen - follows * self.shares[known].sum()
        belief = np.exp(belief - belief.max())
        return belief / belief.sum(), left

    # Data sets

    def catalog(self) -> Catalog:
        """Return the items: titles of words, of which the first tells the cluster, and two attributes."""
        titles, categories, years = self._texts
        return Catalog(
            (
                Item(f"i{row}", title, {"category": (category,), "year": year})
                for row, (title, category, year) in enumerate(zip(titles, categories, years, strict=True))
            ),
            "made-up",
        )

    def dataset(self, n_users: int, n_interactions: int, *, rated: bool = True, **settings: Any) -> Dataset:
        """Draw a log, and return it with the settings that a new domain of this size would get.

        Settings with a dot in their names are given as a dictionary: ``**{"training.epochs": 1}``.
        """
        log = self.interactions(n_users, n_interactions, rated=rated)
        return Dataset(_domain(self.n_items, n_interactions, rated).changed(settings), self.catalog(), log)

    def frames(self, n_users: int, n_interactions: int, *, rated: bool = True) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Draw a log, and return tables of items and interactions, the latter in order of time, as files have them."""
        log = self.interactions(n_users, n_interactions, rated=rated)
        titles, categories, years = self._texts
        ids = pl.Series("item_id", [f"i{row}" for row in range(self.n_items)])
        items = pl.DataFrame(
            [ids, pl.Series("title", titles), pl.Series("category", categories), pl.Series("year", years)]
        )
        columns = [pl.Series("user_id", log.users)[log.owners], ids[log.rows]]
        columns += [pl.Series("rating", log.ratings)] if rated else []
        return items, pl.DataFrame([*columns, pl.Series("timestamp", log.times)]).sort("timestamp", maintain_order=True)

    @cached_property
    def _texts(self) -> tuple[list[str], list[str], list[int]]:
        place = np.empty(self.n_items, np.int64)  # of an item in its cluster
        place[self._order] = np.arange(self.n_items) - self._bounds[self.clusters[self._order]]
        titles, categories = [], [f"{FIRST_WORDS[cluster]} things" for cluster in self.clusters.tolist()]
        for cluster, number in zip(self.clusters.tolist(), place.tolist(), strict=True):
            rest, second = divmod(number, len(SECOND_WORDS))
            volume, third = divmod(rest, len(THIRD_WORDS))
            words = [FIRST_WORDS[cluster], SECOND_WORDS[second], THIRD_WORDS[third], str(volume + 1) if volume else ""]
            titles.append(" ".join(words).strip().title())
        return titles, categories, (1950 + place % 70).tolist()


def _domain(n_items: int, n_interactions: int, rated: bool) -> Domain:
    """Return the settings that are proposed for tables like these: the columns of a small log, and this size."""
    items, log = Law(100).frames(20, 400, rated=rated)
    inferred = infer_domain(log, items, name="made-up", noun="item")
    sized = tomllib.loads(sized_settings(n_items, n_interactions, inferred.proposal))
    return inferred.domain.changed({f"{part}.{key}": value for part in sized for key, value in sized[part].items()})


def _lengths(random: np.random.Generator, n_users: int, n_interactions: int, most: int) -> NDArray[np.int64]:
    """Return the lengths of histories, int64 ``[n_users]``: log-normal above a smallest, with this sum."""
    fewest = min(FEWEST, n_interactions // n_users)
    weights = random.lognormal(sigma=0.8, size=n_users)
    lengths = fewest + random.multinomial(n_interactions - fewest * n_users, weights / weights.sum())
    while excess := np.maximum(lengths - most, 0).sum():
        lengths = np.minimum(lengths, most)
        lengths += random.multinomial(excess, np.full(n_users, 1 / n_users))
    return lengths.astype(np.int64)


def _chunks(users: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield users, the longest histories first, in groups whose histories have at most ``CELLS`` places."""
    while len(users):
        n = max(1, CELLS // int(lengths[users[0]]))
        yield users[:n]
        users = users[n:]


def _times(random: np.random.Generator, offsets: NDArray[np.int64], owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the seconds since 1970 of each interaction: users begin within two years, and return every few days."""
    gaps = np.cumsum(random.exponential(2 * DAY, len(owners)))
    begins = 1_500_000_000 + random.integers(2 * 365 * DAY, size=len(offsets) - 1)
    return (begins[owners] + gaps - gaps[offsets[:-1]][owners]).astype(np.int64)
