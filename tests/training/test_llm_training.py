"""Items that nobody has had are placed beside those that are described alike."""

import numpy as np
import pytest
import torch

from genre_gen import Catalog, Interactions, Recommender
from genre_gen.data.catalog import Item
from genre_gen.prompting.book import PromptBook
from genre_gen.tasks import TaskData
from genre_gen.training.llm_training import build_generator, finetuner, place_new_items

NEW = (3, 17)


@pytest.fixture
def known(sample):
    _, interactions = sample
    return interactions.keep(~np.isin(interactions.rows, NEW))


@pytest.fixture
def trained(tiny_domain, sample, known):
    """Return a function that makes a generator whose training is over, as far as placing goes; met codes are random."""

    def make(**changes):
        domain = tiny_domain.changed(changes)
        generator = build_generator(domain, PromptBook.load(domain), sample[0], known)
        finetuner(generator, (), None)
        noise = torch.randn(generator.llm.code_embedding.shape, generator=torch.Generator().manual_seed(0))
        generator.llm.code_embedding.data.copy_(noise)
        return generator

    return make


def vectors(generator):
    tokens = torch.as_tensor(generator.llm.codes.codes[:, 0].astype(np.int64))
    return generator.llm.code_embedding.detach()[tokens].numpy()


def test_a_new_item_lies_at_the_mean_of_those_described_alike(trained):
    generator = trained(**{"codes.cold_start_scale": 0.8})
    before = vectors(generator).copy()
    place_new_items(generator)
    after = vectors(generator)
    others = np.setdiff1d(np.arange(len(before)), NEW)
    assert (after[others] == before[others]).all()
    similar = generator.data.text_similarity.toarray()
    for row in NEW:
        shares = similar[row] ** 2 / (similar[row] ** 2).sum()
        mean, length = shares @ before, shares @ np.linalg.norm(before, axis=1)
        assert after[row] == pytest.approx(0.8 * length * mean / np.linalg.norm(mean), abs=1e-5)
        assert not shares[list(NEW)].any()
    place_new_items(generator)
    assert vectors(generator) == pytest.approx(after, abs=1e-6)  # nothing new the second time


def test_a_new_item_among_many_new_ones_is_compared_with_those_that_somebody_had(tiny_domain):
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
def test_new_items_are_left_where_nothing_can_be_said_of_them(trained, changes):
    generator = trained(**changes)
    before = generator.llm.code_embedding.detach().clone()
    place_new_items(generator)
    assert torch.equal(generator.llm.code_embedding, before)


def test_training_places_them_both_times(tiny_domain, sample, known):
    domain = tiny_domain.changed({"training.epochs": 1, "tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}})
    split = known.leave_one_out()
    recommender = Recommender.from_domain(domain)
    for final in (None, split.train_and_validation):
        recommender.fit(sample[0], split.train, split.validation, final=final)
        placed = vectors(recommender.generator)
        place_new_items(recommender.generator)
        assert vectors(recommender.generator) == pytest.approx(placed, abs=1e-6)
