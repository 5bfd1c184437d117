"""The search against brute force over the whole catalog, on models whose scores are random but known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import tiny_llama
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.decoding.beam_search import beam_search
from genre_gen.decoding.search import best_first_search, score_items, search, search_many
from genre_gen.decoding.trie import Trie
from genre_gen.errors import DecodingError, UsageError
from tests.decoding.test_tree import wrap


class TableModel:
    """A step model whose logits depend on the prompt and the path alone; counts what it is asked."""

    def __init__(self, vocabulary, seed=0, sharpness=2.0, broken=None, value=float("nan")):
        self.vocabulary, self.seed, self.sharpness = vocabulary, seed, sharpness
        self.broken, self.value = broken, value  # the path whose logits hold one such value
        self.passes = self.nodes = 0

    def logits(self, prompt, path):
        key = [self.seed, len(prompt), *prompt, len(path), *path]
        row = torch.from_numpy(np.random.default_rng(key).normal(size=self.vocabulary) * self.sharpness).float()
        if self.broken is not None and tuple(path) == self.broken:
            row[sum(path) % self.vocabulary] = self.value
        return row

    def prefill(self, prompts):
        return {"prompts": [list(ids) for ids in prompts], "nodes": []}, self.prefill_many(prompts)

    def prefill_many(self, prompts):
        self.passes += 1
        return torch.stack([self.logits(ids, []) for ids in prompts])

    def step(self, state, tokens, parents, users):
        self.passes += 1
        self.nodes += len(tokens)
        assert (users.diff() >= 0).all()
        old = state["nodes"]
        new = []
        for token, parent, user in zip(tokens.tolist(), parents.tolist(), users.tolist(), strict=True):
            assert parent < 0 or old[parent][0] == user
            new.append((user, [*(old[parent][1] if parent >= 0 else []), token]))
        state["nodes"] = old + new
        return torch.stack([self.logits(state["prompts"][user], path) for user, path in new])


def brute_force(model, prompt, codes):
    """Score every item on its own, token by token."""
    scores = []
    for padded in codes:
        code = [token for token in padded.tolist() if token >= 0]
        steps = [torch.log_softmax(model.logits(prompt, code[:k]), 0)[token].item() for k, token in enumerate(code)]
        scores.append(sum(steps))
    return np.array(scores)


def random_codes(random, vocabulary, n_items, length, cut=False):
    """Return at most so many codes in random order; ``cut`` short where no other shares the shorter prefix."""
    codes = np.unique(random.integers(vocabulary, size=(n_items, length)), axis=0)
    for row in random.permutation(len(codes)) if cut else ():
        keep = random.integers(1, length + 1)
        others = np.delete(codes, row, axis=0)
        if not (others[:, :keep] == codes[row, :keep]).all(axis=1).any():
            codes[row, keep:] = -1
    return random.permutation(codes)


def grid(size, length=2):
    """Return the codes of so many tokens, each of ``size``."""
    return np.stack(np.meshgrid(*[np.arange(size)] * length), -1).reshape(-1, length)


@st.composite
def catalogs(draw, max_items=60):
    """Draw codes (flat, of equal length, or of any lengths), their trie, and which items are allowed."""
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    vocabulary, length = draw(st.integers(2, 9)), draw(st.integers(1, 4))
    codes = random_codes(random, vocabulary, draw(st.integers(1, max_items)), length, draw(st.booleans()))
    allowed = None if draw(st.booleans()) else random.random(len(codes)) < draw(st.sampled_from([0.0, 0.2, 0.8]))
    return codes, Trie.build(codes, vocabulary), allowed


def check_valid(ranking, n, n_items, allowed):
    permitted = np.arange(n_items) if allowed is None else np.flatnonzero(allowed)
    assert len(ranking) == min(n, len(permitted))
    assert len(set(ranking.rows)) == len(ranking)
    assert np.isin(ranking.rows, permitted).all()
    assert np.isfinite(ranking.scores).all()
    assert (np.diff(ranking.scores) <= 0).all()


@given(catalogs(), st.integers(1, 70), st.integers(0, 5), st.sampled_from([0.0, 0.5, 5.0]))
@settings(max_examples=100, deadline=None)
def test_exact_search_is_brute_force(catalog, n, seed, sharpness):
    codes, trie, allowed = catalog
    model = TableModel(trie.vocabulary, seed, sharpness)
    outcome = best_first_search(model, [seed, 1], trie, n, allowed)
    check_valid(outcome.ranking, n, len(codes), allowed)
    assert outcome.exact
    assert outcome.nodes == model.nodes
    scores = brute_force(model, [seed, 1], codes)
    np.testing.assert_allclose(outcome.ranking.scores, scores[outcome.ranking.rows], atol=1e-4)
    best = np.sort(scores if allowed is None else scores[allowed])[::-1][:n]
    np.testing.assert_allclose(outcome.ranking.scores, best, atol=1e-4)
    np.testing.assert_allclose(score_items(model, [[seed, 1]], trie)[0], scores, atol=1e-4)


@given(catalogs(), st.integers(1, 20), st.integers(0, 5), st.integers(0, 40))
@settings(max_examples=120, deadline=None)
def test_a_limited_search_reports_whether_it_is_exact(catalog, n, seed, limit):
    codes, trie, allowed = catalog
    model = TableModel(trie.vocabulary, seed, sharpness=0.3)
    limited = best_first_search(model, [seed], trie, n, allowed, max_nodes=limit)
    check_valid(limited.ranking, n, len(codes), allowed)
    scores = brute_force(model, [seed], codes)
    np.testing.assert_allclose(limited.ranking.scores, scores[limited.ranking.rows], atol=1e-4)
    best = best_first_search(model, [seed], trie, n, allowed)
    assert limited.nodes <= best.nodes
    assert limited.exact == (limited.nodes == best.nodes)
    if limited.exact:
        assert limited.ranking.rows.tolist() == best.ranking.rows.tolist()


def test_the_limit_applies_after_n_items_are_found():
    outcome = best_first_search(TableModel(40, sharpness=0.01), [1], Trie.build(grid(40), 40), 5, max_nodes=32)
    assert (outcome.exact, outcome.nodes, len(outcome.ranking)) == (False, 32, 5)


@given(catalogs(), st.integers(1, 20), st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 50))
@settings(max_examples=120, deadline=None)
def test_scores_that_are_not_finite_never_become_items(catalog, n, value, which):
    codes, trie, allowed = catalog
    code = [token for token in codes[which % len(codes)].tolist() if token >= 0]
    model = TableModel(trie.vocabulary, broken=tuple(code[: which % len(code)]), value=value)
    sound = TableModel(trie.vocabulary)
    try:
        ranking = search(model, [3], trie, n, allowed)
    except DecodingError:
        return
    # The search never looked there: then the answer is that of the sound model.
    expected = search(sound, [3], trie, n, allowed)
    assert ranking.rows.tolist() == expected.rows.tolist()


class Huge(TableModel):
    def logits(self, prompt, path):
        return torch.tensor([3e38, -3e38, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("model", [Huge(5), *(TableModel(5, broken=(), value=v) for v in (np.nan, np.inf, -np.inf))])
def test_broken_prompts_and_scores_that_overflow_raise(model):
    trie = Trie.build(np.arange(5)[:, None], 5)
    with pytest.raises(DecodingError, match="not finite"):
        search(model, [1], trie, 2)
    with pytest.raises(DecodingError, match="not finite"):
        search_many(model, [[1], [2]], trie, 2)


@given(catalogs(), st.integers(1, 20), st.integers(1, 5), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_a_batch_gives_the_results_of_single_requests(catalog, n, users, batch_tokens):
    _, trie, allowed = catalog
    model = TableModel(trie.vocabulary)
    prompts = [[user] * (user % 3 + 1) for user in range(users)]
    each = None if allowed is None else np.stack([np.roll(allowed, user) for user in range(users)])
    together = search_many(model, prompts, trie, n, each, batch_tokens=batch_tokens)
    for user, ranking in enumerate(together):
        single = search(model, prompts[user], trie, n, None if each is None else each[user])
        assert ranking.rows.tolist() == single.rows.tolist()
        assert np.array_equal(ranking.scores, single.scores)


@given(catalogs(), st.integers(1, 20), st.integers(1, 4), st.booleans())
@settings(max_examples=100, deadline=None)
def test_excluded_items_equal_items_that_are_not_allowed(catalog, n, users, alike):
    codes, trie, allowed = catalog
    random = np.random.default_rng(n)
    exclude = [random.integers(len(codes), size=random.integers(0, 9)) for _ in range(users)]
    permitted = np.ones((users, len(codes)), bool)
    if allowed is not None:
        permitted &= allowed if alike else np.stack([np.roll(allowed, user) for user in range(users)])
    shared = allowed if alike or allowed is None else permitted.copy()
    for user, rows in enumerate(exclude):
        permitted[user, rows] = False
    prompts = [[user] for user in range(users)]
    model, subset = TableModel(trie.vocabulary), trie.subset(shared, exclude)
    rankings = search_many(model, prompts, trie, n, subset)
    twice = search_many(model, prompts, trie, n, trie.subset(trie.subset(subset, exclude), exclude))
    expected = search_many(model, prompts, trie, n, permitted)
    for ranking, again, other in zip(rankings, twice, expected, strict=True):
        assert ranking.rows.tolist() == again.rows.tolist() == other.rows.tolist()


def test_many_users_share_passes():
    trie, model = Trie.build(grid(9, 3), 9), TableModel(9, sharpness=20.0)
    prompts = [[user] for user in range(8)]
    alone = [best_first_search(model, prompt, trie, 5).passes for prompt in prompts]
    model.passes = 0
    search_many(model, prompts, trie, 5)
    assert model.passes == max(alone)


def test_one_token_codes_need_one_pass_only():
    model = TableModel(50)
    outcome = best_first_search(model, [1], Trie.build(np.arange(50)[:, None], 50), 10)
    assert (outcome.exact, outcome.passes, outcome.nodes, model.passes) == (True, 1, 0, 1)


def test_without_allowed_items_the_model_is_not_called():
    model = TableModel(5)
    assert len(search(model, [1], Trie.build(np.arange(5)[:, None], 5), 3, np.zeros(5, dtype=bool))) == 0
    assert model.passes == 0


def test_equal_scores_are_ordered_by_row():
    codes = np.array([[3], [0], [2], [1]])
    ranking = search(TableModel(4, sharpness=0.0), [1], Trie.build(codes, 4), 3)
    assert ranking.rows.tolist() == [0, 1, 2]


def test_only_nodes_that_can_still_win_are_expanded():
    # One prefix has nearly all probability: the search expands it, the root, and nothing more.
    class Peaked(TableModel):
        def logits(self, prompt, path):
            return torch.tensor([30.0, *[0.0] * 39]) if not path else torch.zeros(40)

    codes = grid(40)
    outcome = best_first_search(Peaked(40), [1], Trie.build(codes, 40), 32)
    assert outcome.exact
    assert outcome.passes == 2
    assert (codes[outcome.ranking.rows, 0] == 0).all()


def test_an_item_that_a_beam_loses_is_found():
    class Late(TableModel):
        def logits(self, prompt, path):  # token 1 begins worse, but goes on with certainty
            return {(): torch.tensor([1.0, 0.5]), (1,): torch.tensor([9.0, 0.0])}.get(tuple(path), torch.zeros(2))

    trie = Trie.build(np.array([[0, 0], [0, 1], [1, 0]]), 2)
    assert beam_search(Late(2), [[1]], trie, 1)[0].rows.tolist() == [0]
    assert search(Late(2), [1], trie, 1).rows.tolist() == [2]


def test_invalid_requests_are_refused():
    model, trie = TableModel(5), Trie.build(np.arange(5)[:, None], 5)
    with pytest.raises(UsageError, match="n = 0"):
        search(model, [1], trie, 0)
    with pytest.raises(UsageError, match="n = 0"):
        search_many(model, [[1]], trie, 0)
    with pytest.raises(UsageError, match=r"bool\[5\]"):
        search(model, [1], trie, 3, np.ones(4, dtype=bool))
    with pytest.raises(UsageError, match=r"bool\[5\]"):
        search_many(model, [[1]], trie, 3, np.ones((1, 4), dtype=bool))
    assert search_many(model, [], trie, 3) == []
    for subset in (np.ones((2, 5), dtype=bool), trie.subset(None, [[1], [2]])):
        with pytest.raises(UsageError, match="for 2 users, but there are 3"):
            search_many(model, [[1]] * 3, trie, 3, subset)
        with pytest.raises(UsageError, match="for 2 users, but there are 1"):
            search(model, [1], trie, 3, subset)
    with pytest.raises(UsageError, match="for 2 users, but there are 3"):
        trie.subset(np.ones((2, 5), dtype=bool), [[1], [2], [3]])
    with pytest.raises(UsageError, match="has 0 to 4"):
        trie.subset(None, [[5]])
    with pytest.raises(UsageError, match="a subset of another trie"):
        search(model, [1], Trie.build(np.arange(5)[:, None], 5), 3, trie.subset())


@given(st.integers(0, 10**6), st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_a_real_decoder_is_searched_exactly(seed, n):
    random = np.random.default_rng(seed)
    text, vocabulary = 40, 12
    codes = np.unique(random.integers(vocabulary, size=(60, 3)), axis=0)
    trie = Trie.build(codes, vocabulary)
    model = tiny_llama(vocabulary=text + vocabulary, seed=seed)
    tree = wrap(model, text)
    prompt = random.integers(text, size=random.integers(1, 30)).tolist()
    allowed = random.random(len(codes)) < 0.7
    ids = torch.as_tensor(np.concatenate([np.tile(prompt, (len(codes), 1)), codes + text], axis=1))
    with torch.inference_mode():  # one full forward pass per item
        steps = torch.log_softmax(model(input_ids=ids).logits[:, len(prompt) - 1 : -1, text:], -1)
    scores = steps.gather(2, torch.as_tensor(codes)[:, :, None]).sum((1, 2)).numpy()
    ranking = search(tree, prompt, trie, n, allowed)
    check_valid(ranking, n, len(codes), allowed)
    np.testing.assert_allclose(ranking.scores, np.sort(scores[allowed])[::-1][:n], atol=1e-4)
    np.testing.assert_allclose(ranking.scores, scores[ranking.rows], atol=1e-4)
