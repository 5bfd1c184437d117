"""What members keep: so many bytes for each interaction and item, and nothing for each pair of items."""

import numpy as np
import pytest

from genre_gen.collaborative import MEMBERS, ItemKNN, SVDpp, ease
from genre_gen.collaborative.base import ModelContext
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import Interactions
from tests.collaborative.test_collaborative import log

USERS, ITEMS, EACH = 60, 900, 20
OPTIONS = {
    "svd": {"epochs": 1}, "svdpp": {"epochs": 1}, "bayesian_mf": {"warm_up": 0, "apart": 1},
}  # fmt: skip
LIMITS = {  # bytes for each interaction, and for each item
    "popularity": (0, 4), "ease": (2, 12), "sequential_rules": (6 * 20, 4), "item_knn": (0, 6 * 100 + 4),
    "text_knn": (0, 6 * 200 + 4), "svd": (0, 4 * 101 + 1), "svdpp": (0, 4 * 41 + 1), "knn_baseline": (10 * 20, 13),
    "bayesian_mf": (0, 2 * 2 * 50 * 11 + 1),
}  # fmt: skip
FIXED = {"ease": 2 * USERS**2 + 8 * USERS, "bayesian_mf": 60_000, "svd": 500 * USERS, "svdpp": 500 * USERS}


@pytest.fixture(scope="module")
def data() -> Interactions:
    rng = np.random.default_rng(0)
    histories = [np.unique((ITEMS * rng.random(EACH) ** 2).astype(int)) for _ in range(USERS)]
    ratings = [rng.integers(1, 6, len(history)).astype(np.float32) for history in histories]
    return log(histories, ITEMS, ratings)


@pytest.mark.parametrize("name", [name for name in MEMBERS.built_in() if name != "sasrec"])
def test_saved_arrays_grow_with_items_and_interactions(name, data, monkeypatch):
    monkeypatch.setattr(ease, "DENSE_ITEMS", 500)
    items = [Item(str(row), f"word{row % 40} title{row}", {}) for row in range(ITEMS)]
    context = ModelContext(Catalog(items), (1.0, 5.0))
    model = MEMBERS[name].for_data(context, **OPTIONS.get(name, {})).fit(data)
    size = sum(array.nbytes for array in model.arrays().values())
    by_interaction, by_item = LIMITS[name]
    assert size <= by_interaction * len(data) + by_item * (ITEMS + 1) + FIXED.get(name, 0)
    assert size < 8 * ITEMS**2 / 4 or name == "bayesian_mf"  # whose samples are many


def test_similarities_restored_from_two_byte_columns_are_the_same(data):
    model = ItemKNN().fit(data)
    arrays = model.arrays()
    assert arrays["similar.indices"].dtype == np.uint16
    restored = ItemKNN.from_arrays(arrays, model.settings()).similar
    np.testing.assert_array_equal(restored.toarray(), model.similar.toarray())


def test_ratings_are_kept_in_single_precision(data):
    model = SVDpp(factors=2, epochs=1, rating_scale=(1.0, 5.0)).fit(data)
    assert {array.dtype for name, array in model.arrays().items() if "factors" in name} == {np.dtype(np.float32)}
