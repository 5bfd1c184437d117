"""Intervals and tests: against exact answers, and against how often they should be wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from genre_gen.errors import UsageError
from genre_gen.evaluation import significance
from genre_gen.evaluation.significance import holm, interval, paired_test


def test_interval_equals_the_normal_one_for_many_users():
    values = np.random.default_rng(0).integers(0, 2, 2000).astype(float)
    low, high = interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_equals_scipy():
    values = np.random.default_rng(1).exponential(size=200)
    expected = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    half = (expected.high - expected.low) / 2
    assert interval(values, samples=4000) == pytest.approx((expected.low, expected.high), abs=0.15 * half)


def test_the_interval_covers_the_true_value_at_its_level():
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(300):
        low, high = interval(rng.normal(size=100), level=0.9, samples=400, seed=seed)
        held += low <= 0 <= high
    assert 0.84 < held / 300 < 0.95


def test_interval_edges():
    assert interval(np.full(10, 0.25)) == (0.25, 0.25)
    assert np.isnan(interval(np.zeros(0))).all()
    values = np.random.default_rng(0).random(50)
    assert interval(values, seed=3) == interval(values, seed=3) != interval(values, seed=4)


def exact_p(differences):
    """All sign patterns, the definition of the test."""
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product([-1, 1], repeat=len(differences))]
    return np.mean(np.array(sums) >= abs(sum(differences)) - 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_paired_test_equals_all_sign_patterns(seed):
    rng = np.random.default_rng(seed)
    differences = rng.choice([-0.5, -0.3, 0.2, 0.5, 1.0], 10)
    p = paired_test(differences, np.zeros(10), samples=50_000)
    assert p == pytest.approx(exact_p(differences), abs=0.01)


def test_paired_test_is_symmetric_and_ignores_ties():
    rng = np.random.default_rng(0)
    a, b = rng.random(30), rng.random(30)
    padded_a, padded_b = np.concatenate([a, np.ones(500)]), np.concatenate([b, np.ones(500)])
    assert paired_test(a, b) == paired_test(b, a) == paired_test(padded_a, padded_b)


def test_paired_test_extremes():
    assert paired_test(np.ones(5), np.ones(5)) == 1.0
    assert paired_test(np.ones(200), np.zeros(200), samples=999) == 1 / 1000
    with pytest.raises(UsageError, match="got 2 and 3"):
        paired_test(np.ones(2), np.ones(3))


def test_the_paired_test_rarely_rejects_without_a_difference():
    rng = np.random.default_rng(0)
    found = sum(
        paired_test(*rng.integers(0, 2, (2, 200)).astype(float), samples=500, seed=s) < 0.05 for s in range(300)
    )
    assert found / 300 < 0.08


def test_blocks_do_not_change_the_number_of_samples(monkeypatch):
    monkeypatch.setattr(significance, "CHUNK", 100)
    values = np.random.default_rng(0).random(30)
    low, high = interval(values, samples=1001)
    assert low < values.mean() < high
    assert paired_test(np.ones(200), np.zeros(200), samples=999) == 1 / 1000


def test_holm():
    # Sorted: .01 * 4, .02 * 3, .03 * 2, .04 * 1, never decreasing.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])
    assert len(holm([])) == 0
