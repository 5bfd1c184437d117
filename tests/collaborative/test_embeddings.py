import numpy as np

from genre_gen.collaborative import embeddings
from genre_gen.collaborative.embeddings import cooccurrence_embeddings
from tests.collaborative.test_collaborative import log


def cosine(vectors, a, b):
    return vectors[a] @ vectors[b] / (np.linalg.norm(vectors[a]) * np.linalg.norm(vectors[b]))


def test_items_of_the_same_circle_are_alike():
    # Two circles of items that nobody mixes, and an item that nobody had.
    rng = np.random.default_rng(0)
    histories = [rng.permutation(5) + 5 * (k % 2) for k in range(40)]
    vectors = cooccurrence_embeddings(log(histories, 11), dimensions=2)
    assert vectors.shape == (11, 2)
    assert cosine(vectors, 0, 3) > 0.8
    assert abs(cosine(vectors, 0, 7)) < 0.2
    assert not vectors[10].any()


def test_users_do_not_mix():
    # One user's last and the next user's first item are neighbours in the array only.
    orders = [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    histories = [[first + item for item in order] for order in orders * 3 for first in (0, 3)]
    vectors = cooccurrence_embeddings(log(histories, 6), dimensions=2)
    assert cosine(vectors, 0, 2) > 0.9
    assert abs(cosine(vectors, 2, 3)) < 0.1


def test_histories_of_one_item_have_no_effect():
    assert not cooccurrence_embeddings(log([[0], [1]], 2), dimensions=8).any()


def test_the_same_input_gives_the_same_vectors():
    interactions = log([np.random.default_rng(k).permutation(30)[:12] for k in range(50)], 30)
    first, second = (cooccurrence_embeddings(interactions, 8) for _ in range(2))
    assert np.array_equal(first, second)


def test_many_items_get_about_the_same_neighbours(monkeypatch):
    rng = np.random.default_rng(0)
    interactions = log([(rng.permutation(6)[:4] + 6 * (k % 20)) for k in range(400)], 120)
    exact = cooccurrence_embeddings(interactions, 24)
    monkeypatch.setattr(embeddings, "MANY", 100)
    monkeypatch.setattr(embeddings, "RANK_OF_MANY", 20)  # one for each circle
    near, again = (cooccurrence_embeddings(interactions, 24) for _ in range(2))
    assert np.array_equal(near, again)
    assert near.shape == exact.shape
    assert not near[:, 20:].any()
    likest = [(vectors @ vectors.T - 1e9 * np.eye(120)).argmax(axis=1) // 6 for vectors in (exact, near)]
    assert (likest[0] == np.arange(120) // 6).all()
    assert (likest[1] == np.arange(120) // 6).all()
