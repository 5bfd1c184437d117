"""Fitted models in a catalog that has got more items since."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import sparse

from genre_gen import History, Interactions, Item
from genre_gen.collaborative import SVD, CollaborativeModel
from genre_gen.collaborative.ease import Ease
from genre_gen.collaborative.item_knn import ItemKNN, strongest
from genre_gen.collaborative.knn_baseline import KNNBaseline
from genre_gen.collaborative.late_texts import LateTexts
from genre_gen.collaborative.popularity import Popularity
from genre_gen.collaborative.sequential_rules import SequentialRules
from genre_gen.collaborative.svdpp import SVDpp
from genre_gen.collaborative.text_knn import TextKNN, TextVectors
from genre_gen.errors import ConfigError

HISTORIES = [History(np.array(rows, np.int64)) for rows in ([], [3], [5, 1, 7, 2])]
RATED = [History(np.array([5, 1, 7]), np.array([5, 1, 4], np.float32))]


@pytest.mark.parametrize("make", [Popularity, Ease, ItemKNN, SequentialRules, SVD, SVDpp, KNNBaseline])
def test_counting_models_keep_their_scores_and_skip_late_items(make, dataset):
    model = (make if make in (Popularity, Ease, ItemKNN, SequentialRules) else lambda: make(duplicates="last"))()
    model.fit(dataset.interactions)
    n_items = len(dataset.catalog)
    larger = model.with_items(n_items + 3)
    for histories in (HISTORIES, RATED):
        before, after = model.score(histories), larger.score(histories)
        assert after.shape == (len(histories), n_items + 3)
        np.testing.assert_allclose(after[:, :n_items], before, rtol=1e-6)
        assert np.isfinite(after).all()
        late = [
            History(
                np.insert(history.rows, len(history) // 2, n_items + 1),
                None if history.ratings is None else np.insert(history.ratings, len(history) // 2, np.float32(5)),
            )
            for history in histories
        ]
        np.testing.assert_array_equal(larger.score(late), after)
    assert model.score(HISTORIES).shape[1] == n_items  # the model itself is as it was


def test_a_rater_tells_that_it_has_no_ratings_of_a_late_item(dataset):
    model = SVD(duplicates="last").fit(dataset.interactions).with_items(len(dataset.catalog) + 1)
    (told,) = model.predict(RATED[0], [len(dataset.catalog)])
    assert told.reason == "this item has no training ratings: mean and user only"


def test_a_content_based_model_that_cannot_read_further_texts_is_refused(dataset):
    class Words(CollaborativeModel):
        name, content_based = "words", True

        def fit(self, interactions):
            return self

        def score(self, histories):
            return np.zeros((len(histories), 2), np.float32)

    with pytest.raises(ConfigError, match="write its method with_items"):
        Words().with_items(3)


TEXTS = ["red car fast", "red boat", "blue boat slow", "green tree", "old red car", "fast boat", "slow blue car"]
LATE = ["fast red car", "blue tree house", "a boat that is red", "unheard of", "house tree"]


def _nearest(texts, vectors, n):
    return sparse.csr_matrix(sparse.vstack([strongest(part, n) for part in texts.similar(vectors)] or [_none(texts)]))


def _none(texts):
    return sparse.csr_matrix((0, texts.vectors.shape[0]), dtype=np.float32)


def late_texts(trained: TextKNN, texts: TextVectors, late: Sequence[str]) -> LateTexts:
    vectors = texts.of(late)
    return LateTexts(trained, texts, vectors, _nearest(texts, vectors, trained.neighbours))


@pytest.mark.parametrize("neighbours", [2, 100])
def test_late_texts_are_scored_by_the_words_that_are_known(neighbours):
    items = [Item(str(place), text) for place, text in enumerate(TEXTS)]
    trained = TextKNN([item.describe() for item in items], neighbours)
    trained.fit(Interactions.none(len(items)))
    texts = TextVectors(TEXTS)
    model = late_texts(trained, texts, LATE)
    histories = [History(np.array(rows, np.int64)) for rows in ([], [0], [3, 1], [2, 7, 9], [8], [11])]
    scores = model.score(histories)
    np.testing.assert_array_equal(scores[:3, : len(TEXTS)], trained.score(histories[:3]))
    both = texts.vectors.toarray(), texts.of(LATE).toarray()
    cosines = both[0] @ both[1].T
    if neighbours == 100:  # then nothing is cut off
        np.testing.assert_allclose(scores[1, len(TEXTS) :], cosines[0], atol=1e-6)
        np.testing.assert_allclose(scores[4, : len(TEXTS)], cosines[:, 1], atol=1e-6)
        among = both[1] @ both[1].T
        np.testing.assert_allclose(scores[4, len(TEXTS) :], among[1] * (np.arange(5) != 1), atol=1e-6)
    assert scores[1, len(TEXTS)] == max(scores[1, len(TEXTS) :]) > 0
    for count in range(len(LATE)):  # a later item changes nothing for those before it
        fewer = late_texts(trained, texts, LATE[:count]).score(histories[:3])
        np.testing.assert_array_equal(fewer, scores[:3, : len(TEXTS) + count])
