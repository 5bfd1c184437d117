import numpy as np

from genre_gen.data.batches import CELLS, batches, rows_within
from genre_gen.data.splits import leave_one_out
from genre_gen.metrics import case_ranks


def test_batches_are_consecutive_and_complete():
    assert [part.tolist() for part in batches(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]
    assert not list(batches([], 3))


def test_batches_of_large_catalogs_are_smaller():
    assert rows_within(256, 1_682) == 256
    assert rows_within(256, 1_000_000) == 16
    assert rows_within(256, 10 * CELLS) == 1
    assert rows_within(500, 10, cells=100) == 10


def test_ranks_do_not_depend_on_the_size_of_a_batch(dataset, monkeypatch):
    split = leave_one_out(dataset.interactions, dataset.catalog)
    sizes = []

    def score(histories):
        sizes.append(len(histories))
        return np.array([np.sin(np.arange(40) * len(history)) for history in histories])

    whole = case_ranks(score, split.test, 40)
    monkeypatch.setattr("genre_gen.metrics.rows_within", lambda size, width: rows_within(size, width, 4 * 40))
    np.testing.assert_array_equal(case_ranks(score, split.test, 40), whole)
    assert sizes == [30, *[4] * 7, 2]
