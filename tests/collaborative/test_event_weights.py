"""Weights of kinds of events in the models that count: by hand on small logs, and the same after saving."""

import numpy as np
import pytest

from genre_gen.collaborative import Ease, ItemKNN, Popularity, SequentialRules, ease
from genre_gen.collaborative.ease_weights import DenseWeights, SparseWeights, UserWeights
from genre_gen.collaborative.embeddings import _cooccurrences
from genre_gen.collaborative.together import seen_matrix
from genre_gen.data.events import EventKinds
from genre_gen.data.interactions import Interactions

VIEW, BUY = 0, 1
N_ITEMS = 4
EVENTS = [
    ("ann", 0, VIEW), ("ann", 1, BUY), ("ann", 0, BUY), ("ann", 0, VIEW),
    ("ben", 1, VIEW), ("ben", 2, BUY),
    ("cat", 0, BUY), ("cat", 2, VIEW), ("cat", 3, VIEW),
]  # fmt: skip


def log(weights=(0.5, 1.0), events=EVENTS):
    users, rows, kinds = zip(*events, strict=True)
    names = EventKinds(("view", "buy"), weights, (True, True))
    return Interactions.from_columns(
        users, np.array(rows), N_ITEMS, times=np.arange(len(rows)), kinds=names, kind_of=np.array(kinds, np.uint8)
    )


def many():
    """60 users with some of 12 items, by either kind of event."""
    rng = np.random.default_rng(1)
    users, rows = np.repeat(np.arange(60), 12).astype(str), (12 * rng.random(720) ** 2).astype(np.int64)
    kinds = EventKinds(("view", "buy"), (0.25, 1.0), (True, True))
    return Interactions.from_columns(
        users, rows, 12, times=np.arange(720), kinds=kinds, kind_of=rng.integers(0, 2, 720).astype(np.uint8)
    )


def plain(interactions):
    """Return the same interactions without kinds."""
    return Interactions(
        interactions.users, interactions.offsets, interactions.rows, interactions.n_items, times=interactions.times
    )


MODELS = [Popularity, SequentialRules, ItemKNN, Ease]


@pytest.mark.parametrize("model", MODELS)
def test_equal_weights_of_one_are_bit_for_bit_those_of_a_log_without_kinds(model):
    equal = log(weights=(1.0, 1.0))
    ours, theirs = model().fit(equal).arrays(), model().fit(plain(equal)).arrays()
    assert {name: array.tobytes() for name, array in ours.items()} == {
        name: array.tobytes() for name, array in theirs.items()
    }


def test_popularity_adds_weights_up():
    counts = np.expm1(Popularity().fit(log()).log_counts)
    np.testing.assert_allclose(counts, [0.5 + 1 + 0.5 + 1, 1.5, 1.5, 0.5], rtol=1e-6)
    day = 86_400
    aged = log()
    aged = Interactions(
        aged.users, aged.offsets, aged.rows, N_ITEMS, times=aged.times * day, kinds=aged.kinds, kind_of=aged.kind_of
    )
    halved = np.expm1(Popularity(half_life_days=1).fit(aged).log_counts)
    np.testing.assert_allclose(halved[3], 0.5)
    np.testing.assert_allclose(halved[2], 1.0 * 0.5**3 + 0.5 * 0.5, rtol=1e-6)


def test_an_item_of_a_user_counts_by_the_strongest_event():
    seen = seen_matrix(log()).toarray()
    np.testing.assert_allclose(seen, [[1, 1, 0, 0], [0, 0.5, 1, 0], [1, 0, 0.5, 0.5]])


def test_a_transition_counts_by_both_of_its_events():
    rules = SequentialRules(lags=1, decay=0.0, backward=0.0, smoothing=1e-9, novelty=0.0)
    counts = rules._forward(log()).toarray()
    assert counts[0, 1] == 0.5 * 1.0  # ann viewed 0, then bought 1
    assert counts[1, 0] == 1.0
    assert counts[1, 2] == 0.5
    assert (counts[0, 2], counts[2, 3]) == (0.5, 0.25)
    both = _cooccurrences(log(), 1).toarray()
    assert both[0, 1] == 1.5
    assert both[2, 3] == 0.25


def test_item_knn_is_the_cosine_of_weights():
    similar = ItemKNN(shrink=0.0).fit(log()).similar.toarray()
    users = seen_matrix(log()).toarray()
    lengths = np.linalg.norm(users, axis=0)
    expected = users.T @ users / np.outer(lengths, lengths)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(similar, expected, rtol=1e-6)


def expected_ease(interactions, l2):
    users = seen_matrix(interactions).toarray()
    inverse = np.linalg.inv(users.T @ users + l2 * np.eye(users.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


@pytest.mark.parametrize("form", [DenseWeights, UserWeights, SparseWeights])
def test_ease_solves_for_the_weighted_matrix_in_each_form_and_keeps_it_when_saved(form, monkeypatch):
    monkeypatch.setattr(ease, "form_for", lambda interactions: form)
    interactions = many()
    model = Ease(l2=5.0).fit(interactions)
    rows = np.arange(12)
    weights = model.weights_of(rows)
    dense = weights.toarray() if form is SparseWeights else np.asarray(weights)
    np.testing.assert_allclose(dense, expected_ease(interactions, 5.0), atol=1e-5)
    assert np.abs(dense - expected_ease(plain(interactions), 5.0)).max() > 0.01
    restored = Ease.from_arrays(model.arrays(), model.settings())
    histories = interactions.histories()[:5]
    assert restored.score(histories).tobytes() == model.score(histories).tobytes()
    if form is UserWeights:
        assert "seen.data" in model.arrays()
        assert "seen.data" not in Ease(l2=5.0).fit(plain(interactions)).arrays()
