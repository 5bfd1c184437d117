import numpy as np
import pytest

from genre_gen.collaborative import MEMBERS, Ease, ItemKNN, Popularity, SASRec, SequentialRules, tuning
from genre_gen.collaborative.tuning import tune
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import leave_one_out
from genre_gen.metrics import case_ranks, ndcg_at

KINDS = {"sequential_rules": SequentialRules, "ease": Ease, "item_knn": ItemKNN}


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(0)
    users, rows = [], []
    for user in range(120):  # two rings of items: everybody walks on from where they are
        start, ring = rng.integers(12), rng.integers(2)
        steps = np.cumsum(rng.integers(1, 3, 8)) + start
        users += [f"u{user}"] * 8
        rows += (steps % 12 + 12 * ring).tolist()
    catalog = Catalog(Item(f"i{row}", f"Item {row}") for row in range(24))
    return leave_one_out(Interactions.from_columns(users, np.array(rows), 24), catalog)


def ndcg(model, cases):
    return ndcg_at(case_ranks(model.score, cases, 24), 10).mean()


@pytest.mark.parametrize("name", KINDS)
def test_the_chosen_settings_are_no_worse_than_the_defaults_and_are_fitted(name, split):
    kind = KINDS[name]
    model, options = tune(lambda chosen: kind(**chosen), split.train, split.validation)
    assert ndcg(model, split.validation) >= ndcg(kind().fit(split.train), split.validation)
    again = kind(**options).fit(split.train)
    assert ndcg(again, split.validation) == pytest.approx(ndcg(model, split.validation))
    assert {name: model.settings()[name] for name in options} == options


def test_a_model_without_stages_is_only_fitted(split):
    model, options = tune(lambda chosen: Popularity(**chosen), split.train, split.validation)
    assert options == {}
    np.testing.assert_array_equal(model.score([]), Popularity().fit(split.train).score([]))


def test_of_a_model_with_epochs_their_number_is_chosen(split):
    def make(options):
        return SASRec(dim=8, learning_rate=0.01, patience=2, **options)

    model, options = tune(make, split.train, split.validation)
    assert options == {"max_epochs": model.best_epoch}
    assert len(model.log) == model.best_epoch + 2
    again = make(options).fit(split.train)
    assert ndcg(again, split.validation) == pytest.approx(ndcg(model, split.validation))


def test_without_cases_the_defaults_are_used(split):
    model, options = tune(lambda chosen: Ease(**chosen), split.train, [])
    assert options == {}
    assert model.settings() == Ease().settings()


def test_every_grid_names_hyperparameters_of_its_model():
    for model in MEMBERS.built_in().values():
        assert {key for stage in model.grid for key in stage} <= set(model.hyperparameters)
    assert all(KINDS[name].grid for name in KINDS)


def test_a_search_that_has_no_more_time_returns_the_best_so_far(split):
    tried = []

    def make(options):
        tried.append(options)
        return Ease(**options)

    model, options = tune(make, split.train, split.validation, enough=lambda: len(tried) > 0)
    assert (options, len(tried)) == ({}, 1)
    assert ndcg(model, split.validation) > 0
    whole, _ = tune(make, split.train, split.validation)
    assert ndcg(whole, split.validation) >= ndcg(model, split.validation)


def test_models_that_share_counts_equal_those_fitted_alone(split):
    shared = {}
    for options in ({}, {"smoothing": 10.0}, {"decay": 1.0}, {"backward": 1.0}, {"lags": 2}):
        together, alone = (SequentialRules(**options) for _ in range(2))
        together.fit_sharing(split.train, shared)
        assert (together.rules != alone.fit(split.train).rules).nnz == 0


def test_many_items_have_fewer_cases(split, monkeypatch):
    counted = []
    monkeypatch.setattr(tuning, "LEAST_CASES", 10)
    monkeypatch.setattr(tuning, "SCORES", 24 * 50)
    monkeypatch.setattr(tuning, "case_ranks", lambda score, cases, *rest: counted.append(len(cases)) or np.ones(1))
    tune(lambda chosen: Ease(**chosen), split.train, split.validation)
    monkeypatch.setattr(tuning, "SCORES", 0)
    tune(lambda chosen: Ease(**chosen), split.train, split.validation)
    assert set(counted) == {50, 10}
