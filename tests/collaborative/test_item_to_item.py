"""Item-to-item models: what each item adds to the scores is the whole model."""

import numpy as np
import pytest

from genre_gen.collaborative import Ease, ItemKNN, SequentialRules, TextKNN, item_to_item
from genre_gen.collaborative.ease_weights import DenseWeights, UserWeights
from genre_gen.collaborative.item_to_item import ItemToItem
from genre_gen.collaborative.together import seen_matrix
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions

N = 30
MAKERS = {
    "ease": lambda recency: Ease(recency=recency),
    "item_knn": lambda recency: ItemKNN(recency=recency),
    "text_knn": lambda recency: TextKNN([f"w{row % 4} v{row % 7}" for row in range(N)], recency=recency),
    "sequential_rules": lambda recency: SequentialRules(recency=recency),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    return Interactions.from_columns(np.repeat(np.arange(40), 12), rng.integers(0, N, 480), N)


@pytest.mark.parametrize("recency", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("name", MAKERS)
def test_scores_are_sums_of_the_items_weights(name, recency, data, monkeypatch):
    model = MAKERS[name](recency).fit(data)
    history = History(np.array([3, 7, 3, 9]))  # the older 3 does not count
    weights = model.weights_of(np.array([7, 3, 9]))
    weights = weights if isinstance(weights, np.ndarray) else weights.toarray()
    wanted = (1.0 + np.array([2, 1, 0])) ** -recency @ weights
    assert model.n_items == N
    np.testing.assert_allclose(model.score([history])[0], wanted, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(item_to_item, "CELLS", 2 * N)  # two rows at a time
    monkeypatch.setattr(type(model), "weighted", ItemToItem.weighted)
    histories = [*data.histories()[:5], History(np.zeros(0, np.int64)), history]
    piecewise = model.score(histories)
    monkeypatch.undo()
    np.testing.assert_allclose(piecewise, model.score(histories), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("l2", [5.0, 200.0])
def test_ease_is_the_same_by_users_and_by_items(l2, data):
    few = seen_matrix(data)[:10]
    by_users, by_items = DenseWeights.fit(few, l2), DenseWeights.by_items(few, l2)
    np.testing.assert_allclose(by_users.matrix, by_items.matrix, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(by_users.diagonal, by_items.diagonal, rtol=1e-5)
    np.testing.assert_array_equal(by_users.matrix, DenseWeights.from_arrays(by_users.arrays()).matrix)
    whole = UserWeights.fit(few, l2)
    np.testing.assert_allclose(whole.whole(), whole.of(np.arange(N)), rtol=1e-4, atol=1e-7)
