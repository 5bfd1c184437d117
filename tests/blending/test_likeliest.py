"""The best items of a blend are those of the blend itself, up to rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.blending.blend import blended
from genre_gen.blending.likeliest import Excluded, best_items, likeliest

SIZES = [1, 2, 7, 50, 333, 2000]


def excluded_of(allowed):
    everywhere = np.flatnonzero(~allowed.any(axis=0))[::2]
    histories, rows = np.nonzero(~allowed)
    twice = len(histories) // 2  # naming a cell twice changes nothing
    histories, rows = (np.concatenate([part, part[:twice]]) for part in (histories, rows))
    return Excluded(everywhere, rows, histories, allowed.sum(axis=1))


def reference(scores, weights, allowed):
    names = [str(number) for number in range(len(scores))]
    return blended(dict(zip(names, scores, strict=True)), dict(zip(names, weights, strict=True)), allowed).total


def compare(scores, weights, allowed, top):
    total = reference(scores, weights, allowed)
    by_item = [np.array(of_member.T, np.float32, order="C") for of_member in scores]
    rows, values = likeliest(by_item, weights, excluded_of(allowed), allowed.shape[1], top)
    assert rows.shape == values.shape == (len(allowed), top)
    wanted = -np.sort(-total, axis=1)[:, :top]
    for best, value, want, of_all in zip(rows, values, wanted, total, strict=True):
        assert len(set(best.tolist())) == top
        assert 0 <= best.min() <= best.max() < total.shape[1]
        if want[0] <= 0 or not np.isfinite(want[0]):  # all scores are equal, or nothing is allowed
            assert (value == -np.inf).all()
            continue
        np.testing.assert_allclose(of_all[best], want, atol=2e-4)
        finite = np.isfinite(want)
        assert (np.isfinite(value) == finite).all()
        np.testing.assert_allclose((value - value[0])[finite], (want - want[0])[finite], atol=2e-4)


@given(st.integers(0, 10**6), st.sampled_from(SIZES), st.integers(1, 4), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_best_items_are_those_of_the_blend(seed, n_items, members, share):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(members, 5, n_items)) * rng.choice([1e-3, 1.0, 1e3], (members, 1, 1))
    scores[rng.random(scores.shape) < 0.5] = 0.0  # sparse members tie
    scores[:, 4] = 0.7  # says nothing
    allowed = rng.random((5, n_items)) < share
    compare(scores, rng.random(members) + 0.1, allowed, int(rng.integers(1, n_items + 1)))


@pytest.mark.parametrize("level", [0.1, 3.5, 1000.0])
def test_scores_far_from_0_and_constant_ones(level):
    rng = np.random.default_rng(0)
    close = level + rng.normal(size=(4, 300)) * np.array([[0.0], [1e-3], [1e-2], [1.0]])
    scores = np.stack([close, np.full((4, 300), level)]).astype(np.float32)
    compare(scores, [0.5, 0.5], rng.random((4, 300)) < 0.9, 20)


@pytest.mark.parametrize("wrong", [np.nan, -np.inf])
def test_members_without_a_score_for_some_items(wrong):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 4, 300)).astype(np.float32)
    scores[0, :, ::7] = wrong
    compare(scores, [0.5, 0.5], rng.random((4, 300)) < 0.9, 20)


@pytest.mark.parametrize("block", [1, 4, 50])
def test_equal_scores_come_in_the_order_of_rows(block):
    scores = np.repeat(np.float32([[0.0, 2.0, 1.0, 2.0]]), 50, axis=1).reshape(1, 200)
    rows, values = best_items(np.repeat(scores, 3, axis=0).T.copy(), block, 4)
    assert (values == 2.0).all()
    assert (np.diff(rows, axis=1) > 0).all()
