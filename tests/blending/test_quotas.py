"""Quotas: no group has more than its share, and where groups do not overlap no other list scores more."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genre_gen.blending.quotas import Groups, Quotas, best_within
from genre_gen.blending.rerank import calibrated, mmr
from genre_gen.ranking import Ranking


def groups_of(values):
    """Return the groups of items with these lists of values."""
    pairs = [(row, value) for row, own in enumerate(values) for value in own]
    rows, numbers = np.array(pairs, np.int64).reshape(-1, 2).T
    return Groups.from_pairs(rows, numbers)


def kept(rows, values, limit):
    counts = np.bincount([value for row in rows for value in set(values[row])], minlength=1)
    return counts.max() <= limit


SINGLE = st.integers(1, 9).flatmap(
    lambda size: st.tuples(
        st.lists(st.integers(-3, 3), min_size=size, max_size=size),
        st.lists(st.lists(st.integers(0, 2), max_size=1), min_size=size, max_size=size),
        st.lists(st.booleans(), min_size=size, max_size=size),
    )
)
LISTS = st.integers(1, 9).flatmap(
    lambda size: st.tuples(
        st.lists(st.integers(-3, 3), min_size=size, max_size=size),
        st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=size, max_size=size),
        st.lists(st.booleans(), min_size=size, max_size=size),
    )
)


@given(SINGLE, st.integers(1, 6), st.integers(1, 3))
def test_no_list_within_a_quota_on_single_values_scores_more(drawn, n, limit):
    scores, values, allowed = np.array(drawn[0], np.float32), drawn[1], np.array(drawn[2])
    best = best_within(scores, n, allowed, Quotas([(groups_of(values), limit)], len(scores)))
    rows = best.rows.tolist()
    assert best.scores.tolist() == scores[rows].tolist() == sorted(scores[rows].tolist(), reverse=True)
    assert kept(rows, values, limit)
    others = [
        list(some)
        for some in itertools.combinations(np.flatnonzero(allowed).tolist(), len(rows))
        if kept(some, values, limit)
    ]
    assert scores[rows].sum() == max(scores[some].sum() for some in others)
    longer = itertools.combinations(np.flatnonzero(allowed).tolist(), len(rows) + 1)
    assert len(rows) == n or not any(kept(some, values, limit) for some in longer)


@given(LISTS, st.integers(1, 6), st.integers(1, 3))
def test_with_labels_of_lists_the_first_items_are_the_best_and_nothing_can_be_added(drawn, n, limit):
    scores, values, allowed = np.array(drawn[0], np.float32), drawn[1], np.array(drawn[2])
    rows = best_within(scores, n, allowed, Quotas([(groups_of(values), limit)], len(scores))).rows.tolist()
    expected = []
    for row in Ranking.from_scores(scores, None, allowed).rows.tolist():  # the definition, item by item
        if len(expected) < n and kept([*expected, row], values, limit):
            expected.append(row)
    assert rows == expected


def test_without_quotas_it_is_the_ranking():
    n = 5
    scores = np.random.default_rng(0).normal(size=50).astype(np.float32)
    allowed = scores > -1
    np.testing.assert_array_equal(best_within(scores, n, allowed).rows, Ranking.from_scores(scores, n, allowed).rows)
    open_quotas = Quotas([(Groups.from_mask(np.ones(50, bool)), 50)], 50)
    np.testing.assert_array_equal(
        best_within(scores, n, allowed, open_quotas).rows, Ranking.from_scores(scores, n, allowed).rows
    )


def test_it_looks_as_deep_as_it_must():
    scores = np.arange(1000, 0, -1).astype(np.float32)
    first = np.arange(1000) < 990  # all but the last ten are of one group
    ranking = best_within(scores, 5, np.ones(1000, bool), Quotas([(Groups.from_mask(first), 1)], 1000))
    assert ranking.rows.tolist() == [0, 990, 991, 992, 993]
    assert len(best_within(scores, 20, first, Quotas([(Groups.from_mask(first), 3)], 1000))) == 3
    assert len(best_within(scores, 5, np.zeros(1000, bool), Quotas([(Groups.from_mask(first), 3)], 1000))) == 0


def test_a_copy_counts_for_itself():
    quotas = Quotas([(Groups.from_mask(np.array([True, True, False])), 2)], 3)
    quotas.take(0)
    other = quotas.copy()
    other.take(1)
    assert other.blocked.tolist() == [True, True, False]
    assert not quotas.blocked.any()


def test_a_value_twice_counts_once():
    quotas = Quotas([(Groups.from_pairs(np.array([0, 0, 1]), np.array([4, 4, 4])), 2)], 2)
    quotas.take(0)
    assert not quotas.blocked.any()


@given(LISTS, st.integers(1, 6), st.integers(1, 2), st.floats(0, 1))
def test_re_ranking_picks_within_quotas(drawn, n, limit, weight):
    scores, values, allowed = np.array(drawn[0], np.float32), drawn[1], np.array(drawn[2])
    candidates = Ranking.from_scores(scores, None, allowed)
    likeness = np.eye(len(candidates))
    shares = np.eye(4)[[own[0] if own else 0 for own in values]][candidates.rows]

    def limits():
        return Quotas([(groups_of(values), limit)], len(scores))

    for ranking in (
        mmr(candidates, likeness, weight, n, limits()),
        calibrated(candidates, shares, np.array([0.5, 0.5, 0, 0]), weight, n, limits()),
        calibrated(candidates, shares, np.zeros(4), weight, n, limits()),
    ):
        rows = ranking.rows.tolist()
        assert kept(rows, values, limit)
        assert ranking.scores.tolist() == sorted(ranking.scores.tolist(), reverse=True)
        rest = set(candidates.rows.tolist()) - set(rows)
        assert len(rows) == n or not any(kept([*rows, row], values, limit) for row in rest)
