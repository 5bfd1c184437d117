import numpy as np
import pytest

from genre_gen.collaborative import TextKNN
from genre_gen.data.interactions import History, Interactions
from genre_gen.errors import UsageError

TEXTS = ("red steel hammer", "red steel saw", "blue cotton shirt", "blue cotton trousers", "")


def interactions(n_items=5):
    return Interactions.from_columns(["u"] * 2, np.array([0, 2]), n_items)


def history(*rows):
    return History(np.array(rows, np.int64))


def test_items_of_like_words_come_first_and_none_is_like_itself():
    scores = TextKNN(TEXTS).fit(interactions()).score([history(0), history(2)])
    assert scores[0].argmax() == 1
    assert scores[1].argmax() == 3
    assert scores[0, 0] == 0
    assert (scores[:, 4] == 0).all()


def test_what_came_last_counts_most():
    model = TextKNN(TEXTS, recency=2.0).fit(interactions())
    last_red, last_blue = model.score([history(2, 0), history(0, 2)])
    assert last_red.argmax() == 1
    assert last_blue.argmax() == 3


def test_the_interactions_make_no_difference():
    other = Interactions.from_columns(["u"] * 3, np.array([4, 3, 1]), 5)
    one, two = (TextKNN(TEXTS).fit(data).similar.toarray() for data in (interactions(), other))
    np.testing.assert_array_equal(one, two)


def test_texts_without_words():
    assert (TextKNN(["", "!", "?"]).fit(interactions(3)).score([history(0)]) == 0).all()


def test_saved_and_restored_without_texts():
    model = TextKNN(TEXTS, neighbours=2).fit(interactions())
    again = TextKNN.from_arrays(model.arrays(), model.settings())
    np.testing.assert_array_equal(again.score([history(0, 3)]), model.score([history(0, 3)]))


def test_one_text_for_each_item():
    with pytest.raises(UsageError, match="2 texts for 5 items"):
        TextKNN(["a", "b"]).fit(interactions())
