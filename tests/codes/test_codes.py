"""Item codes: unique, prefix-free, alike for like items, the same after saving."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.codes import CODE_SCHEMES, Codes, make_codes
from genre_gen.codes.schemes import title
from genre_gen.codes.semantic import semantic
from genre_gen.data.catalog import Catalog, Item
from genre_gen.decoding.trie import Trie
from genre_gen.errors import ConfigError, DataError, UsageError

TITLES = ["Toy Story", "Toy Story 2", "Toy", "!", "Amélie", "千と千尋の神隠し", "<end>", "Toy Story [2]"]


def catalog() -> Catalog:
    return Catalog([Item(str(k), text) for k, text in enumerate(TITLES)])


def wanted(scheme: str, length: int = 2, width: int = 3) -> SimpleNamespace:
    return SimpleNamespace(scheme=scheme, length=length, width=width)


@pytest.mark.parametrize("scheme", sorted(CODE_SCHEMES))
def test_every_scheme_names_every_item_once(scheme):
    embeddings = np.random.default_rng(0).normal(size=(len(TITLES), 5))
    codes = make_codes(wanted(scheme), catalog(), embeddings)
    trie = Trie.build(codes.codes, codes.vocabulary)  # refuses codes that are not unique and prefix-free
    assert trie.n_items == len(TITLES)
    assert len(set(codes.names)) == codes.vocabulary
    restored = Codes.from_arrays(codes.name, codes.arrays())
    assert restored.names == codes.names
    assert np.array_equal(restored.codes, codes.codes)


def test_title_codes_spell_the_title():
    codes = title(TITLES)
    assert codes.text(1) == "<word_toy><word_ story><word_ 2><end>"
    assert codes.codes[0, :2].tolist() == codes.codes[1, :2].tolist()


def test_semantic_codes_share_a_beginning_when_items_are_alike():
    random = np.random.default_rng(1)
    centres = random.normal(size=(4, 16)) * 10
    kind = np.repeat(np.arange(4), 25)
    codes = semantic(centres[kind] + random.normal(size=(100, 16)) * 0.1, length=3, width=4)
    first = codes.codes[:, 0]
    assert all(len(set(first[kind == k])) == 1 for k in range(4))
    assert len(set(first)) == 4
    assert codes.names[0] == "<a_0>"
    assert codes.names[first.max() + 1] == "<b_0>"


@given(
    n=st.integers(1, 60),
    length=st.integers(1, 4),
    width=st.integers(2, 8),
    distinct=st.integers(1, 60),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_semantic_codes_are_unique_even_for_equal_items(n, length, width, distinct, seed):
    random = np.random.default_rng(seed)
    embeddings = random.normal(size=(distinct, 3))[random.integers(distinct, size=n)].astype(np.float32)
    codes = semantic(embeddings, length, width, seed)
    trie = Trie.build(codes.codes, codes.vocabulary)
    assert trie.n_items == n
    assert codes.codes.shape == (n, length)
    assert np.array_equal(codes.codes, semantic(embeddings, length, width, seed).codes)


def test_invalid_arguments_are_refused():
    with pytest.raises(DataError, match="finite"):
        semantic(np.array([[1.0, np.nan]]))
    with pytest.raises(UsageError, match="width"):
        semantic(np.ones((3, 2)), width=1)
    with pytest.raises(ConfigError, match="need item embeddings"):
        make_codes(wanted("semantic"), catalog())
    with pytest.raises(ConfigError, match="7 item embeddings for 8 items"):
        make_codes(wanted("semantic"), catalog(), lambda: np.ones((7, 2)))
    with pytest.raises(ConfigError, match="no code scheme 'sematic', did you mean 'semantic'"):
        make_codes(wanted("sematic"), catalog())


def test_embeddings_are_computed_only_when_needed():
    def embed():
        raise AssertionError("called")

    assert make_codes(wanted("atomic"), catalog(), embed).vocabulary == len(TITLES)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0], [1], [1]], "is the code of another"),
        ([[0, -1], [1, -1], [1, 2]], "or a prefix of it"),
        ([[0, 1], [1, -1], [0, -1]], "or a prefix of it"),
        ([[0, -1], [-1, -1], [1, 2]], "are empty, or have gaps"),
        ([[-1, 0], [1, 2], [2, 0]], "are empty, or have gaps"),
        ([[0], [1], [3]], "holds 3, outside -1 to 2"),
        ([[0], [1], [-2]], "holds -2"),
        ([0, 1, 2], "has the shape"),
        ([[0.0], [1.0], [2.0]], "holds float64"),
        (np.zeros(0, int), "has the shape"),
        (np.zeros((0, 1), int), "are empty"),
    ],
)
def test_codes_that_no_scheme_makes_are_refused(codes, message):
    names = np.frombuffer(b'["a", "b", "c"]', dtype=np.uint8)
    with pytest.raises(ValueError, match=message):
        Codes.from_arrays("title", {"codes": np.array(codes), "names": names})


@pytest.mark.parametrize("names", [b"", b"3", b'["a", 3]', b'{"a": 1}', b"[" * 100_000, b"\xff"])
def test_names_that_are_none_are_refused(names):
    arrays = {"codes": np.zeros((1, 1), int), "names": np.frombuffer(names, dtype=np.uint8)}
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        Codes.from_arrays("title", arrays)
    with pytest.raises(ValueError, match="names is missing"):
        Codes.from_arrays("title", {"codes": arrays["codes"]})
