"""A catalog that changes while it serves, against a trie built after each change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.decoding import live
from genre_gen.decoding.live import LiveTrie
from genre_gen.decoding.search import best_first_search, score_items, search_many
from genre_gen.decoding.trie import Trie
from genre_gen.errors import DataError, UsageError
from tests.decoding.test_search import TableModel, check_valid
from tests.decoding.test_trie import clash, pad

VOCABULARY = 4


@st.composite
def changes(draw, flat=False):
    """Draw a first catalog and changes of it: items with their rows that come, or rows that go."""
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    present: dict[int, tuple[int, ...]] = {}
    n_rows = 0

    def come(most):
        nonlocal n_rows
        new = {}
        for _ in range(most):
            code = tuple(random.integers(VOCABULARY * (5 if flat else 1), size=1 if flat else random.integers(1, 5)))
            if not any(clash(code, other) for other in [*present.values(), *new.values()]):
                free = [row for row in range(n_rows) if row not in present and row not in new]
                back = free and random.random() < 0.3
                new[int(random.choice(free)) if back else n_rows] = code
                n_rows += not back
        present.update(new)
        return new

    first = {}
    while not first:
        first = come(12)
    steps, states = [], []
    for _ in range(draw(st.integers(1, 6))):
        if random.random() < 0.6 or not present:
            steps.append(("come", come(4)))
        else:
            going = random.choice(list(present), size=random.integers(1, 1 + len(present)), replace=False)
            steps.append(("go", [int(row) for row in going]))
            for row in steps[-1][1]:
                del present[row]
        states.append((dict(present), n_rows))
    return first, steps, states


def started(first, flat=False):
    rows = np.array(list(first))
    vocabulary = VOCABULARY * (5 if flat else 1)
    return LiveTrie.of(Trie.build(pad(first.values()), vocabulary, rows, int(rows.max()) + 1))


def changed(trie, step):
    kind, what = step
    if kind == "go":
        return trie.remove(np.array(what))
    return trie.insert(pad(what.values()), np.array(list(what))) if what else trie


@pytest.fixture(params=[1, 10**6], ids=["rebuilt often", "never rebuilt"], autouse=True)
def small(request, monkeypatch):
    """Both ways: the delta is joined with the base soon, or never."""
    monkeypatch.setattr(live, "_SMALL", request.param)


def check_same(trie, present, size):
    """Every prefix of every item, its followers and counts, as the codes say."""
    allowed = np.random.default_rng(size).random(trie.size) < 0.6
    assert trie.size == size
    assert trie.n_items == len(present)
    subset = trie.subset(allowed)
    without = trie.subset(allowed, [np.arange(0, size, 3)])
    prefixes = {code[:k] for code in present.values() for k in range(len(code) + 1)} | {()}
    for prefix in prefixes:
        node = trie.walk(np.array([prefix], dtype=int).reshape(1, -1))
        assert node[0] >= 0
        below = [row for row, code in present.items() if code[: len(prefix)] == prefix]
        assert trie.count(node, trie.subset())[0] == len(below)
        assert trie.count(node, subset)[0] == allowed[below].sum()
        assert trie.count(node, without)[0] == sum(allowed[row] and row % 3 > 0 for row in below)
        _, children = trie.expand(node)
        alive = children[trie.count(children, trie.subset()) > 0]
        followers = {code[len(prefix)] for code in map(present.get, below) if len(code) > len(prefix)}
        assert trie.token(alive).tolist() == sorted(followers)
        assert (np.diff(trie.token(children)) > 0).all()
        if prefix in present.values():
            assert trie.is_leaf(node)[0]
            assert trie.row(node).tolist() == below
        elif below:
            assert not trie.is_leaf(node)[0]


@given(changes())
@settings(max_examples=80, deadline=None)
def test_any_changes_give_the_trie_of_the_present_items(drawn):
    first, steps, states = drawn
    trie = started(first)
    before = trie, dict(first), trie.size
    for step, (present, n_rows) in zip(steps, states, strict=True):
        trie = changed(trie, step)
        check_same(trie, present, n_rows)
    check_same(trie.compact(), *states[-1])
    check_same(*before)  # a request under way keeps the catalog that it began with


@given(changes(), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_the_search_is_that_of_a_trie_built_again(drawn, n):
    first, steps, states = drawn
    trie = started(first)
    for step in steps:
        trie = changed(trie, step)
    present, n_rows = states[-1]
    model, allowed = TableModel(VOCABULARY), np.random.default_rng(n).random(n_rows) < 0.7
    result = best_first_search(model, [1], trie, n, allowed)
    left = np.isin(np.arange(n_rows), list(present)) & allowed
    check_valid(result.ranking, n, n_rows, left)
    if not present:
        return
    rebuilt = Trie.build(pad(present.values()), VOCABULARY, np.array(list(present)), n_rows)
    expected = best_first_search(TableModel(VOCABULARY), [1], rebuilt, n, allowed)
    assert result.ranking.rows.tolist() == expected.ranking.rows.tolist()
    np.testing.assert_allclose(result.ranking.scores, expected.ranking.scores)
    assert (result.nodes, result.passes) == (expected.nodes, expected.passes)
    scores = score_items(model, [[1]], trie)[0]
    np.testing.assert_array_equal(np.isfinite(scores), np.isin(np.arange(n_rows), list(present)))
    np.testing.assert_allclose(scores[result.ranking.rows], result.ranking.scores, atol=1e-4)


@given(changes(flat=True), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_one_token_codes_can_be_added_and_removed(drawn, n):
    first, steps, states = drawn
    trie = started(first, flat=True)
    for step in steps:
        trie = changed(trie, step)
    present, n_rows = states[-1]
    assert trie.is_flat
    model, allowed = TableModel(20), np.random.default_rng(n).random((2, n_rows)) < 0.7
    for user, ranking in enumerate(search_many(model, [[1], [2]], trie, n, allowed)):
        check_valid(ranking, n, n_rows, np.isin(np.arange(n_rows), list(present)) & allowed[user])


@pytest.fixture
def three():
    return LiveTrie.of(Trie.build(np.array([[0, 1], [0, 2], [3, -1]]), VOCABULARY))


def test_a_removed_code_may_be_given_to_another_item(three):
    trie = three.remove(np.array([0, 2])).insert(np.array([[0, 1], [3, 3]]))
    check_same(trie, {1: (0, 2), 3: (0, 1), 4: (3, 3)}, 5)


def test_new_items_may_bring_new_tokens():
    two = LiveTrie.of(Trie.build(np.array([[0], [1]]), 2))
    assert search_many(TableModel(3), [[1]], two.insert(np.array([[2]]), vocabulary=3), 3)[0].rows.shape == (3,)
    with pytest.raises(DataError, match="tokens must be 0 to 1"):
        two.insert(np.array([[2]]))


def test_invalid_changes_of_the_catalog_are_refused(three):
    for code in ([0, 1], [3, 1], [0, -1]):
        with pytest.raises(DataError, match="new row 3 equals or begins the code of row"):
            three.insert(np.array([code]))
    with pytest.raises(DataError, match="is also the code"):
        three.insert(np.array([[1, 1], [1, 1]]))
    with pytest.raises(UsageError, match="row 1 has an item"):
        three.insert(np.array([[1, 1]]), np.array([1]))
    with pytest.raises(UsageError, match="2 different rows"):
        three.insert(np.array([[1, 1], [2, 2]]), np.array([5, 5]))
    with pytest.raises(UsageError, match="row 1 has no item"):
        three.remove(np.array([1])).remove(np.array([1, 2]))
    with pytest.raises(UsageError, match="has 0 to 2"):
        three.remove(np.array([3]))


def test_a_subset_of_an_older_state_is_refused(three):
    subset = three.subset(np.array([True, False, True]))
    later = three.insert(np.array([[1, 1]])).remove(np.array([0]))
    with pytest.raises(UsageError, match="a subset of another trie"):
        best_first_search(TableModel(VOCABULARY), [1], later, 2, subset)
