"""Metrics against slow, direct implementations, against scikit-learn, and against answers known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import mean_absolute_error, mean_squared_error, ndcg_score

from genre_gen import metrics
from genre_gen.data.history import History
from genre_gen.errors import UsageError


@st.composite
def questions(draw):
    """Scores with many ties (and some that are not finite), targets, allowed items."""
    users, items = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    values = st.sampled_from([0.0, 0.5, 1.0, 2.0, -math.inf, math.nan])
    scores = np.array(draw(st.lists(st.lists(values, min_size=items, max_size=items), min_size=users, max_size=users)))
    targets = np.array(draw(st.lists(st.integers(0, items - 1), min_size=users, max_size=users)))
    flags = st.lists(st.lists(st.booleans(), min_size=items, max_size=items), min_size=users, max_size=users)
    return scores, targets, np.array(draw(flags))


def slow_rank(scores, target, allowed):
    """One user, item by item: the average of the target's place in the best and in the worst order of its ties."""
    if not math.isfinite(scores[target]):
        return math.inf
    rivals = [s for i, s in enumerate(scores) if i != target and allowed[i] and math.isfinite(s)]
    best = 1 + sum(s > scores[target] for s in rivals)
    worst = 1 + sum(s >= scores[target] for s in rivals)
    return (best + worst) / 2


@given(questions())
def test_ranks_equal_the_slow_way(question):
    scores, targets, allowed = question
    kept, flags = scores.copy(), allowed.copy()
    expected = [slow_rank(scores[u], targets[u], allowed[u]) for u in range(len(scores))]
    np.testing.assert_array_equal(metrics.ranks(scores, targets, allowed), expected)
    np.testing.assert_array_equal(scores, kept)
    np.testing.assert_array_equal(allowed, flags)


def test_ranks_by_hand():
    scores = np.array([[0.9, 0.5, 0.7, 0.5]])
    assert metrics.ranks(scores, np.array([0])) == 1
    assert metrics.ranks(scores, np.array([1])) == 3.5  # two above, one tie
    forbidden = np.array([[False, True, True, True]])
    assert metrics.ranks(scores, np.array([1]), forbidden) == 2.5
    assert metrics.ranks(scores, np.array([0]), forbidden) == 1  # the target takes part even if it is not allowed


@pytest.mark.parametrize("k", [1, 3, 5, 10])
def test_ndcg_equals_scikit_learn(k):
    rng = np.random.default_rng(0)
    scores, targets = rng.random((50, 12)), rng.integers(0, 12, 50)
    ours = metrics.ndcg_at(metrics.ranks(scores, targets), k).mean()
    assert ours == pytest.approx(ndcg_score(np.eye(12)[targets], scores, k=k))


def test_metrics_by_hand():
    ranks = np.array([1, 2, 10, 10.5, np.inf])
    np.testing.assert_array_equal(metrics.recall_at(ranks, 10), [1, 1, 1, 0, 0])
    np.testing.assert_allclose(metrics.ndcg_at(ranks, 10), [1, 1 / np.log2(3), 1 / np.log2(11), 0, 0])
    np.testing.assert_allclose(metrics.mrr_at(ranks, 10), [1, 0.5, 0.1, 0, 0])


def test_ranks_in_lists():
    lists = np.array([[4, 2, 0], [4, 2, 0], [1, -1, -1]])
    np.testing.assert_array_equal(metrics.ranks_in_lists(lists, np.array([0, 3, 1])), [3, np.inf, 1])


def test_rating_errors_equal_scikit_learn():
    rng = np.random.default_rng(0)
    guess, truth = rng.uniform(1, 5, 100), rng.uniform(1, 5, 100)
    assert metrics.rmse(guess, truth) == pytest.approx(mean_squared_error(truth, guess) ** 0.5)
    assert metrics.mae(guess, truth) == pytest.approx(mean_absolute_error(truth, guess))


@pytest.mark.parametrize(("guess", "truth"), [([], []), ([1], [1, 2]), ([np.nan], [1]), ([1], [np.inf])])
def test_undefined_rating_errors(guess, truth):
    for metric in (metrics.rmse, metrics.mae):
        with pytest.raises(UsageError):
            metric(guess, truth)


def test_figures_of_lists():
    lists, counts = np.array([[0, 1], [0, -1]]), np.array([7, 3, 2, 0])
    assert metrics.coverage(lists, 4) == 0.5
    assert metrics.mean_popularity(lists, counts) == pytest.approx((7 + 3 + 7) / 3)
    # Counts plus one: 8, 4, 3, 1 of 16.
    assert metrics.novelty(lists, counts) == pytest.approx((1 + 2 + 1) / 3)
    assert metrics.novelty(np.array([[3]]), counts) == 4  # never seen, still finite
    empty = np.full((2, 2), -1)
    assert metrics.coverage(empty, 4) == 0
    assert math.isnan(metrics.novelty(empty, counts))
    assert math.isnan(metrics.mean_popularity(empty, counts))


def histories(*rows):
    return [History(np.array(one, dtype=np.int64)) for one in rows]


LABELS = sparse.csr_array(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]], dtype=float))
SHARES = sparse.csr_array(np.array([[0.5, 0.5, 0], [1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]]))


def test_gini_by_hand():
    assert metrics.gini(np.array([[0, 1], [2, 3]]), 4) == 0
    assert metrics.gini(np.array([[2, -1], [2, -1]]), 4) == 0.75
    assert metrics.gini(np.array([[0, 1], [0, -1]]), 3) == pytest.approx(
        4 / 9
    )  # exposure 0, 1, 2: (-2*0 + 0*1 + 2*2)/9
    assert math.isnan(metrics.gini(np.full((2, 2), -1), 4))


def test_popularity_lift_by_hand():
    counts, lists = np.array([8, 4, 2, 0]), np.array([[0, 1], [2, -1]])
    # Lists: (8 + 4) / 2 = 6 and 2, mean 4. Histories: 2 and (2 + 0) / 2 = 1, mean 1.5.
    assert metrics.popularity_lift(lists, histories([2], [2, 3]), counts) == pytest.approx(4 / 1.5 - 1)
    assert metrics.popularity_lift(lists, histories([0, 1], [2]), counts) == 0
    assert metrics.popularity_lift(lists, histories([], [2]), counts) == 0  # the first user is left out
    assert math.isnan(metrics.popularity_lift(lists, histories([], []), counts))
    assert math.isnan(metrics.popularity_lift(lists, histories([3], [3]), counts))  # nobody had what they had


def test_diversity_by_hand():
    lists = np.array([[0, 1, 2], [0, 1, -1], [1, -1, -1], [3, 0, -1]])
    expected = [(0.5 + 2 / 3 + 1) / 3, 0.5, np.nan, 1]
    np.testing.assert_allclose(metrics.diversity(lists, LABELS), expected)
    alike = sparse.csr_array(np.zeros((3, 2)))
    assert metrics.diversity(np.array([[0, 1, 2]]), alike) == 0  # nothing known of any: no variety to speak of
    assert len(metrics.diversity(np.zeros((0, 3), int), LABELS)) == 0


def test_calibration_by_hand():
    wanted = histories([0], [1], [3], [1, 2, 2, 3])
    lists = np.array([[0, 3], [2, -1], [0, 1], [-1, -1]])
    found = metrics.calibration(lists, wanted, SHARES)
    np.testing.assert_allclose(found, [0, math.log(100), np.nan, math.log(100)], atol=1e-12)
    # History: one item of label 0, one of labels 0 and 1: .75 and .25. List: label 0 alone.
    one = metrics.calibration(np.array([[1, 1]]), histories([0, 1]), SHARES)
    assert one == pytest.approx(0.75 * math.log(0.75 / (0.99 + 0.0075)) + 0.25 * math.log(100))


def test_figures_in_chunks_are_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    lists = np.stack([rng.permutation(12)[:5] for _ in range(9)])
    labels = sparse.csr_array((rng.random((12, 4)) < 0.4).astype(float))
    past = histories(*(rng.permutation(12)[: rng.integers(1, 6)] for _ in range(9)))
    whole = metrics.diversity(lists, labels), metrics.calibration(lists, past, labels)
    monkeypatch.setattr(metrics, "CHUNK", 2)
    np.testing.assert_array_equal(metrics.diversity(lists, labels), whole[0])
    np.testing.assert_array_equal(metrics.calibration(lists, past, labels), whole[1])


@st.composite
def shown(draw):
    """Lists of different items, -1 at their ends, histories, and items with few labels or none."""
    items, users, n = draw(st.integers(1, 8)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    lists = np.full((users, n), -1)
    for row in lists:
        rows = draw(st.lists(st.integers(0, items - 1), unique=True, max_size=n))
        row[: len(rows)] = rows
    past = histories(*draw(st.lists(st.lists(st.integers(0, items - 1), max_size=6), min_size=users, max_size=users)))
    flags = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=items, max_size=items)
    return lists, past, np.array(draw(flags), dtype=float)


@given(shown())
def test_figures_of_lists_equal_the_slow_way_within_their_bounds(question):
    lists, past, labels = question
    matrix, items = sparse.csr_array(labels), len(labels)
    shares = sparse.csr_array(labels / np.maximum(labels.sum(axis=1, keepdims=True), 1))
    gini, varied = metrics.gini(lists, items), metrics.diversity(lists, matrix)
    away = metrics.calibration(lists, past, shares)
    assert math.isnan(gini) or -1e-12 <= gini <= 1 - 1 / items + 1e-12
    for user, row in enumerate(lists):
        sets = [frozenset(np.flatnonzero(labels[item])) for item in row if item >= 0]
        pairs = [(a, b) for place, a in enumerate(sets) for b in sets[place + 1 :]]
        distances = [1 - len(a & b) / len(a | b) if a | b else 0 for a, b in pairs]
        np.testing.assert_allclose(varied[user], np.mean(distances) if pairs else np.nan, atol=1e-12)
        known = labels[past[user].rows].any()
        assert 0 <= away[user] <= math.log(100) + 1e-9 if known else math.isnan(away[user])
    same = np.array([[item] for item in range(items)])
    own = metrics.calibration(same, histories(*same.tolist()), shares)
    np.testing.assert_allclose(own[labels.any(axis=1)], 0, atol=1e-12)


def test_overlap_is_the_share_of_common_items():
    assert metrics.overlap("abcd", "dcxy") == 0.5
    assert metrics.overlap("ab", "abcd") == 0.5
    assert metrics.overlap("", "") == 1
    assert metrics.overlap("a", "") == 0


@given(st.permutations(range(8)), st.permutations(range(8)), st.integers(0, 8), st.integers(0, 8))
def test_rank_biased_overlap_is_the_agreement_at_every_depth(first, second, size, other):
    first, second = first[:size], second[:other]
    value = metrics.rank_biased_overlap(first, second)
    assert value == pytest.approx(metrics.rank_biased_overlap(second, first))
    assert 0 <= value <= 1 + 1e-12
    assert metrics.rank_biased_overlap(first, first) == pytest.approx(1)
    if size == other > 0:  # by its definition: the agreement at the end goes on for ever
        agreement = [len({*first[:depth]} & {*second[:depth]}) / depth for depth in range(1, size + 1)]
        agreement += [agreement[-1]] * 400
        weights = 0.1 * 0.9 ** np.arange(len(agreement))
        assert value == pytest.approx(weights @ agreement)


def test_rank_biased_overlap_weighs_the_top_most():
    best = list(range(10))
    swapped_at_the_top, swapped_at_the_end = [1, 0, *best[2:]], [*best[:8], 9, 8]
    assert metrics.rank_biased_overlap(best, swapped_at_the_top) < metrics.rank_biased_overlap(best, swapped_at_the_end)
    assert metrics.rank_biased_overlap(best, [item + 10 for item in best]) == 0
