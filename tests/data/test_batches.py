import numpy as np

from genre_gen.data.batches import CELLS, batches, histories_at_a_time
from genre_gen.evaluation.protocol import evaluate_scorers
from genre_gen.metrics import case_ranks


def test_batches_are_consecutive_and_complete():
    assert [part.tolist() for part in batches(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]
    assert not list(batches([], 3))


def test_batches_of_large_catalogs_are_smaller():
    assert histories_at_a_time(256, 1_682) == 256
    assert histories_at_a_time(256, 1_000_000) == 16
    assert histories_at_a_time(256, 10 * CELLS) == 1


def test_ranks_do_not_depend_on_the_size_of_a_batch(dataset, monkeypatch):
    cases, sizes = dataset.leave_one_out().test, []

    def score(histories):
        sizes.append(len(histories))
        return np.array([np.sin(np.arange(40) * len(history)) for history in histories], np.float32)

    whole = case_ranks(score, cases, 40)
    monkeypatch.setattr("genre_gen.data.batches.CELLS", 4 * 40)
    np.testing.assert_array_equal(case_ranks(score, cases, 40), whole)
    np.testing.assert_array_equal(evaluate_scorers({"x": score}, cases, 40)["x"].ranks, whole)
    assert sizes == [30, *2 * [*7 * [4], 2]]
