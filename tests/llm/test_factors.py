import numpy as np
import pytest
import torch
from tiny_training import tiny_llm

from genre_gen.domain import CodeSettings
from genre_gen.llm import model
from genre_gen.llm.factors import FACTORS, WHOLE_UP_TO, number_of_factors


@pytest.fixture(scope="module")
def factored(tiny_domain, sample):
    """Return a function that builds a tiny model with this number of factors."""
    return lambda factors: tiny_llm(tiny_domain.changed({"codes.factors": factors}), *sample)


def vectors(llm):
    return llm.code_vectors(torch.arange(llm.codes.vocabulary)).detach()


def test_the_size_of_the_vocabulary_decides():
    assert number_of_factors(CodeSettings(), WHOLE_UP_TO) == 0
    assert number_of_factors(CodeSettings(), WHOLE_UP_TO + 1) == FACTORS
    assert number_of_factors(CodeSettings(factors=0), 10**6) == 0
    assert number_of_factors(CodeSettings(factors=7), 5) == 7


def test_factors_begin_as_the_nearest_of_their_rank(factored):
    whole = vectors(factored(0))
    left, values, right = torch.linalg.svd(whole, full_matrices=False)
    for factors in (1, 5, 20):
        llm = factored(factors)
        assert llm.code_embedding.shape == (len(whole), factors)
        nearest = (left[:, :factors] * values[:factors]) @ right[:factors]
        torch.testing.assert_close(vectors(llm), nearest, atol=1e-4, rtol=1e-3)
    assert factored(1000).code_projection is None  # more than there are units


def test_embeddings_and_logits_are_those_of_the_product(factored):
    llm = factored(8)
    table = vectors(llm)
    ids = torch.tensor([[5, llm.text_vocabulary + 3, llm.text_vocabulary]])
    torch.testing.assert_close(llm.embed_items(ids)[0, 1:].detach(), table[[3, 0]])
    states = torch.randn(3, table.shape[1], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(llm.code_logits(states), states @ table.T, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("factors", [0, 8])
def test_cosines_are_those_of_the_embeddings(factored, factors):
    llm = factored(factors)
    table = vectors(llm).numpy()
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    assert llm.code_cosines(4).numpy() == pytest.approx(unit @ unit[4], abs=1e-5)


def test_reading_rows_gives_the_same_embeddings_as_reading_all(factored):
    llm = factored(8)
    ids = torch.tensor([[5, llm.text_vocabulary + 3, 7], [llm.text_vocabulary, 1, 2]])
    expected = llm.embed_items(ids)
    llm.row_gradients = True
    torch.testing.assert_close(llm.embed_items(ids), expected)
    assert torch.equal(llm.embed_items(ids[:, :1] * 0), llm.embed_items(torch.zeros_like(ids[:, :1])))
    llm.embed_items(ids).sum().backward()
    assert llm.code_embedding.grad.is_sparse
    assert set(llm.code_embedding.grad.coalesce().indices()[0].tolist()) == {0, 3}


@pytest.mark.parametrize("factors", [0, 8])
def test_logits_by_columns_are_those_by_rows(factored, factors, monkeypatch):
    llm = factored(factors)
    assert llm.quick_code_logits() == llm.code_logits  # few items are read by rows
    monkeypatch.setattr(model, "ROWS_UP_TO", 0)
    quick = llm.quick_code_logits()
    assert quick != llm.code_logits
    for n in (1, 3):
        states = torch.randn(n, vectors(llm).shape[1], generator=torch.Generator().manual_seed(n))
        torch.testing.assert_close(quick(states), llm.code_logits(states).detach(), atol=1e-5, rtol=1e-5)
