"""What data is worth to a recommender: how sequential it is, what counts get, what texts tell, what is wrong with it.

All figures come from a sample of users, by leave-one-out, so that the time does not grow with the data. Nothing here
is trained for use: the models are the simplest of their kind, and only the differences between them are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genre_gen.collaborative.item_knn import ItemKNN
from genre_gen.collaborative.popularity import Popularity
from genre_gen.collaborative.sequential_rules import SequentialRules
from genre_gen.data.catalog import Catalog
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case
from genre_gen.metrics import case_ranks, ndcg_at
from genre_gen.new_domain.leaks import leaks

EVENTS = 200_000
"""Interactions that are looked at: those of a random sample of users."""

CASES, LEAST_CASES = 1000, 100
"""Users whose last item is held out; the fewest from which something is concluded about order."""

RECENT = 200
"""Interactions of a user that are looked at, the last ones."""

SHUFFLES = 3
"""How often histories are shuffled, to see what their order is worth."""

PAIRS = 10_000
"""Pairs of items that come one after the other, whose texts are compared."""

SURE = 3.0
"""A difference counts if it is this many times its standard error."""

MUCH, SOME = 1.5, 1.1
"""A figure is much better, or somewhat better, than another that it exceeds by such a factor."""


@dataclass(frozen=True)
class DataWorth:
    """What was measured on a sample; N@10 is NDCG among all items that the user did not have before.

    Attributes:
        users, interactions, cases: size of the sample, and users whose last item was held out.
        popularity: N@10 of the items with most interactions.
        pairs: N@10 of counts of pairs of items of one user, in any order.
        rules: N@10 of counts of items that come after another, up to ten steps later.
        in_order, shuffled: N@10 of the items that follow the last one, in the order of the data and shuffled.
        order_error: standard error of the difference of these two.
        texts: how many times more similar the texts of neighbours in histories are than by chance; None without texts.
        texts_sure: whether that is more than chance.
        repeats: share of interactions with an item that the user had before.
        ties: share of interactions at the same moment as the user's one before; None without times.
        last_ties: share of users whose last item shares its moment with the one before; None without times.
        ascending: share of steps to an item further down in the catalog, of steps that change the item.
        leaks: what makes figures on this data doubtful, each in a sentence.
        verdict: in plain English, which models will matter.
    """

    users: int
    interactions: int
    cases: int
    popularity: float = 0.0
    pairs: float = 0.0
    rules: float = 0.0
    in_order: float = 0.0
    shuffled: float = 0.0
    order_error: float = 0.0
    texts: float | None = None
    texts_sure: bool = False
    repeats: float = 0.0
    ties: float | None = None
    last_ties: float | None = None
    ascending: float = 0.0
    leaks: tuple[str, ...] = ()
    verdict: str = ""

    @property
    def sequential(self) -> bool:
        """Tell whether the order of histories helps to find the next item.

        Example:
            >>> data_worth(data.catalog, data.interactions).sequential
            False
        """
        gain = self.in_order - self.shuffled
        return self.cases >= LEAST_CASES and gain > SURE * self.order_error and self.in_order > SOME * self.shuffled

    def lines(self) -> list[str]:
        """Return the figures and the verdict as lines of text.

        Example:
            >>> print(data_worth(data.catalog, data.interactions).lines()[0])
            what the data is worth, by 30 users whose last item is held out (N@10):
        """
        if not self.cases:
            return [self.verdict, *(f"leak: {leak}" for leak in self.leaks)]
        lines = [
            f"what the data is worth, by {self.cases:,} users whose last item is held out (N@10):",
            f"  popularity {self.popularity:.3f}, counts of pairs {self.pairs:.3f}, counts in order {self.rules:.3f}",
            f"  after the last item: {self.in_order:.3f} in order, {self.shuffled:.3f} with histories shuffled",
        ]
        if self.texts is not None:
            lines.append(f"  texts of neighbours in histories: {self.texts:.2f} times as similar as by chance")
        moments = "no times" if self.ties is None else f"same moment as the one before {self.ties:.0%}"
        lines.append(f"  repeated items {self.repeats:.0%} of interactions, {moments}")
        return [*lines, *(f"  leak: {leak}" for leak in self.leaks), f"  {self.verdict}"]


def data_worth(
    catalog: Catalog, interactions: Interactions, dropped: int = 0, seed: int = 0, decided: bool = False
) -> DataWorth:
    """Measure what data is worth.

    Args:
        catalog: the items.
        interactions: of all users.
        dropped: repeated interactions that were left out when the data was loaded.
        seed: of the sample and of shuffling.
        decided: fractions of seconds, which are not kept, decided the order of equal times.

    Example:
        >>> worth = data_worth(data.catalog, data.interactions)
        >>> worth.cases, worth.repeats
        (30, 0.0)
    """
    rng = np.random.default_rng(seed)
    sample = _sample(interactions, rng)
    train, tested = _held_out(sample, rng, len(catalog))
    found = tuple(leaks(catalog, interactions, sample))
    share = (_repeated(sample) / max(len(sample), 1) * len(interactions) + dropped) / (len(interactions) + dropped)
    ties, last_ties = (0.0, 0.0) if decided else _ties(sample)
    measured: dict[str, float] = {"repeats": share, "ascending": _ascending(sample)}
    if len(tested):
        measured |= _counts(train, tested, share > SEEN_AGAIN) | _order(train, tested, share > SEEN_AGAIN, rng)
    texts, texts_sure = _texts(catalog, sample, rng)
    worth = DataWorth(len(sample.users), len(sample), len(tested), texts=texts, texts_sure=texts_sure, ties=ties,
                      last_ties=last_ties, leaks=found)  # fmt: skip
    worth = replace(worth, **measured)  # type: ignore[arg-type]
    return replace(worth, verdict=verdict(worth))


SEEN_AGAIN = 0.05
"""Share of repeated interactions from which items of the history may come again."""


def _sample(interactions: Interactions, rng: np.random.Generator) -> Interactions:
    """Return the last interactions of random users, at most ``EVENTS`` or those of one user."""
    lengths = np.minimum(np.diff(interactions.offsets), RECENT)
    users = rng.permutation(len(lengths))
    chosen = np.zeros(len(lengths), bool)
    chosen[users[: max(1, int(np.searchsorted(np.cumsum(lengths[users]), EVENTS, "right")))]] = True
    from_end = interactions.offsets[1:][interactions.owners] - np.arange(len(interactions))
    return interactions.keep(chosen[interactions.owners] & (from_end <= RECENT))


def _held_out(
    sample: Interactions, rng: np.random.Generator, n_items: int
) -> tuple[Interactions, list[tuple[str, int]]]:
    """Return a sample without the last items of some users, and those users with these items."""
    users = np.flatnonzero(np.diff(sample.offsets) > 1)
    users = np.sort(rng.permutation(users)[: max(LEAST_CASES, min(CASES, 10**8 // n_items))])
    last = sample.offsets[users + 1] - 1
    kept = np.ones(len(sample), bool)
    kept[last] = False
    return sample.keep(kept), [
        (sample.users[user], int(sample.rows[place])) for user, place in zip(users, last, strict=True)
    ]


def _n_at_10(
    score: Callable[[Sequence[History]], NDArray[np.float32]],
    train: Interactions,
    tested: Sequence[tuple[str, int]],
    repeat: bool,
) -> NDArray[np.float64]:
    """Return N@10 of each held-out item."""
    cases = [Case(train.history(user), target) for user, target in tested]
    return ndcg_at(case_ranks(score, cases, train.n_items, repeat), 10)


def _counts(train: Interactions, tested: Sequence[tuple[str, int]], repeat: bool) -> dict[str, float]:
    """Return N@10 of popularity, of pairs in any order, and of pairs in order."""
    models = {"popularity": Popularity(), "pairs": ItemKNN(recency=0.0), "rules": SequentialRules()}
    return {
        name: float(_n_at_10(model.fit(train).score, train, tested, repeat).mean()) for name, model in models.items()
    }


def _order(
    train: Interactions, tested: Sequence[tuple[str, int]], repeat: bool, rng: np.random.Generator
) -> dict[str, float]:
    """Return N@10 of what follows the last item, in order and with every history shuffled; targets stay the last."""

    def after_last(log: Interactions) -> NDArray[np.float64]:
        model = SequentialRules(1, backward=0.0, smoothing=1.0, novelty=0.0).fit(log)
        return _n_at_10(lambda asked: model.score([history.last(1) for history in asked]), log, tested, repeat)

    def mixed() -> Interactions:
        order = np.lexsort((rng.random(len(train)), train.owners))
        return Interactions(train.users, train.offsets, train.rows[order], train.n_items)

    in_order, shuffled = after_last(train), np.mean([after_last(mixed()) for _ in range(SHUFFLES)], axis=0)
    error = float((in_order - shuffled).std() / np.sqrt(len(tested)))
    return {"in_order": float(in_order.mean()), "shuffled": float(shuffled.mean()), "order_error": error}


def _repeated(sample: Interactions) -> int:
    """Return how many interactions are with an item that the user had before."""
    return len(sample) - len(np.unique(sample.owners * sample.n_items + sample.rows))


def _steps(sample: Interactions) -> NDArray[np.int64]:
    """Return the positions of interactions that have one of the same user before them."""
    return np.flatnonzero(sample.owners[1:] == sample.owners[:-1]) + 1


def _ties(sample: Interactions) -> tuple[float | None, float | None]:
    """Return the share of interactions that are at the moment of the one before, of all and of the users' last."""
    if sample.times is None:
        return None, None
    steps = _steps(sample)
    tied = sample.times[steps] == sample.times[steps - 1]
    last = np.isin(steps, sample.offsets[1:] - 1)
    return (float(part.mean()) if len(part) else 0.0 for part in (tied, tied[last]))  # type: ignore[return-value]


def _ascending(sample: Interactions) -> float:
    """Return the share of steps to an item further down in the catalog."""
    steps = _steps(sample)
    moves = sample.rows[steps] - sample.rows[steps - 1]
    return float((moves > 0).sum() / max((moves != 0).sum(), 1))


def _texts(catalog: Catalog, sample: Interactions, rng: np.random.Generator) -> tuple[float | None, bool]:
    """Return how many times as similar the texts of consecutive items are as those of items paired by chance.

    Chance pairs the same items in another order, so that popular items are as frequent there.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    steps = _steps(sample)
    steps = rng.permutation(steps[sample.rows[steps] != sample.rows[steps - 1]])[:PAIRS]
    rows, pairs = np.unique(np.stack([sample.rows[steps - 1], sample.rows[steps]]), return_inverse=True)
    if len(rows) < 2:  # noqa: PLR2004 two to compare
        return None, False
    texts = [f"{catalog[row].describe()} {catalog[row].text}" for row in rows.tolist()]
    try:
        vectors = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=50_000).fit_transform(texts)
    except ValueError:  # no word is in two texts
        return None, False
    first, second = pairs.reshape(2, -1)
    other = rng.permutation(second)
    apart = first != other
    near, chance = (
        np.asarray(vectors[one].multiply(vectors[two]).sum(axis=1)).ravel()
        for one, two in ((first, second), (first[apart], other[apart]))
    )
    if not chance.mean() > 0:
        return None, False
    error = np.sqrt(near.var() / len(near) + chance.var() / len(chance))
    return float(near.mean() / chance.mean()), bool(near.mean() - chance.mean() > SURE * error)


def verdict(worth: DataWorth) -> str:
    """Return in plain English which models will matter.

    Example:
        >>> verdict(DataWorth(users=1, interactions=1, cases=0))
        'No user has two items, so nothing can be said about the data.'
    """
    if not worth.cases:
        return "No user has two items, so nothing can be said about the data."
    parts = [_about_order(worth), _about_counts(worth), _about_texts(worth)]
    if worth.repeats > SEEN_AGAIN:
        parts.append(
            f"Users come back to items ({worth.repeats:.0%} of interactions): set repeat = true and "
            'data.policies.duplicates = "keep", so that these can be learned and recommended.'
        )
    if worth.last_ties is not None and worth.last_ties > TIED:
        parts.append(
            f"For {worth.last_ties:.0%} of users the last two items have the same time, so the order of the file "
            "decides which item is to be found."
        )
    if worth.cases < LEAST_CASES:
        parts.append(f"With {worth.cases} users to test on, all of this is a guess.")
    return " ".join(parts)


TIED = 0.2
"""Share of users whose last two items are at one moment, from which it is said."""


def _about_order(worth: DataWorth) -> str:
    if worth.sequential:
        strength = "matters much" if worth.in_order > MUCH * worth.shuffled else "matters"
        return (
            f"The order of items {strength}: sequence models (sequential_rules, sasrec, the language model) will gain "
            "from it."
        )
    return "The order of items hardly matters: models that read sequences will gain little over those that count pairs."


def _about_counts(worth: DataWorth) -> str:
    counted = max(worth.pairs, worth.rules)
    if counted > MUCH * worth.popularity:
        return "What a user had tells much about the next item: ease and item_knn are far ahead of popularity."
    if counted > SOME * worth.popularity:
        return "What a user had tells something about the next item: ease and item_knn are ahead of popularity."
    return "What a user had tells little about the next item: popularity is nearly as good as any count of pairs."


def _about_texts(worth: DataWorth) -> str:
    if worth.texts is None:
        return "There are no texts that items share words of, so items without interactions cannot be told apart."
    if worth.texts_sure and worth.texts > MUCH:
        return "Items that follow each other have similar texts: text_knn and the language model can rank new items."
    if worth.texts_sure and worth.texts > SOME:
        return "Texts tell a little: items that follow each other are somewhat more similar than by chance."
    return "Texts tell hardly anything about what users have next."
