"""Models of ratings: the questions every collaborative model gets, Surprise as the oracle, and the blend of them."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from genre_gen.collaborative import RATERS, SVD, BayesianMF, KNNBaseline, RatingBlend, SVDpp
from genre_gen.collaborative.rating_blend import rate_all
from genre_gen.data.history import History
from genre_gen.errors import ConfigError, DataError, UsageError
from tests.collaborative.test_collaborative import N, Questions, checkerboard, log

SCALE = (1.0, 5.0)
USERS, ITEMS = 25, 40  # of ``random_log``; item ITEMS is in the catalog, but nobody ever met it


def random_log(seed=2):
    rng = np.random.default_rng(seed)
    histories = [rng.permutation(ITEMS)[: rng.integers(3, 30)] for _ in range(USERS)]
    ratings = [rng.integers(1, 6, len(history)).astype(np.float32) for history in histories]
    return log(histories, ITEMS + 1, ratings)


def by_surprise(data, make):
    """What an algorithm of Surprise predicts for every user and item: [USERS, ITEMS + 1]."""
    surprise = pytest.importorskip("surprise")
    raw = [
        (history.user, int(row), float(rating), None)
        for history in data.histories()
        for row, rating in zip(history.rows, history.ratings, strict=True)
    ]
    algorithm = make(surprise).fit(surprise.Dataset(surprise.Reader(rating_scale=SCALE)).construct_trainset(raw))
    return np.array([[algorithm.predict(user, row).est for row in range(ITEMS + 1)] for user in data.users])


def folded_in(model, length):
    """Return a folded-in taste, the rows it comes from, and what is left of their ratings; the bias is checked."""
    rng = np.random.default_rng(0)
    rows, ratings = rng.permutation(N)[:length], rng.uniform(1, 5, length).astype(np.float32)
    taste = model.fold_in(History(rows, ratings))
    errors = ratings - model.mean - model.item_bias[rows] - taste.bias - model.item_factors[rows] @ taste.factors
    np.testing.assert_allclose(errors.sum(), model.fold_in_penalty * taste.bias, atol=1e-6)
    return taste, rows, errors


class RaterQuestions(Questions):
    """What every model of ratings must answer besides."""

    rated = True

    def test_is_registered(self):
        assert RATERS[self.model().name] is type(self.model())

    def test_predictions_stay_on_the_scale(self, fitted, data):
        for history in data.histories():
            ratings = fitted.rate(history, np.arange(N + 1))
            assert 1 <= ratings.min() <= ratings.max() <= 5
            assert [p.rating for p in fitted.predict(history, np.arange(N + 1))] == ratings.tolist()

    def test_unseen_user(self, fitted):
        likes_even = History(np.array([0, 2, 1, 3]), np.array([5, 5, 1, 1], dtype=np.float32))
        even, odd = fitted.predict(likes_even, [10, 11])
        assert even.rating > odd.rating + 1
        assert even.reason is None

    def test_reasons(self, fitted, data):
        nothing = History(np.zeros(0, dtype=np.int64))
        assert "this item has no training ratings" in fitted.predict(data.history_at(0), [N])[0].reason
        assert "this user's ratings are unknown" in fitted.predict(nothing, [0])[0].reason
        assert "user and item are unknown" in fitted.predict(nothing, [N])[0].reason
        assert fitted.predict(data.history_at(0), []) == []

    def test_a_rating_given_again_replaces_the_first(self, fitted):
        twice = History(np.array([0, 1, 0]), np.array([1, 3, 5], dtype=np.float32))
        once = History(np.array([1, 0]), np.array([3, 5], dtype=np.float32))
        np.testing.assert_allclose(fitted.rate(twice, np.arange(N)), fitted.rate(once, np.arange(N)))

    def test_history_off_the_scale(self, fitted):
        with pytest.raises(UsageError, match=r"rates an item 10; the scale is 1 to 5"):
            fitted.rate(History(np.array([0]), np.array([10], dtype=np.float32)), [1])

    def test_bad_ratings_are_refused(self):
        with pytest.raises(DataError, match=rf"{self.model().name}: 1 ratings are outside the scale 1 to 5, such as 6"):
            self.model().fit(log([[0, 1], [0, 1]], 2, [[3, 4], [2, 6]]))
        with pytest.raises(DataError, match="1 ratings repeat a user and an item"):
            self.model().fit(log([[0, 1, 0], [1]], 2, [[1, 3, 5], [4]]))
        for ratings in (None, [[np.nan, np.nan]]):
            with pytest.raises(DataError, match=f"no ratings to learn from; leave {self.model().name} out"):
                self.model().fit(log([[0, 1]], 2, ratings))

    def test_ratings_that_are_all_the_same_are_predicted(self):
        same = log([[0, 1, 2], [0, 1], [1, 2]], 3, [[3, 3, 3], [3, 3], [3, 3]])
        np.testing.assert_allclose(self.model().fit(same).rate(same.history_at(1), np.arange(3)), 3, atol=0.2)

    def test_unrated_interactions_are_left_out(self):
        with_gap = log([[0, 1, 2], [0, 1]], 3, [[5, 1, np.nan], [4, 2]])
        without = log([[0, 1], [0, 1]], 3, [[5, 1], [4, 2]])
        ours, expected = (self.model().fit(data).arrays() for data in (with_gap, without))
        for name, array in expected.items():
            np.testing.assert_array_equal(ours[name], array)


class TestSVD(RaterQuestions):
    def model(self):
        return SVD(factors=4, epochs=60, learning_rate=0.02, fold_in_penalty=1.0, rating_scale=SCALE)

    def test_unknown_users_and_items_are_predicted_from_the_rest(self, fitted):
        assert fitted.predict("u0", [0])[0].reason is None
        assert fitted.predict("u0", [N])[0].rating == pytest.approx(fitted.mean + fitted.user_bias[0])
        assert fitted.predict("nobody", [0])[0].rating == pytest.approx(fitted.mean + fitted.item_bias[0])
        assert fitted.predict("nobody", [N])[0].rating == pytest.approx(fitted.mean)

    @pytest.mark.parametrize("length", [2, 19])  # fewer and more ratings than unknowns: both normal equations
    def test_fold_in_solves_the_ridge_problem(self, fitted, length):
        taste, rows, errors = folded_in(fitted, length)
        np.testing.assert_allclose(
            fitted.item_factors[rows].T @ errors, fitted.fold_in_penalty * taste.factors, atol=1e-6
        )

    def test_a_history_without_ratings_has_no_effect(self, fitted):
        for ratings in (None, np.full(2, np.nan, dtype=np.float32)):
            taste = fitted.fold_in(History(np.array([0, 2]), ratings))
            assert not taste.known
            assert taste.bias == 0

    @pytest.mark.parametrize(("bad", "shown"), [(np.inf, "inf"), (-np.inf, "-inf"), (1e30, "1e\\+30")])
    def test_ratings_off_the_scale_are_refused(self, bad, shown):
        data = log([[0, 1], [0, 1]], 2, [[3, 4], [2, bad]])
        with pytest.raises(DataError, match=f"the scale 1 to 5, such as {shown} by user 'u1' for catalog row 1"):
            SVD(rating_scale=SCALE).fit(data)
        if np.isinf(bad):
            with pytest.raises(DataError, match=f"such as {shown}"):
                SVD().fit(data)

    def test_of_duplicates_the_last_may_count(self):
        data = log([[0, 1, 0], [1]], 2, [[1, 3, 5], [4]])
        last = SVD(factors=2, rating_scale=SCALE, duplicates="last").fit(data)
        assert last.mean == pytest.approx((3 + 5 + 4) / 3)

    def test_seed(self):
        first, second = (SVD(factors=2, rating_scale=SCALE, seed=s).fit(checkerboard(rated=True)) for s in (0, 1))
        assert not np.array_equal(first.item_factors, second.item_factors)

    @pytest.mark.parametrize(
        ("module", "told"),
        [
            ({"__file__": "site-packages/surprise.py"}, r"another package.*pip install 'scikit-surprise>=1.1.5'"),
            ({"SVD": object, "__version__": "1.1.4"}, r"1\.1\.4 breaks on NumPy 2"),
            (None, "needs Surprise"),
        ],
    )
    def test_an_unusable_surprise_package(self, monkeypatch, fitted, module, told):
        monkeypatch.setitem(sys.modules, "surprise", None if module is None else SimpleNamespace(**module))
        with pytest.raises(ConfigError, match=told):
            SVD().fit(checkerboard(rated=True))
        restored = SVD.from_arrays(fitted.arrays(), fitted.settings())  # predicting needs no Surprise
        assert restored.predict("u0", [2])[0].rating > 3


class TestSVDpp(RaterQuestions):
    def model(self):
        return SVDpp(
            factors=4, epochs=60, learning_rate=0.02, regularisation=0.02, fold_in_penalty=1.0, rating_scale=SCALE
        )

    @pytest.mark.parametrize("length", [2, 19])
    def test_fold_in_solves_the_ridge_problem(self, fitted, length):
        taste, rows, errors = folded_in(fitted, length)
        explicit = taste.factors - fitted.implicit_factors[rows].sum(axis=0) / np.sqrt(length)
        np.testing.assert_allclose(fitted.item_factors[rows].T @ errors, fitted.fold_in_penalty * explicit, atol=1e-6)

    def test_unrated_history_is_implicit_evidence(self, fitted):
        taste = fitted.fold_in(History(np.array([0, 2, 0, N])))
        np.testing.assert_allclose(taste.factors, fitted.implicit_factors[[0, 2]].sum(axis=0) / np.sqrt(2))
        assert taste.known
        assert taste.bias == 0


class TestKNNBaseline(RaterQuestions):
    def model(self):
        return KNNBaseline(neighbours=5, shrinkage=1.0, rating_scale=SCALE)

    @pytest.mark.parametrize("neighbours", [3, 40])  # fewer and more than a history has
    def test_histories_get_the_predictions_of_surprise(self, neighbours):
        data = random_log()
        model = KNNBaseline(neighbours, shrinkage=10, rating_scale=SCALE).fit(data)
        ours = np.array([model.rate(history, np.arange(ITEMS + 1)) for history in data.histories()])
        options = {"name": "pearson_baseline", "user_based": False, "shrinkage": 10}
        theirs = by_surprise(data, lambda s: s.KNNBaseline(k=neighbours, sim_options=options, verbose=False))
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


class TestBayesianMF(RaterQuestions):
    def model(self):
        return BayesianMF(factors=2, warm_up=20, samples=20, apart=1, rating_scale=SCALE)

    def test_finds_the_factors_that_made_the_ratings(self):
        """Ratings of one factor, two biases and noise: as good as the noise lets anyone be, where the mean is not."""
        rng = np.random.default_rng(0)
        taste, kind, user, item = (rng.normal(size=n) for n in (60, 50, 60, 50))
        truth = 3 + 0.5 * np.outer(taste, kind) + 0.3 * user[:, None] + 0.3 * item
        noisy = (truth + rng.normal(0, 0.2, truth.shape)).astype(np.float32)
        histories = [np.flatnonzero(rng.random(50) < 0.5) for _ in range(60)]
        data = log(histories, 50, [noisy[u, h] for u, h in enumerate(histories)])
        model = BayesianMF(factors=3, warm_up=30, samples=20, apart=2).fit(data)
        unseen = [np.setdiff1d(np.arange(50), history) for history in histories]
        errors = [model.rate(data.history_at(u), rows) - truth[u, rows] for u, rows in enumerate(unseen)]
        assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) < 0.2
        assert model.precisions.mean() == pytest.approx(1 / 0.2**2, rel=0.2)

    def test_a_history_gets_its_posterior_mean(self):
        model = BayesianMF(factors=1, warm_up=0, samples=1, apart=1, rating_scale=SCALE).fit(checkerboard(rated=True))
        rows, ratings = np.array([0, 1, 2]), np.array([5, 1, 5], dtype=np.float32)
        design = np.column_stack([model.items[0, rows, 0], np.ones(3)]).astype(np.float64)
        noise, spread = model.precisions[0], model.user_precisions[0]
        left = ratings - model.mean - model.items[0, rows, 1]
        expected = model.user_means[0] + model.implicit[0, rows].sum(axis=0, dtype=np.float64) / np.sqrt(3)
        taste = np.linalg.solve(spread + noise * design.T @ design, spread @ expected + noise * design.T @ left)
        rating = model.mean + model.items[0, 7, 0] * taste[0] + taste[1] + model.items[0, 7, 1]
        estimate, known = model.estimate(History(rows, ratings), np.array([7]))
        assert known
        np.testing.assert_allclose(estimate, [rating])

    def test_unrated_history_is_implicit_evidence(self, fitted):
        estimate, known = fitted.estimate(History(np.array([0, 2, 0, N])), np.arange(N))
        nothing, unknown = fitted.estimate(History(np.zeros(0, dtype=np.int64)), np.arange(N))
        assert (known, unknown) == (True, False)
        assert not np.allclose(estimate, nothing)


@pytest.mark.parametrize("model", [SVD, SVDpp])
def test_known_users_get_the_predictions_of_surprise(model):
    data, options = random_log(), {"n_factors": 8, "n_epochs": 5, "lr_all": 0.005, "reg_all": 0.1, "random_state": 7}
    ours = model(factors=8, epochs=5, learning_rate=0.005, regularisation=0.1, rating_scale=SCALE, seed=7).fit(data)
    theirs = by_surprise(data, lambda surprise: getattr(surprise, model.__name__)(**options))
    predicted = [ours.rate(user, np.arange(ITEMS + 1)) for user in data.users]
    np.testing.assert_allclose(predicted, theirs, atol=1e-5)  # parameters are kept in single precision


@pytest.mark.parametrize("model", [KNNBaseline, BayesianMF])
def test_too_many_items(model):
    with pytest.raises(DataError, match=r"30000 items need.*use svd, which has no such limit"):
        model().fit(log([[0, 1]], 30_000, [[1, 2]]))


@pytest.mark.parametrize(
    ("model", "setting", "told"),
    [
        (SVD, {"factors": 0}, "svd: factors 0"),
        (SVD, {"rating_scale": (5, 1)}, "rating_scale"),
        (SVDpp, {"factors": 0}, "svdpp: factors 0"),
        (KNNBaseline, {"neighbours": 0}, "neighbours 0"),
        (BayesianMF, {"samples": 0}, "samples 0"),
        (BayesianMF, {"implicit_penalty": 0}, "implicit_penalty 0"),
    ],
)
def test_settings_out_of_range(model, setting, told):
    with pytest.raises(ConfigError, match=told):
        model(**setting)


class TestRatingBlend:
    def test_finds_the_weights(self):
        rng = np.random.default_rng(0)
        one, two, useless = rng.uniform(1, 5, (3, 500))
        blend = RatingBlend.learn({"one": one, "two": two, "useless": useless}, 0.3 + 0.6 * one + 0.3 * two, SCALE)
        assert blend.weights == pytest.approx({"one": 0.6, "two": 0.3, "useless": 0}, abs=1e-3)  # less the penalty
        assert blend.intercept == pytest.approx(0.3, abs=5e-3)

    def test_a_member_that_says_nearly_the_same_of_all_is_not_magnified(self):
        rng = np.random.default_rng(0)
        actual = rng.uniform(1, 5, 500)
        flat = 3 + 0.003 * (actual - 3) + 0.003 * rng.normal(size=500)  # unpenalised its weight would be over 100
        blend = RatingBlend.learn({"good": actual + rng.normal(size=500), "flat": flat}, actual, (1, 5))
        assert blend.weights["flat"] < 10
        assert 0.3 < blend.weights["good"] < 1

    def test_no_weight_is_negative(self):
        rng = np.random.default_rng(0)
        one = rng.uniform(1, 5, 200)
        blend = RatingBlend.learn({"one": one, "opposite": 6 - one + rng.normal(0, 0.1, 200)}, one, SCALE)
        assert min(blend.weights.values()) >= 0

    def test_same_member_twice(self):
        one = np.random.default_rng(0).uniform(1, 5, 50)
        blend = RatingBlend.learn({"a": one, "b": one}, one, SCALE)
        np.testing.assert_allclose(blend.combine({"a": one, "b": one}), one, atol=2e-3)
        assert blend.weights["a"] == pytest.approx(blend.weights["b"])

    def test_clipped_and_extra_columns_left_out(self):
        blend = RatingBlend({"a": 2.0}, 0.0, SCALE)
        extra = {"a": np.array([0.1, 2.0, 4.0]), "b": np.full(3, np.nan)}
        assert blend.combine(extra).tolist() == [1, 4, 5]

    def test_roundtrip(self):
        blend = RatingBlend({"a": 0.5, "b": 0.25}, 0.1, SCALE)
        assert RatingBlend.restore(json.loads(json.dumps(blend.settings()))) == blend

    def test_problems_are_reported(self):
        three, two = np.ones(3), np.ones(2)
        with pytest.raises(UsageError, match="no predictions of b"):
            RatingBlend({"a": 1.0, "b": 1.0}, 0.0, SCALE).combine({"a": three})
        with pytest.raises(DataError, match="different lengths"):
            RatingBlend.learn({"a": three, "b": two}, three, SCALE)
        with pytest.raises(DataError, match="3 predictions for 2 ratings"):
            RatingBlend.learn({"a": three}, two, SCALE)
        with pytest.raises(DataError, match="predictions of b are NaN"):
            RatingBlend.learn({"a": three, "b": np.array([1, np.nan, 2])}, three, SCALE)
        with pytest.raises(UsageError, match="at least one member"):
            RatingBlend.learn({}, three, SCALE)

    def test_rate_all_keeps_the_order_of_asked(self):
        data = random_log()
        model = SVD(factors=2, rating_scale=SCALE).fit(data)
        known = data.keep(np.arange(len(data)) >= data.offsets[1])  # of the first user nothing is known
        expected = [model.rate(History(np.zeros(0, dtype=np.int64)), data.history_at(0).rows)]
        expected += [model.rate(history, history.rows) for history in data.histories()[1:]]
        np.testing.assert_array_equal(rate_all(model, known, data), np.concatenate(expected))
