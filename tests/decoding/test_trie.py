"""The trie against a dictionary of prefixes, which is slow and obviously right."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.decoding.trie import Trie
from genre_gen.errors import DataError, UsageError

VOCABULARY = 5


def pad(codes):
    """Return codes of any lengths in one array, padded with -1."""
    return np.array(list(zip_longest(*codes, fillvalue=-1))).T


def clash(code, other):
    """Tell whether one of two codes begins the other."""
    return all(token == another for token, another in zip(code, other, strict=False))


@st.composite
def code_lists(draw, max_items=40):
    """Random prefix-free codes of any lengths, in random order."""
    code = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=4).map(tuple)
    prefix_free: list[tuple[int, ...]] = []
    for drawn in draw(st.lists(code, min_size=1, max_size=max_items)):
        if not any(clash(drawn, other) for other in prefix_free):
            prefix_free.append(drawn)
    return prefix_free


def prefixes(codes):
    """Map each prefix to the rows that begin with it."""
    table: dict[tuple[int, ...], list[int]] = {}
    for row, code in enumerate(codes):
        for size in range(len(code) + 1):
            table.setdefault(code[:size], []).append(row)
    return table


@given(code_lists(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_nodes_are_the_prefixes(codes, random):
    trie = Trie.build(pad(codes), VOCABULARY)
    table = prefixes(codes)
    allowed = np.array([random.random() < 0.5 for _ in codes])
    counts = trie.counts(allowed)
    assert trie.n_nodes == len(table)
    assert trie.n_items == len(codes)
    assert trie.is_flat == all(len(code) == 1 for code in codes)
    nodes = [trie.walk(np.array([prefix], dtype=int).reshape(1, -1))[0] for prefix in table]
    assert sorted(nodes) == list(range(trie.n_nodes))
    for node, (prefix, rows) in zip(nodes, table.items(), strict=True):
        assert counts[node] == allowed[rows].sum()
        assert sorted(trie.rows[trie.begin[node] : trie.end[node]]) == rows
        owners, children = trie.expand(np.array([node]))
        followers = sorted(
            {other[len(prefix)] for other in table if len(other) > len(prefix) and other[: len(prefix)] == prefix}
        )
        assert trie.tokens[children].tolist() == followers
        assert (owners == 0).all()
        if not followers:
            assert trie.is_leaf(np.array([node]))[0]
            assert trie.row(np.array([node])).tolist() == rows


@given(code_lists(), st.lists(st.lists(st.integers(-1, VOCABULARY), min_size=6, max_size=6), min_size=1, max_size=20))
@settings(max_examples=200, deadline=None)
def test_walk_of_random_tokens(codes, walks):
    trie = Trie.build(pad(codes), VOCABULARY)
    table = prefixes(codes)
    for walk, node in zip(walks, trie.walk(np.array(walks)), strict=True):
        complete = [code for code in codes if tuple(walk[: len(code)]) == code]
        if complete:  # what follows a complete code does not matter
            assert trie.row(np.array([node]))[0] == codes.index(complete[0])
        else:
            assert (node >= 0) == (tuple(walk) in table)


@given(code_lists())
@settings(max_examples=50, deadline=None)
def test_nodes_are_expanded_in_any_order_and_codes_can_be_read_back(codes):
    trie = Trie.build(pad(codes), VOCABULARY)
    nodes = np.random.default_rng(0).integers(trie.n_nodes, size=10)
    owners, children = trie.expand(nodes)
    one_by_one = [(k, child) for k, node in enumerate(nodes) for child in trie.expand(np.array([node]))[1]]
    assert list(zip(owners, children, strict=True)) == one_by_one
    assert trie.codes().tolist() == pad(codes)[trie.rows].tolist()
    assert trie.position(trie.rows).tolist() == list(range(len(codes)))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 1], [2, 3], [0, 1]], r"row 0, \[0, 1\], is also the code of row 2"),
        ([[0, 1], [2, -1], [2, 3]], r"row 1, \[2, -1\], begins the code of row 2"),
        ([[0, 5]], "tokens must be 0 to 4"),
        ([[0, -2]], "tokens must be 0 to 4"),
        ([[1, 1], [-1, -1]], "row 1 is empty"),
        ([[1, -1, 2]], "allowed at its end only"),
        (np.zeros((0, 2)), "at least one of each"),
        ([1, 2], "one row of tokens per item"),
    ],
)
def test_codes_that_name_no_catalog_are_refused(codes, message):
    with pytest.raises(DataError, match=message):
        Trie.build(np.asarray(codes, dtype=np.int64), VOCABULARY)


def test_allowed_of_another_catalog_is_refused():
    trie = Trie.build(np.array([[0], [1]]), VOCABULARY)
    with pytest.raises(UsageError, match=r"bool\[2\]"):
        trie.counts(np.ones(3, dtype=bool))
    with pytest.raises(UsageError, match="int64"):
        trie.counts(np.ones(2, dtype=np.int64))


@pytest.mark.parametrize("vocabulary", [2, 255, 2**21 - 1, 2**31 - 1])
def test_tokens_of_any_size_are_sorted(vocabulary):
    """However many tokens fit into one number when codes are sorted."""
    random = np.random.default_rng(vocabulary)
    codes = np.unique(random.integers(max(0, vocabulary - 3), vocabulary, size=(50, 9)), axis=0)
    shuffled = random.permutation(len(codes))
    trie = Trie.build(codes[shuffled], vocabulary)
    assert trie.codes().tolist() == codes.tolist()
    assert trie.rows.tolist() == np.argsort(shuffled).tolist()


def test_rows_need_not_be_those_of_the_codes():
    trie = Trie.build(np.array([[1], [0]]), 2, np.array([4, 2]), 6)
    assert (trie.n_items, trie.size, trie.rows.tolist()) == (2, 6, [2, 4])
    assert trie.counts(np.array([True, True, True, True, False, True])).tolist() == [1, 1, 0]
    assert trie.position(np.arange(6)).tolist() == [-1, -1, 0, -1, 1, -1]
    assert trie.nbytes == 4 * (4 + 3 * 3 + 2 + 6)


def test_codes_that_are_the_rows_themselves_are_known():
    rows = np.arange(VOCABULARY)[:, None]
    assert Trie.build(rows, VOCABULARY).is_identity
    assert not Trie.build(rows[::-1].copy(), VOCABULARY).is_identity  # in another order
    assert not Trie.build(rows, VOCABULARY + 1).is_identity  # a token without an item
    assert not Trie.build(rows[:-1], VOCABULARY).is_identity
    assert not Trie.build(rows, VOCABULARY, size=VOCABULARY + 1).is_identity  # a row without an item
    assert not Trie.build(np.concatenate([rows, rows], axis=1), VOCABULARY).is_identity
