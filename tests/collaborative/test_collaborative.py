"""Collaborative models: one set of questions asked of every model, on data whose answer is known by construction."""

from __future__ import annotations

import json
import sys
import types

import numpy as np
import pytest
from scipy import sparse

from genre_gen.collaborative import MEMBERS, SVD, Ease, ItemKNN, Popularity, SASRec, SequentialRules, item_knn
from genre_gen.collaborative.base import history_matrix
from genre_gen.collaborative.item_knn import CELLS, parts, strongest
from genre_gen.data.interactions import History, Interactions
from genre_gen.errors import ConfigError, DataError, UsageError

N = 20  # users and items that take part; item N is in the catalog, but nobody ever met it


def log(histories, n_items, ratings=None, times=None):
    """Interactions from lists of rows per user (and of ratings, of times)."""
    users = np.repeat([f"u{u}" for u in range(len(histories))], [len(history) for history in histories])
    flat = [None if part is None else np.concatenate([np.asarray(x) for x in part]) for part in (ratings, times)]
    return Interactions.from_columns(users, np.concatenate(histories).astype(np.int64), n_items, *flat)


def checkerboard(rated=False):
    """User u takes all items of u's parity but item u itself: item u is what the others of that parity point to.

    With ratings, user u also rates the items of the other parity (but u's right neighbour) at the bottom of the scale.
    """
    histories, ratings = [], []
    for user in range(N):
        order = [(user + step) % N for step in range(2, N, 2)]
        other = [(user + step) % N for step in range(3, N, 2)] if rated else []
        histories.append(order + other)
        ratings.append([5.0] * len(order) + [1.0] * len(other))
    return log(histories, N + 1, ratings if rated else None)


class Questions:
    """What every collaborative model must answer."""

    rated = False
    personal = True

    def model(self):
        raise NotImplementedError

    @pytest.fixture
    def data(self):
        return checkerboard(self.rated)

    @pytest.fixture
    def fitted(self, data):
        return self.model().fit(data)

    def test_withheld_item_comes_first(self, fitted, data):
        scores = fitted.score(data.histories())
        for user, history in enumerate(data.histories()):
            unseen = np.setdiff1d(np.arange(N), history.rows)
            if self.personal:
                assert unseen[scores[user, unseen].argmax()] == user
        assert scores.shape == (N, N + 1)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_batch_equals_single(self, fitted, data):
        histories = data.histories()
        together = fitted.score(histories)
        alone = np.concatenate([fitted.score([history]) for history in histories])
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)

    def test_order_of_the_batch_does_not_matter(self, fitted, data):
        histories = data.histories()
        np.testing.assert_allclose(fitted.score(histories[::-1]), fitted.score(histories)[::-1], rtol=1e-5, atol=1e-6)

    def test_user_id_does_not_matter(self, fitted, data):
        history = data.history_at(3)
        stranger = History(history.rows, history.ratings, history.times, "nobody")
        np.testing.assert_array_equal(fitted.score([history]), fitted.score([stranger]))

    def test_roundtrip(self, fitted, data):
        settings = json.loads(json.dumps(fitted.settings()))
        arrays = {name: np.array(array) for name, array in fitted.arrays().items()}
        restored = type(fitted).from_arrays(arrays, settings)
        np.testing.assert_array_equal(restored.score(data.histories()), fitted.score(data.histories()))
        assert restored.settings() == fitted.settings()

    def test_fit_is_deterministic(self, fitted, data):
        again = self.model().fit(data).arrays()
        for name, array in fitted.arrays().items():
            np.testing.assert_array_equal(array, again[name])

    def test_empty_history(self, fitted):
        scores = fitted.score(
            [History(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32) if self.rated else None)]
        )
        assert scores.shape == (1, N + 1)
        assert np.isfinite(scores).all()

    def test_no_histories(self, fitted):
        assert fitted.score([]).shape == (0, N + 1)

    def test_item_nobody_met(self, fitted):
        scores = fitted.score([History(np.array([N]), np.array([5.0], dtype=np.float32))])
        assert np.isfinite(scores).all()

    @pytest.mark.parametrize("row", [-1, N + 1])
    def test_row_outside_the_catalog(self, fitted, row):
        with pytest.raises(UsageError, match=f"row {row}.*{N + 1} items"):
            fitted.score([History(np.array([0, row]))])

    def test_is_registered(self):
        assert MEMBERS[self.model().name] is type(self.model())


class TestPopularity(Questions):
    personal = False

    def model(self):
        return Popularity()

    def test_counts(self):
        model = Popularity().fit(log([[0, 1], [1], [1, 2]], 4))
        assert np.argsort(-model.score([History(np.array([0]))])[0], kind="stable").tolist() == [1, 0, 2, 3]

    def test_half_life(self):
        day = 86_400
        data = log([[0], [0], [0], [1]], 2, times=[[0], [0], [0], [20 * day]])
        assert Popularity().fit(data).log_counts.argmax() == 0
        recent = Popularity(half_life_days=10).fit(data)
        np.testing.assert_allclose(np.expm1(recent.log_counts), [0.75, 1.0], rtol=1e-6)

    def test_half_life_needs_times(self):
        with pytest.raises(DataError, match="needs times"):
            Popularity(half_life_days=10).fit(log([[0]], 1))

    def test_settings_out_of_range(self):
        with pytest.raises(ConfigError, match="half_life_days is 0"):
            Popularity(half_life_days=0)


class TestSequentialRules(Questions):
    def model(self):
        return SequentialRules()

    def test_by_hand(self):
        model = SequentialRules(lags=2, decay=1.0, backward=0.0, smoothing=0.0, novelty=0.0).fit(
            log([[0, 1, 2], [0, 2]], 3)
        )
        # From 0: item 1 once at lag 1 (1), item 2 at lag 2 (.5) and at lag 1 (1): 2.5 in all.
        np.testing.assert_allclose(model.rules.toarray(), [[0, 0.4, 0.6], [0, 0, 1], [0, 0, 0]], rtol=1e-6)

    def test_backward(self):
        model = SequentialRules(lags=1, backward=0.5, smoothing=0.0, novelty=0.0).fit(log([[0, 1]], 2))
        np.testing.assert_allclose(model.rules.toarray(), [[0, 1], [1, 0]])  # .5 of .5, after normalising
        one_way = SequentialRules(lags=1, backward=0.0, smoothing=0.0, novelty=0.0).fit(log([[0, 1]], 2))
        assert one_way.rules[1, 0] == 0

    def test_users_do_not_run_into_each_other(self):
        model = SequentialRules(lags=3, backward=0.0).fit(log([[0, 1], [2, 3]], 4))
        assert model.rules[1, 2] == model.rules[0, 2] == model.rules[1, 3] == 0

    def test_recent_items_weigh_more(self):
        model = SequentialRules(lags=1, backward=0.0).fit(log([[0, 1], [2, 3]], 4))
        assert model.score([History(np.array([0, 2]))])[0].argmax() == 3
        assert model.score([History(np.array([2, 0]))])[0].argmax() == 1

    def test_novelty_holds_back_what_follows_everything(self):
        data = log([[0, 1], [2, 1], [3, 1], [4, 1], [0, 5]], 6)
        history = [History(np.array([0]))]
        plain = SequentialRules(lags=1, backward=0.0, novelty=0.0, smoothing=1.0).fit(data).score(history)[0]
        novel = SequentialRules(lags=1, backward=0.0, novelty=1.0, smoothing=1.0).fit(data).score(history)[0]
        assert plain[1] == plain[5]
        assert novel[1] < novel[5]

    def test_lags_beyond_every_history(self):
        assert np.isfinite(SequentialRules(lags=50).fit(log([[0, 1]], 2)).rules.data).all()

    def test_settings_out_of_range(self):
        with pytest.raises(ConfigError, match="lags must be >= 1"):
            SequentialRules(lags=0)


class TestEase(Questions):
    def model(self):
        return Ease(l2=1.0)

    def test_equals_the_formula_of_the_paper(self):
        rng = np.random.default_rng(0)
        x = (rng.random((30, 8)) < 0.3).astype(float)
        x[:, 0] = 1  # nobody without a history
        model = Ease(l2=2.5).fit(log([np.flatnonzero(row) for row in x], 8))
        inverse = np.linalg.inv(x.T @ x + 2.5 * np.eye(8))
        expected = np.eye(8) - inverse / np.diag(inverse)
        np.testing.assert_allclose(model.weights, expected, atol=1e-5)
        assert (np.diag(model.weights) == 0).all()

    def test_large_counts_keep_their_precision(self):
        """Items that all users share make the matrix nearly singular: float32 inversion would lose the answer."""
        rng = np.random.default_rng(0)
        x = np.ones((3000, 6))
        x[rng.random(x.shape) < 0.01] = 0
        model = Ease(l2=1e-3).fit(log([np.flatnonzero(row) for row in x], 6))
        inverse = np.linalg.inv(x.T @ x + 1e-3 * np.eye(6))
        np.testing.assert_allclose(model.weights, np.eye(6) - inverse / np.diag(inverse), atol=1e-5)

    def test_recency(self):
        data = log([[0, 1], [0, 1], [2, 3], [2, 3]], 4)
        model = Ease(l2=1.0, recency=1.0).fit(data)
        assert model.score([History(np.array([0, 2]))])[0].argmax() == 3
        assert model.score([History(np.array([2, 0]))])[0].argmax() == 1

    def test_repeated_items_count_once(self):
        model = Ease(l2=1.0).fit(checkerboard())
        np.testing.assert_array_equal(
            model.score([History(np.array([0, 2, 0]))]), model.score([History(np.array([2, 0]))])
        )

    def test_too_many_items(self):
        with pytest.raises(DataError, match=r"30000 items.*item_knn"):
            Ease().fit(log([[0, 1]], 30_000))

    def test_settings_out_of_range(self):
        with pytest.raises(ConfigError, match="l2 is 0"):
            Ease(l2=0)


class TestSASRec(Questions):
    def model(self):
        return SASRec(dim=16, dropout=0.0, learning_rate=0.01, warmup_steps=5)


class TestItemKNN(Questions):
    def model(self):
        return ItemKNN()

    def test_equals_cosine(self):
        rng = np.random.default_rng(1)
        x = (rng.random((30, 8)) < 0.3).astype(float)
        x[:, 0] = 1
        model = ItemKNN(neighbours=8, shrink=0.0).fit(log([np.flatnonzero(row) for row in x], 8))
        norm = np.linalg.norm(x, axis=0)
        expected = (x.T @ x) / np.outer(norm, norm)
        np.fill_diagonal(expected, 0)
        np.testing.assert_allclose(model.similar.toarray(), expected, atol=1e-6)

    def test_neighbours(self):
        model = ItemKNN(neighbours=3).fit(checkerboard())
        full = ItemKNN(neighbours=N).fit(checkerboard()).similar.toarray()
        kept = model.similar.toarray()
        assert ((kept > 0).sum(axis=1)[:N] == 3).all()
        np.testing.assert_allclose(np.sort(kept, axis=1)[:, -3:], np.sort(full, axis=1)[:, -3:])

    def test_more_items_than_a_block(self):
        data = log([[0, 1500], [1500, 2999]], 3000)
        similar = ItemKNN(shrink=0.0).fit(data).similar
        assert similar.shape == (3000, 3000)
        assert similar[1500, 0] == similar[0, 1500] > 0
        assert similar[1500, 2999] > 0

    def test_settings_out_of_range(self):
        with pytest.raises(ConfigError, match="neighbours 0"):
            ItemKNN(neighbours=0)

    @pytest.mark.parametrize("cells", [1, 40, CELLS])
    def test_parts_make_no_difference(self, cells, monkeypatch):
        whole = ItemKNN(neighbours=3).fit(checkerboard()).similar
        monkeypatch.setattr(item_knn, "CELLS", cells)
        np.testing.assert_array_equal(ItemKNN(neighbours=3).fit(checkerboard()).similar.toarray(), whole.toarray())

    def test_parts_hold_no_more_cells_than_they_may(self, monkeypatch):
        monkeypatch.setattr(item_knn, "CELLS", 500)
        left = sparse.random(300, 40, 0.1, "csr", random_state=0)
        right = sparse.random(40, 90, 0.2, "csr", random_state=1)
        found = list(parts(left, right))
        assert np.concatenate([np.arange(300)[part] for part in found]).tolist() == list(range(300))
        assert 10 < len(found) < 100
        assert all((left[part] @ right).nnz <= 500 + 90 for part in found)

    @pytest.mark.parametrize("n", [1, 3, 200])
    def test_the_strongest_are_those_of_a_sort(self, n):
        matrix = sparse.random(50, 80, 0.6, "csr", random_state=0)
        matrix.data = np.floor(matrix.data * 8) - 2  # many are equal, some are not positive
        full = matrix.toarray()
        order = np.argsort(-full, axis=1, kind="stable")
        expected = np.zeros_like(full)
        for row, best in enumerate(order[:, :n]):
            expected[row, best] = full[row, best].clip(min=0)
        np.testing.assert_array_equal(strongest(matrix, n).toarray(), expected)


class TestSVD(Questions):
    rated = True

    def model(self):
        return SVD(factors=4, epochs=60, learning_rate=0.02, fold_in_penalty=1.0, rating_scale=(1, 5))

    def test_known_users_get_what_surprise_predicts(self):
        surprise = pytest.importorskip("surprise")
        rng = np.random.default_rng(2)
        histories = [rng.permutation(40)[: rng.integers(3, 30)] for _ in range(25)]
        ratings = [rng.integers(1, 6, len(history)).astype(np.float32) for history in histories]
        ours = SVD(factors=8, epochs=5, rating_scale=(1, 5), seed=7).fit(log(histories, 41, ratings))
        raw = [
            (f"u{u}", i, r, None) for u, h in enumerate(histories) for i, r in zip(h, ratings[u].tolist(), strict=True)
        ]
        trainset = surprise.Dataset(surprise.Reader(rating_scale=(1, 5))).construct_trainset(raw)
        theirs = surprise.SVD(n_factors=8, n_epochs=5, random_state=7).fit(trainset)
        for user in range(25):
            for prediction in ours.predict(f"u{user}", np.arange(41)):
                assert abs(prediction.rating - theirs.predict(f"u{user}", prediction.row).est) < 1e-6

    def test_reasons(self, fitted):
        assert fitted.predict("u0", [0])[0].reason is None
        unknown_item = fitted.predict("u0", [N])[0]
        assert "nobody rated this item" in unknown_item.reason
        assert unknown_item.rating == pytest.approx(fitted.mean + fitted.user_bias[0])
        unknown_user = fitted.predict("nobody", [0])[0]
        assert "nothing is known of this user" in unknown_user.reason
        assert unknown_user.rating == pytest.approx(fitted.mean + fitted.item_bias[0])
        assert fitted.predict("nobody", [N])[0].rating == pytest.approx(fitted.mean)

    def test_predictions_stay_on_the_scale(self, fitted):
        ratings = [p.rating for user in range(N) for p in fitted.predict(f"u{user}", np.arange(N))]
        assert 1 <= min(ratings) <= max(ratings) <= 5

    @pytest.mark.parametrize("length", [2, 19])  # fewer and more ratings than unknowns: both normal equations
    def test_fold_in_solves_the_ridge_problem(self, fitted, length):
        rng = np.random.default_rng(0)
        rows, ratings = rng.permutation(N)[:length], rng.uniform(1, 5, length).astype(np.float32)
        taste = fitted.fold_in(History(rows, ratings))
        errors = ratings - fitted.mean - fitted.item_bias[rows] - taste.bias - fitted.item_factors[rows] @ taste.factors
        np.testing.assert_allclose(errors.sum(), fitted.fold_in_penalty * taste.bias, atol=1e-6)
        np.testing.assert_allclose(
            fitted.item_factors[rows].T @ errors, fitted.fold_in_penalty * taste.factors, atol=1e-6
        )

    def test_unseen_user_is_folded_in(self, fitted):
        likes_even = History(np.array([0, 2, 1, 3]), np.array([5, 5, 1, 1], dtype=np.float32))
        even, odd = fitted.predict(likes_even, [10, 11])
        assert even.rating > odd.rating + 1
        assert even.reason is None

    def test_history_without_ratings_says_nothing(self, fitted):
        taste = fitted.fold_in(History(np.array([0, 2])))
        unrated = fitted.fold_in(History(np.array([0, 2]), np.full(2, np.nan, dtype=np.float32)))
        assert not taste.known
        assert not unrated.known
        assert taste.bias == unrated.bias == 0

    def test_history_off_the_scale(self, fitted):
        with pytest.raises(UsageError, match=r"rates an item 10; the scale is 1 to 5"):
            fitted.fold_in(History(np.array([0]), np.array([10], dtype=np.float32)))

    def test_unrated_interactions_are_left_out(self):
        with_gap = log([[0, 1, 2], [0, 1]], 3, [[5, 1, np.nan], [4, 2]])
        without = log([[0, 1], [0, 1]], 3, [[5, 1], [4, 2]])
        ours, expected = (SVD(factors=2, rating_scale=(1, 5)).fit(data) for data in (with_gap, without))
        np.testing.assert_array_equal(ours.item_factors, expected.item_factors)
        assert not ours.rated_items[2]
        assert np.isfinite(ours.user_factors).all()

    @pytest.mark.parametrize(("bad", "shown"), [(np.inf, "inf"), (-np.inf, "-inf"), (6.0, "6"), (1e30, "1e\\+30")])
    def test_bad_ratings_are_refused(self, bad, shown):
        with pytest.raises(
            DataError, match=f"1 ratings are not on the scale 1 to 5, such as {shown} by user 'u1' of catalog row 1"
        ):
            SVD(rating_scale=(1, 5)).fit(log([[0, 1], [0, 1]], 2, [[3, 4], [2, bad]]))

    def test_infinite_rating_without_a_scale(self):
        with pytest.raises(DataError, match="such as inf"):
            SVD().fit(log([[0, 1]], 2, [[3, np.inf]]))

    def test_duplicates(self):
        data = log([[0, 1, 0], [1]], 2, [[1, 3, 5], [4]])
        with pytest.raises(DataError, match="1 ratings repeat"):
            SVD(rating_scale=(1, 5)).fit(data)
        last = SVD(factors=2, rating_scale=(1, 5), duplicates="last").fit(data)
        assert last.mean == pytest.approx((3 + 5 + 4) / 3)

    @pytest.mark.parametrize("ratings", [None, [[np.nan, np.nan]]])
    def test_no_ratings(self, ratings):
        with pytest.raises(DataError, match="no ratings to learn from; leave svd out"):
            SVD().fit(log([[0, 1]], 2, ratings))

    def test_all_ratings_equal(self):
        model = SVD(factors=2).fit(log([[0, 1], [0]], 2, [[3, 3], [3]]))
        assert model.predict("u1", [1])[0].rating == pytest.approx(3, abs=0.3)

    def test_seed(self):
        first, second = (SVD(factors=2, rating_scale=(1, 5), seed=s).fit(checkerboard(rated=True)) for s in (0, 1))
        assert not np.array_equal(first.item_factors, second.item_factors)

    def test_another_package_named_surprise(self, monkeypatch):
        impostor = types.ModuleType("surprise")
        impostor.__file__ = "site-packages/surprise.py"
        monkeypatch.setitem(sys.modules, "surprise", impostor)
        with pytest.raises(ConfigError, match=r"another package.*pip install 'scikit-surprise>=1.1.5'"):
            SVD().fit(checkerboard(rated=True))

    def test_old_surprise(self, monkeypatch):
        old = types.ModuleType("surprise")
        old.SVD, old.__version__ = object, "1.1.4"
        monkeypatch.setitem(sys.modules, "surprise", old)
        with pytest.raises(ConfigError, match=r"1\.1\.4 breaks on NumPy 2"):
            SVD().fit(checkerboard(rated=True))

    def test_missing_surprise(self, monkeypatch, fitted):
        monkeypatch.setitem(sys.modules, "surprise", None)
        with pytest.raises(ConfigError, match="needs Surprise"):
            SVD().fit(checkerboard(rated=True))
        restored = SVD.from_arrays(fitted.arrays(), fitted.settings())  # predicting needs no Surprise
        assert restored.predict("u0", [2])[0].rating > 3

    def test_settings_out_of_range(self):
        with pytest.raises(ConfigError, match="factors 0"):
            SVD(factors=0)
        with pytest.raises(ConfigError, match="rating_scale"):
            SVD(rating_scale=(5, 1))


def test_history_matrix_weighs_the_most_recent_occurrence():
    histories = [History(np.array([3, 1, 3])), History(np.zeros(0, dtype=np.int64)), History(np.array([0]))]
    ages = history_matrix(histories, 4, recency=1.0).toarray()
    np.testing.assert_allclose(ages, [[0, 0.5, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    assert history_matrix(histories, 4).toarray().sum() == 3
