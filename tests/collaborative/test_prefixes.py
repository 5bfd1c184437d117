"""Scores of all prefixes at once are those of each prefix alone."""

import numpy as np
import pytest

from genre_gen.collaborative import SVD, BayesianMF, Ease, ItemKNN, KNNBaseline, Popularity, SequentialRules, SVDpp
from genre_gen.collaborative.ease_weights import UserWeights
from genre_gen.collaborative.prefixes import prefix_chunks
from genre_gen.collaborative.running_sums import ERROR, FactoredSums, RunningSums, exponentials
from genre_gen.collaborative.together import seen_matrix
from genre_gen.data.interactions import Interactions
from genre_gen.errors import UsageError

N = 40
MAKERS = {
    "ease": lambda: Ease(recency=0.5),
    "ease without recency": lambda: Ease(recency=0.0),
    "item_knn": lambda: ItemKNN(recency=1.5),
    "sequential_rules": lambda: SequentialRules(recency=2.0),
    "popularity": Popularity,
    "svd": lambda: SVD(factors=5, epochs=3, duplicates="last"),
    "svdpp": lambda: SVDpp(factors=4, epochs=3, duplicates="last"),
    "bayesian_mf": lambda: BayesianMF(factors=3, warm_up=2, samples=4, apart=1, duplicates="last"),
    "knn_baseline": lambda: KNNBaseline(duplicates="last"),
}


def log(seed, lengths, distinct):
    """Interactions with rated, unrated and (unless distinct) repeated items."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(N)[:n] if distinct else rng.integers(0, N, n) for n in lengths]
    ratings = rng.integers(1, 6, sum(lengths)).astype(np.float32)
    ratings[rng.random(len(ratings)) < 0.2] = np.nan
    users = np.repeat([f"u{user}" for user in range(len(lengths))], lengths)
    return Interactions.from_columns(users, np.concatenate(rows), N, ratings)


LOGS = {
    "short": log(0, [1, 2, 5, 3, 1, 4, 7, 2] * 4, distinct=True),
    "long": log(1, [3, 40, 38, 2, 30], distinct=True),
    "repeats": log(2, [4, 150, 1, 9, 60], distinct=False),
}


@pytest.fixture(scope="module", params=LOGS)
def data(request):
    return LOGS[request.param]


@pytest.mark.parametrize("size", [1, 7, 32, 1000])
@pytest.mark.parametrize("name", MAKERS)
def test_scores_of_prefixes_are_those_of_the_histories(name, size, data):
    model = MAKERS[name]().fit(LOGS["repeats"])
    users = np.random.default_rng(4).permutation(len(data.users))
    scorer, seen = model.prefix_scorer(data), []
    for chunk in prefix_chunks(data, users, size):
        out = scorer.score(chunk).T
        assert len(chunk) <= size
        assert chunk.owners[0] == chunk.owners[-1] or chunk.places[0] == 0
        histories = [
            data.history_at(owner).slice(0, place + 1) for owner, place in zip(chunk.owners, chunk.places, strict=True)
        ]
        wanted = model.score(histories)
        scale = np.abs(wanted - wanted.mean(axis=1, keepdims=True)).max(axis=1, keepdims=True) + 1e-3
        difference = (out - out.mean(axis=1, keepdims=True)) - (wanted - wanted.mean(axis=1, keepdims=True))
        assert np.abs(difference / scale).max() < 1e-4
        assert chunk.distinct.tolist() == [len(set(history.rows.tolist())) for history in histories]
        seen += chunk.positions.tolist()
    last = data.offsets[1:] - 1
    assert sorted(seen) == np.setdiff1d(np.arange(len(data)), last).tolist()


def by_users(recency):
    """EASE whose weights are computed from users, as in catalogs of many items."""
    model, known = Ease(recency=recency), LOGS["repeats"]
    model.weights = UserWeights.fit(seen_matrix(known), model.l2)
    return model


@pytest.mark.parametrize("recency", [0.0, 1.0])
@pytest.mark.parametrize("repeat", [False, True])
def test_ease_by_way_of_users(recency, repeat, data):
    model = by_users(recency)
    scorer = model.prefix_scorer(data, repeat=repeat)
    assert isinstance(scorer, RunningSums)
    assert isinstance(scorer, FactoredSums) != repeat
    for chunk in prefix_chunks(data, np.arange(len(data.users)), 16):
        scores = scorer.score(chunk).T
        for of_prefix, owner, place in zip(scores, chunk.owners, chunk.places, strict=True):
            history = data.history_at(owner).slice(0, place + 1)
            wanted = model.score([history])[0]
            wanted[history.rows] = np.where(repeat, wanted, of_prefix)[history.rows]
            np.testing.assert_allclose(of_prefix, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("recency", [0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("longest", [1, 100, 3000, 10**5])
def test_exponentials_add_up_to_the_power_law(recency, longest):
    rates, shares = exponentials(recency, longest)
    ages = np.unique(np.round(np.geomspace(1, longest, 3000)))
    wanted = (1 + ages) ** -recency
    errors = np.abs(np.exp(-np.outer(ages, rates)) @ shares - wanted) / np.maximum(wanted, 1e-7)
    assert errors.max() < 2 * ERROR
    assert len(rates) <= 36


def test_a_rating_outside_the_scale_is_refused():
    model = SVD(factors=2, epochs=1, duplicates="last", rating_scale=(1.0, 5.0)).fit(LOGS["repeats"])
    wrong = Interactions.from_columns(["a"] * 3, np.array([0, 1, 2]), N, np.array([1.0, 9.0, 2.0], np.float32))
    scorer = model.prefix_scorer(wrong)
    chunk = next(prefix_chunks(wrong, np.arange(1), 8))
    with pytest.raises(UsageError, match="rates an item 9"):
        scorer.score(chunk)
