"""A made-up log follows the law that computes its probabilities."""

import numpy as np
import pytest

from eval.bench.law import Law
from genre_gen.data.dataset import Dataset
from genre_gen.errors import UsageError
from genre_gen.metrics import case_ranks, ndcg_at


@pytest.fixture(scope="module")
def law():
    return Law(400, seed=3)


@pytest.fixture(scope="module")
def data(law):
    return law.dataset(300, 9_000)


def test_a_log_has_the_size_asked_for_and_no_user_has_an_item_twice(data):
    log = data.interactions
    assert (len(log), len(log.users), len(data.catalog)) == (9_000, 300, 400)
    assert len(np.unique(log.owners * 400 + log.rows)) == 9_000
    assert np.diff(log.offsets).min() >= 5
    assert np.isin(np.flatnonzero(np.diff(log.times) < 0) + 1, log.offsets).all()
    assert set(np.unique(log.ratings)) == {1, 2, 3, 4, 5}


def test_the_same_seed_gives_the_same_log(law, data):
    again, other = Law(400, seed=3), Law(400, seed=4)
    assert again.interactions(300, 9_000).fingerprint() == data.interactions.fingerprint()
    assert again.catalog().fingerprint() == data.catalog.fingerprint()
    assert other.interactions(300, 9_000).fingerprint() != data.interactions.fingerprint()


def test_probabilities_sum_to_one_without_seen_items(law, data):
    histories = [np.zeros(0, np.int64), *(history.rows for history in data.interactions.histories()[:20])]
    for rows in histories:
        chances = law.probabilities(rows)
        assert chances.sum() == pytest.approx(1)
        assert (chances[rows] == 0).all()
        assert (np.delete(chances, rows) > 0).all()


def test_frequencies_agree_with_probabilities():
    law = Law(20, seed=1)  # two clusters
    users = 150_000
    drawn = law.interactions(users, 3 * users).rows.reshape(users, 3)
    assert _misfit(drawn[:, 0], law.probabilities(np.zeros(0, np.int64))) < 2
    begun = np.bincount(drawn[:, 0] * 20 + drawn[:, 1], minlength=400)
    misfits = []
    for pair in np.argsort(-begun)[:30].tolist():
        first, second = divmod(pair, 20)
        chosen = (drawn[:, 0] == first) & (drawn[:, 1] == second)
        misfits.append(_misfit(drawn[chosen, 2], law.probabilities(np.array([first, second]))))
    assert np.mean(misfits) < 1.3  # about 1 in expectation; 20 if the cluster is not inferred


def _misfit(rows, chances):
    """Return chi-square per degree of freedom."""
    possible = chances > 0
    expected = len(rows) * chances[possible]
    observed = np.bincount(rows, minlength=len(chances))
    assert observed[~possible].sum() == 0
    return float(((observed[possible] - expected) ** 2 / expected).sum() / (possible.sum() - 1))


def test_the_law_ranks_better_than_popularity(law, data):
    split = data.leave_one_out()
    counts = np.bincount(split.train_and_validation.rows, minlength=400).astype(np.float64)
    ndcg = {
        name: float(ndcg_at(case_ranks(score, split.test, 400), 10).mean())
        for name, score in (("law", law.score), ("popularity", lambda histories: np.tile(counts, (len(histories), 1))))
    }
    assert ndcg["law"] > 5 * ndcg["popularity"]


def test_tables_are_read_as_the_data_set_is_made(law, data):
    items, log = law.frames(300, 9_000)
    read = Dataset.from_frames(items, log, name="made-up", noun="item")
    assert read.catalog.fingerprint() == data.catalog.fingerprint()
    assert read.domain.settings() == data.domain.settings()
    for user in ("u0", "u299"):
        np.testing.assert_array_equal(read.interactions.history(user).rows, data.interactions.history(user).rows)


@pytest.mark.parametrize("size", [(100, 250), (10, 2_000), (0, 100)])
def test_a_log_that_cannot_be_drawn_is_refused(law, size):
    with pytest.raises(UsageError, match="give each user three interactions or more, and at most a third"):
        law.interactions(*size)
    with pytest.raises(UsageError, match="a law needs 10 items"):
        Law(9)


def test_what_a_log_tells_comes_near_the_law_as_it_grows():
    law = Law(200, seed=2)
    cases = law.dataset(300, 4_500).leave_one_out().test

    def ndcg(score):
        ranks = case_ranks(lambda histories: score(histories).astype(np.float32), cases, law.n_items)
        return ndcg_at(ranks, 10).mean()

    few, many = (ndcg(law.learned(law.interactions(users, 15 * users))) for users in (20, 3_000))
    assert few < many - 0.02
    assert many == pytest.approx(ndcg(law.score), abs=0.015)
