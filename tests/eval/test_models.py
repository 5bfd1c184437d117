import numpy as np
import pytest
from eval_data import ITEMS, cycles

from eval.models import implicit_models, surprise_models
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.errors import DataError


def history(*rows, user=None):
    return History(np.array(rows, dtype=np.int64), user=user)


@pytest.mark.parametrize("kind", ["BPR", "ALS"])
def test_implicit_models_rank_interacted_items_above_the_rest(kind):
    pytest.importorskip("implicit")
    taken = [(user, row) for user in range(20) for row in range(user % 2, ITEMS, 2) if row != user % ITEMS]
    data = Interactions.from_columns([f"u{user}" for user, _ in taken], np.array([row for _, row in taken]), ITEMS)
    make = getattr(implicit_models, kind)
    scores = make(factors=8, seed=3).fit(data).score(data.histories())
    assert scores.shape == (20, ITEMS)
    assert scores.dtype == np.float32
    for user in range(20):
        assert scores[user, user % 2 :: 2].min() > scores[user, 1 - user % 2 :: 2].max()
    np.testing.assert_array_equal(scores, make(factors=8, seed=3).fit(data).score(data.histories()))
    assert make(factors=8).fit(data).score([history(0, 2, user="nobody")]).shape == (1, ITEMS)


def surprises_own(model, data):
    """Return Surprise's own predictions for all users, and for an unknown one."""
    algorithm = model._algorithm().fit(surprise_models._trainset(data))
    users = [*range(len(data.users)), "nobody"]
    return [[algorithm.predict(user, row, clip=False).est for row in range(ITEMS)] for user in users]


@pytest.mark.parametrize("kind", ["SurpriseSVD", "SurpriseSVDpp", "SurpriseKNN"])
def test_surprise_models_give_the_predictions_of_surprise(kind):
    data = cycles(users=9, rated=True)
    data = data.keep(data.rows != 5)  # an item without ratings
    model = getattr(surprise_models, kind)()
    scores = model.fit(data).score([*data.histories(), history(1, user="nobody")])
    np.testing.assert_allclose(scores, surprises_own(model, data), rtol=1e-5)


def test_only_the_nearest_neighbours_count():
    data = cycles(users=11, rated=True)
    model = surprise_models.SurpriseKNN(neighbours=2, shrinkage=3.0)
    scores = model.fit(data).score(data.histories())
    np.testing.assert_allclose(scores, surprises_own(model, data)[:-1], rtol=1e-5)


def test_surprise_models_need_ratings():
    with pytest.raises(DataError, match="no ratings"):
        surprise_models.SurpriseSVD().fit(cycles())
