"""Collaborative models: one set of questions asked of every model, on data whose answer is known by construction."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import sparse

from genre_gen.collaborative import (
    MEMBERS,
    Ease,
    ItemKNN,
    Popularity,
    SASRec,
    SequentialRules,
    TextKNN,
    ease,
    ease_weights,
    item_knn,
    together,
)
from genre_gen.collaborative.base import check_fitted, history_matrix
from genre_gen.collaborative.item_knn import CELLS, parts, strongest
from genre_gen.collaborative.together import seen_matrix
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.errors import CheckpointError, ConfigError, DataError, UsageError
from genre_gen.folders.arrays import contents_of

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


def random_log():
    """40 users with some of 60 items, popular ones first."""
    rng = np.random.default_rng(5)
    return log([np.unique((60 * rng.random(rng.integers(2, 25)) ** 2).astype(int)) for _ in range(40)], 60)


def damages(array):
    """Yield what an array must not be read as: not finite, too large, of another kind, of another length."""
    if array.dtype.kind == "f" and array.size:
        too_large = {4: [1e38], 8: [1e308]}.get(array.dtype.itemsize, [])  # in half precision that is infinite
        for value in (np.nan, np.inf, -np.inf, *too_large):
            yield np.full_like(array, value)
    if array.dtype.kind in "iu" and array.size and array.dtype != np.uint8:
        yield np.full_like(array, np.iinfo(array.dtype).max)
        yield np.full_like(array, -1) if array.dtype.kind == "i" else array[::-1]
    if array.dtype.kind in "fb":
        yield np.full(array.shape, b"x"[0], np.uint8)[..., None]
        yield np.concatenate([array, array])[: len(array) + 1]


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

    def test_damaged_arrays_are_refused_in_one_line(self, fitted, tmp_path):
        arrays = {name: np.array(array) for name, array in fitted.arrays().items()}
        settings = fitted.settings()
        for name, array in arrays.items():
            for damaged in damages(array):
                with pytest.raises(CheckpointError, match="is invalid") as refused, contents_of(tmp_path / "x"):
                    check_fitted(type(fitted).from_arrays({**arrays, name: damaged}, settings), N + 1)
                assert "\n" not in str(refused.value)
            if name != "users":
                rest = {other: value for other, value in arrays.items() if other != name}
                with pytest.raises(CheckpointError), contents_of(tmp_path / "x"):
                    check_fitted(type(fitted).from_arrays(rest, settings), N + 1)
        check_fitted(type(fitted).from_arrays(arrays, settings), N + 1)

    @pytest.mark.parametrize("value", ["1", None, [1], float("nan"), {}])
    def test_settings_of_another_kind_are_refused_in_one_line(self, fitted, tmp_path, value):
        arrays, settings = fitted.arrays(), fitted.settings()
        for name in settings:
            try:
                with contents_of(tmp_path / "x"):
                    check_fitted(type(fitted).from_arrays(arrays, {**settings, name: value}), N + 1)
            except CheckpointError as refused:
                message = str(refused)
                assert "\n" not in message

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

    def test_an_item_without_interactions(self, fitted):
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

    def test_novelty_lowers_items_that_follow_all_others(self):
        data = log([[0, 1], [2, 1], [3, 1], [4, 1], [0, 5]], 6)
        history = [History(np.array([0]))]
        plain = SequentialRules(lags=1, backward=0.0, novelty=0.0, smoothing=1.0).fit(data).score(history)[0]
        novel = SequentialRules(lags=1, backward=0.0, novelty=1.0, smoothing=1.0).fit(data).score(history)[0]
        assert plain[1] == plain[5]
        assert novel[1] < novel[5]

    def test_lags_beyond_every_history(self):
        assert np.isfinite(SequentialRules(lags=50).fit(log([[0, 1]], 2)).rules.data).all()


class TestEase(Questions):
    def model(self):
        return Ease(l2=1.0)

    @pytest.mark.parametrize(("users", "share", "l2"), [(30, 0.3, 2.5), (3000, 0.99, 1e-3)])
    def test_equals_the_formula_of_the_paper(self, users, share, l2):
        """Items that all users share make the matrix nearly singular: float32 inversion would lose the answer."""
        x = (np.random.default_rng(0).random((users, 8)) < share).astype(float)
        x[:, 0] = 1  # nobody without a history
        model = Ease(l2=l2).fit(log([np.flatnonzero(row) for row in x], 8))
        inverse = np.linalg.inv(x.T @ x + l2 * np.eye(8))
        weights = model.weights_of(np.arange(8))
        np.testing.assert_allclose(weights, np.eye(8) - inverse / np.diag(inverse), atol=1e-5)
        assert (np.diag(weights) == 0).all()

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


class TestEaseByUsers(Questions):
    @pytest.fixture(autouse=True)
    def form(self, monkeypatch):
        monkeypatch.setattr(ease, "DENSE_ITEMS", 0)

    def model(self):
        return Ease(l2=1.0)

    @pytest.mark.parametrize("l2", [0.5, 200.0])
    def test_equals_the_dense_form(self, l2, monkeypatch):
        data = random_log()
        few = Ease(l2=l2).fit(data)
        monkeypatch.setattr(ease, "DENSE_ITEMS", 60)
        dense = Ease(l2=l2).fit(data)
        assert (few.weights.kind, dense.weights.kind) == ("by users", "dense")
        rows = np.arange(60)
        np.testing.assert_allclose(few.weights_of(rows), dense.weights_of(rows), atol=1e-6)
        np.testing.assert_allclose(few.score(data.histories()), dense.score(data.histories()), atol=1e-5)

    def test_without_users_no_array_is_as_long_as_their_number(self, fitted):
        assert "kernel" in fitted.arrays()
        shared = fitted.without_users()
        assert shared.arrays().keys() == {"weights.data", "weights.indices", "weights.indptr"}
        history = [History(np.array([0, 2]))]
        np.testing.assert_allclose(shared.score(history), fitted.score(history), atol=1e-5)  # few items: all are kept


class TestEaseSparse(Questions):
    @pytest.fixture(autouse=True)
    def form(self, monkeypatch):
        monkeypatch.setattr(ease, "DENSE_ITEMS", 0)
        monkeypatch.setattr(ease, "FEW_USERS", 0)

    def model(self):
        return Ease(l2=1.0)

    @pytest.mark.parametrize("cells", [1, 3000, ease_weights.CELLS])
    def test_where_all_items_are_chosen_the_weights_are_exact(self, cells, monkeypatch):
        data = log([[*range(60)], *(history.rows.tolist() for history in random_log().histories())], 60)
        monkeypatch.setattr(ease_weights, "CELLS", cells)
        near = Ease(l2=2.0).fit(data)
        monkeypatch.setattr(ease, "DENSE_ITEMS", 60)
        exact = Ease(l2=2.0).fit(data).weights_of(np.arange(60))
        found = near.weights_of(np.arange(60)).toarray()
        assert near.weights.kind == "sparse"
        np.testing.assert_allclose(found, exact, atol=1e-5)

    def test_weights_are_the_regression_on_the_best_predictors(self, monkeypatch):
        monkeypatch.setattr(ease_weights, "NEIGHBOURS", 3)
        data, l2 = random_log(), 2.0
        found = Ease(l2=l2).fit(data).weights_of(np.arange(60)).toarray()
        seen = seen_matrix(data).toarray()
        gram = seen.T @ seen
        for item in range(60):
            gain = gram[item] ** 2 / (np.diag(gram) + l2)
            gain[item] = 0
            best = np.flatnonzero(found[:, item])
            assert len(best) == min(3, (gain > 0).sum())
            assert gain[best].min(initial=np.inf) >= np.delete(gain, best).max() - 1e-5
            solved = np.linalg.solve(gram[np.ix_(best, best)] + l2 * np.eye(len(best)), gram[best, item])
            np.testing.assert_allclose(found[best, item], solved, atol=1e-5)

    def test_fewer_predictors_in_a_large_catalog(self):
        wanted = {1_000: 100, 12_000: 100, 100_000: 73, 1_000_000: 23, 2**40: 1}
        assert {n_items: ease_weights.neighbours(n_items) for n_items in wanted} == wanted


class TestSeenMatrix:
    def test_repeated_items_count_once(self):
        assert seen_matrix(log([[1, 0, 1], [2]], 3)).toarray().tolist() == [[1, 1, 0], [0, 0, 1]]

    def test_of_a_long_history_the_recent_items_count(self, monkeypatch, caplog):
        monkeypatch.setattr(together, "LONGEST", 2)
        with caplog.at_level("INFO"):
            assert seen_matrix(log([[0, 1, 2], [2]], 3)).toarray().tolist() == [[0, 1, 1], [0, 0, 1]]
        assert "the last 2 interactions" in caplog.text

    @pytest.mark.parametrize(("pairs", "longest"), [(0, 1), (3, 1), (9, 2), (18, 2), (19, 3), (10**9, 1000)])
    def test_the_length_that_keeps_pairs_within_a_limit(self, pairs, longest):
        assert together.bounded_length(np.array([1, 4, 9]), pairs) == longest  # with 2: 1 + 4 + 4


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

    @pytest.mark.parametrize("cells", [1, 40, CELLS])
    def test_parts_make_no_difference(self, cells, monkeypatch):
        whole = ItemKNN(neighbours=3).fit(checkerboard()).similar
        monkeypatch.setattr(item_knn, "CELLS", cells)
        np.testing.assert_array_equal(ItemKNN(neighbours=3).fit(checkerboard()).similar.toarray(), whole.toarray())

    def test_parts_do_not_exceed_the_limit_of_cells(self, monkeypatch):
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


class TestTextKNN(Questions):
    personal = False
    texts = ("red steel hammer", "red steel saw", "blue cotton shirt", "blue cotton trousers", "")

    def model(self):
        return TextKNN([self.texts[row % 5] for row in range(N + 1)])

    def test_items_with_common_words_come_first_and_no_item_is_its_own_neighbour(self):
        model = TextKNN(self.texts, recency=2.0).fit(log([[0, 2]], 5))
        scores = model.score([History(np.array(rows)) for rows in ([0], [2], [2, 0], [0, 2])])
        assert scores.argmax(axis=1).tolist() == [1, 3, 1, 3]  # what came last counts most
        assert scores[0, 0] == 0
        assert not scores[:, 4].any()

    def test_the_interactions_make_no_difference(self):
        one, two = (TextKNN(self.texts).fit(log(rows, 5)).similar.toarray() for rows in ([[0, 2]], [[4, 3, 1]]))
        np.testing.assert_array_equal(one, two)

    def test_texts_without_words(self):
        assert not TextKNN(["", "!", "?"]).fit(log([[0, 2]], 3)).score([History(np.array([0]))]).any()

    def test_the_number_of_texts_must_be_that_of_items(self):
        with pytest.raises(UsageError, match="2 texts for 5 items"):
            TextKNN(["a", "b"]).fit(log([[0, 2]], 5))


def test_history_matrix_weighs_the_most_recent_occurrence():
    histories = [History(np.array([3, 1, 3])), History(np.zeros(0, dtype=np.int64)), History(np.array([0]))]
    ages = history_matrix(histories, 4, recency=1.0).toarray()
    np.testing.assert_allclose(ages, [[0, 0.5, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    assert history_matrix(histories, 4).toarray().sum() == 3


@pytest.mark.parametrize(
    ("model", "setting", "told"),
    [
        (Popularity, "half_life_days", "half_life_days is 0"),
        (SequentialRules, "lags", "lags must be >= 1"),
        (Ease, "l2", "l2 is 0"),
        (ItemKNN, "neighbours", "neighbours 0"),
    ],
)
def test_settings_out_of_range(model, setting, told):
    with pytest.raises(ConfigError, match=told):
        model(**{setting: 0})
