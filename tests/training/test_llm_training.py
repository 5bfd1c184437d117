"""Cold items are placed near items with similar texts."""

import numpy as np
import pytest
import torch
from tiny_training import book_of, tiny_llm

from genre_gen import Catalog, Interactions, Recommender
from genre_gen.data.catalog import Item
from genre_gen.data.splits import leave_one_out
from genre_gen.llm.generator import ItemGenerator
from genre_gen.tasks import TaskData
from genre_gen.training.llm_training import place_cold_items, train_llm

COLD = (3, 17)


@pytest.fixture
def known(sample):
    _, interactions = sample
    return interactions.keep(~np.isin(interactions.rows, COLD))


@pytest.fixture
def trained(tiny_domain, sample, known):
    """Return a function that makes a model with random code vectors, as if trained, and the data for it."""

    def make(**changes):
        domain = tiny_domain.changed(changes)
        llm = tiny_llm(domain, sample[0], known)
        llm.code_embedding.data.copy_(torch.randn(llm.code_embedding.shape, generator=torch.Generator().manual_seed(0)))
        return llm, TaskData(sample[0], known, domain)

    return make


def vectors(llm):
    tokens = torch.as_tensor(llm.codes.codes[:, 0].astype(np.int64))
    return llm.code_vectors(tokens).detach().numpy()


@pytest.mark.parametrize("factors", [0, 12])
def test_a_cold_item_lies_at_the_mean_of_those_with_similar_texts(trained, factors):
    llm, data = trained(**{"codes.cold_start_scale": 0.8, "codes.factors": factors})
    before = vectors(llm).copy()
    place_cold_items(llm, data)
    after = vectors(llm)
    others = np.setdiff1d(np.arange(len(before)), COLD)
    assert (after[others] == before[others]).all()
    similar = data.text_similarity.toarray()
    for row in COLD:
        shares = similar[row] ** 2 / (similar[row] ** 2).sum()
        mean, length = shares @ before, shares @ np.linalg.norm(before, axis=1)
        assert after[row] == pytest.approx(0.8 * length * mean / np.linalg.norm(mean), abs=1e-5)
        assert not shares[list(COLD)].any()
    place_cold_items(llm, data)
    assert vectors(llm) == pytest.approx(after, abs=1e-6)  # nothing new the second time


def test_a_cold_item_among_many_is_compared_with_warm_ones(tiny_domain):
    items = [Item(f"n{k}", f"space documentary part {k}", text="planets and stars") for k in range(25)]
    items += [Item(f"o{k}", f"space adventure {k}", text="stars and rockets") for k in range(5)]
    catalog = Catalog(items)
    log = Interactions.from_columns(["u"] * 5, np.arange(25, 30), len(catalog))
    data = TaskData(catalog, log, tiny_domain)
    assert np.diff(data.text_similarity.indptr)[:25].tolist() == [5] * 25  # though the 20 most alike are new themselves
    np.testing.assert_array_equal(
        data.similar_texts(np.array([3, 26])).toarray(), data.text_similarity[[3, 26]].toarray()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"codes.cold_start_scale": 0},
        {"codes.text": 0},  # there are none, says the domain
        {"codes.scheme": "semantic", "codes.length": 2, "codes.width": 8},
    ],
)
def test_cold_items_without_similar_texts_are_not_moved(trained, changes):
    llm, data = trained(**changes)
    before = llm.code_embedding.detach().clone()
    place_cold_items(llm, data)
    assert torch.equal(llm.code_embedding, before)


def test_training_places_them_both_times(tiny_domain, sample, known):
    domain = tiny_domain.changed({"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}})
    split = leave_one_out(known, sample[0])
    for refit in ("none", "continue"):
        state = Recommender(domain, settings={"training.refit": refit}).fit(split).state
        llm, data = state.llm, state.generator.data
        placed = vectors(llm).copy()
        place_cold_items(llm, data)
        assert vectors(llm) == pytest.approx(placed, abs=1e-6)


def test_caches_are_dropped_when_training_changes_weights(tiny_domain, sample):
    """Also by a fused optimizer, which torch does not count as a change."""
    catalog, interactions = sample
    data = TaskData(catalog, interactions, tiny_domain.changed({"training.epochs": 1}))
    llm = tiny_llm(data.domain, catalog, interactions)
    generator, histories = ItemGenerator(llm, book_of(data.domain), data), interactions.histories()[:3]
    before = generator.score(histories)
    train_llm(llm, generator.book, data, (), None)
    after = generator.score(histories)
    assert np.abs(after - before).max() > 1e-3
    generator.clear_caches()
    np.testing.assert_array_equal(generator.score(histories), after)
