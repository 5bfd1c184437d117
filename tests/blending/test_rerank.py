"""Re-ranking: the greedy rules done slowly, nothing that is not allowed, and off where it is off."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from genre_gen.blending.rerank import METHODS, calibrated, cosine, mmr, relative, rerank
from genre_gen.data.history import History
from genre_gen.data.labels import Labels
from genre_gen.domain import Domain, RerankSettings
from genre_gen.errors import ConfigError
from genre_gen.metrics import calibration, diversity
from genre_gen.ranking import Ranking

WEIGHTS = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0])


def labels_of(matrix):
    matrix = np.asarray(matrix, dtype=float)
    return Labels("genre", tuple(str(column) for column in range(matrix.shape[1])), sparse.csr_array(matrix))


def history(*rows):
    return History(np.array(rows, dtype=np.int64))


@st.composite
def requests(draw):
    """Scores with ties and gaps, allowed items, a history, n, and items with few labels or none."""
    size = draw(st.integers(1, 9))
    values = st.sampled_from([0.0, 0.25, 1.0, 2.0, 5.0, -math.inf, math.nan])
    scores = np.array(draw(st.lists(values, min_size=size, max_size=size)), dtype=np.float32)
    allowed = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    past = history(*draw(st.lists(st.integers(0, size - 1), max_size=5)))
    flags = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=size, max_size=size)
    return scores, allowed, past, draw(st.integers(1, size)), labels_of(draw(flags))


def equal(one, other):
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.scores, other.scores)


def slow(ranking, n, worth):
    """Pick one by one, item by item; the first of equals."""
    picked = []
    while len(picked) < min(n, len(ranking)):
        left = [place for place in range(len(ranking)) if place not in picked]
        picked.append(max(left, key=lambda place: worth(place, picked)))
    return Ranking(ranking.rows[sorted(picked)], ranking.scores[sorted(picked)])


@given(requests(), WEIGHTS)
def test_mmr_equals_the_slow_way(request, weight):
    scores, allowed, _, n, labels = request
    candidates = Ranking.from_scores(scores, None, allowed)
    sets = [frozenset(np.flatnonzero(row)) for row in labels.matrix.toarray()[candidates.rows]]
    value = relative(candidates.scores)

    def alike(one, other):
        return len(sets[one] & sets[other]) / len(sets[one] | sets[other]) if sets[one] | sets[other] else 1.0

    def worth(place, picked):
        return (1 - weight) * value[place] - weight * max((alike(place, other) for other in picked), default=0.0)

    equal(mmr(candidates, labels.similarity(candidates.rows), weight, n), slow(candidates, n, worth))


def test_calibrated_equals_the_slow_way():
    rng = np.random.default_rng(0)
    for _ in range(50):
        shares = rng.dirichlet(np.full(4, 0.3), 12) * (rng.random((12, 1)) < 0.8)
        wanted, weight = rng.dirichlet(np.full(4, 0.5)), rng.random()
        candidates = Ranking.from_scores(rng.normal(size=12).astype(np.float32))
        parts, value = shares[candidates.rows], relative(candidates.scores)

        def worth(place, picked, parts=parts, value=value, wanted=wanted, weight=weight):
            chosen = parts[[*picked, place]]
            mix = chosen.sum(axis=0) / max(chosen.sum(), 1.0)
            mixed = 0.99 * mix + 0.01 * wanted
            return (1 - weight) * value[place] - weight * float((wanted * np.log(wanted / mixed)).sum())

        equal(calibrated(candidates, parts, wanted, weight, 5), slow(candidates, 5, worth))


@given(requests(), st.sampled_from(["none", *METHODS]), WEIGHTS, st.integers(1, 10))
@settings(max_examples=300)
def test_lists_contain_allowed_items_and_are_full(request, method, weight, candidates):
    scores, allowed, past, n, labels = request
    found = rerank(
        RerankSettings(method=method, weight=weight, candidates=candidates), scores, allowed, past, n, labels
    )
    usable = np.flatnonzero(allowed & np.isfinite(scores))
    assert len(found) == min(n, len(usable))
    assert len(set(found.rows.tolist())) == len(found)
    assert set(found.rows.tolist()) <= set(usable.tolist())
    np.testing.assert_array_equal(found.scores, scores[found.rows])
    assert (np.diff(found.scores) <= 0).all()
    assert (found.rows.dtype, found.scores.dtype) == (np.int64, np.float32)


@given(requests(), st.sampled_from(sorted(METHODS)))
def test_weight_0_is_the_ranking_itself(request, method):
    scores, allowed, past, n, labels = request
    expected = Ranking.from_scores(scores, n, allowed)
    equal(rerank(RerankSettings(method=method, weight=0.0), scores, allowed, past, n, labels), expected)
    equal(rerank(RerankSettings(method="none", weight=0.7), scores, allowed, past, n, None), expected)
    candidates = Ranking.from_scores(scores, None, allowed)
    shares = labels.shares[candidates.rows].toarray()
    equal(mmr(candidates, labels.similarity(candidates.rows), 0.0, n), expected)
    equal(calibrated(candidates, shares, np.array([0.5, 0.5, 0.0]), 0.0, n), expected)


def test_mmr_by_hand():
    # The second item is the first one's twin, the third is different.
    scores, labels = np.array([1.0, 0.9, 0.5, 0.0], np.float32), labels_of([[1, 0], [1, 0], [0, 1], [1, 0]])
    allowed = np.ones(4, bool)
    for weight, rows in ((0.2, [0, 1]), (0.5, [0, 2]), (1.0, [0, 2])):
        found = rerank(RerankSettings(method="mmr", weight=weight), scores, allowed, history(), 2, labels)
        assert found.rows.tolist() == rows


def test_calibration_by_hand():
    # Had: two of label 0 and one of label 1. By score alone the list would hold label 0 only.
    labels = labels_of([[1, 0], [1, 0], [0, 1], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1]])
    scores, past = np.array([0, 0, 0, 9, 8, 7, 6, 0], np.float32), history(0, 1, 2)
    allowed = np.array([False] * 3 + [True] * 5)
    found = rerank(RerankSettings(method="calibration", weight=0.9), scores, allowed, past, 3, labels)
    assert found.rows.tolist() == [3, 4, 6]


def test_re_ranking_improves_its_measure():
    rng = np.random.default_rng(0)
    labels = labels_of(rng.random((80, 6)) < rng.random(6) * 0.6)
    past = [history(*rng.permutation(80)[:15]) for _ in range(60)]
    scores = rng.normal(size=(60, 80)).astype(np.float32)

    def lists(method, weight):
        chosen = RerankSettings(method=method, weight=weight, candidates=40)
        return np.stack(
            [rerank(chosen, scores[u], np.ones(80, bool), past[u], 8, labels).rows for u in range(len(past))]
        )

    varied = [diversity(lists("mmr", weight), labels.matrix).mean() for weight in (0.0, 0.3, 0.9)]
    away = [calibration(lists("calibration", weight), past, labels.shares).mean() for weight in (0.0, 0.3, 0.9)]
    assert varied == sorted(varied)
    assert varied[-1] > varied[0] + 0.1
    assert away == sorted(away, reverse=True)
    assert away[-1] < away[0] / 3


def test_a_history_without_labels_gets_the_best_scored():
    scores, labels = np.array([0, 1, 2, 3], np.float32), labels_of([[0, 0], [1, 0], [0, 1], [1, 1]])
    for past in (history(), history(0)):
        found = rerank(RerankSettings(method="calibration", weight=0.9), scores, np.ones(4, bool), past, 2, labels)
        assert found.rows.tolist() == [3, 2]


def test_lists_longer_than_the_candidates_continue_by_score():
    scores, labels = np.arange(6, dtype=np.float32), labels_of(np.eye(6))
    found = rerank(
        RerankSettings(method="mmr", weight=0.5, candidates=2), scores, np.ones(6, bool), history(), 4, labels
    )
    equal(found, Ranking.from_scores(scores, 4))


def test_cosine_and_relative():
    found = cosine(np.array([[2.0, 0], [1, 1], [-3, 0], [0, 0]], np.float32))
    half = math.sqrt(0.5)
    np.testing.assert_allclose(found, [[1, half, 0, 0], [half, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], atol=1e-12)
    np.testing.assert_array_equal(relative(np.array([3, 2, -1], np.float32)), [1, 0.75, 0])
    np.testing.assert_array_equal(relative(np.array([2, 2], np.float32)), [0, 0])
    assert len(relative(np.zeros(0))) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "mrr"}, r"rerank\.method: .*'none', 'mmr' or 'calibration' \(it is 'mrr'\)"),
        ({"weight": 1.1}, r"rerank\.weight: .*less than or equal to 1 \(it is 1\.1\)"),
        ({"weight": math.nan}, r"rerank\.weight: "),
        ({"candidates": 0}, r"rerank\.candidates: .*greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_meant(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Domain.load("movies").changed({f"rerank.{key}": value for key, value in wrong.items()})


def test_every_method_can_be_set():
    for method in METHODS:
        assert Domain.load("movies").changed({"rerank.method": method}).rerank.method == method
    assert Domain.load("movies").rerank == RerankSettings(method="none")


def test_labels_are_needed():
    with pytest.raises(ConfigError, match=r"'mmr' needs items with labels; .* set rerank\.method = .none."):
        rerank(RerankSettings(method="mmr", weight=0.5), np.zeros(3, np.float32), np.ones(3, bool), history(), 2, None)
