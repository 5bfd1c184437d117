"""What is cached between requests: the same answers as without, nobody else's, nothing of old weights, and bounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import tiny_llama
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.decoding.prefix_cache import CachedPrefix, PrefixCache
from genre_gen.decoding.search import search, search_many
from genre_gen.decoding.trie import Trie
from genre_gen.errors import UsageError
from tests.decoding.test_tree import CODES, TEXT, counted, shared_model, wrap

PREFIX = [1, 2, 3, 4]
PAIRS = np.stack(np.meshgrid(range(4), range(4)), -1).reshape(-1, 2)


@pytest.fixture
def model():
    return tiny_llama(vocabulary=TEXT + CODES)


events = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", 3]), st.lists(st.integers(0, 5), min_size=1, max_size=12)),
    min_size=1,
    max_size=8,
)


@given(events, st.integers(0, 40_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_requests_in_any_order_get_the_answers_of_single_ones(asked, room, flat):
    uncached, tree = wrap(shared_model()), wrap(shared_model(), cache_bytes=room)
    trie = Trie.build(np.arange(CODES)[:, None] if flat else PAIRS, CODES)
    tree.cache_prefix(PREFIX)
    for user, prompt in asked:
        ids = [*PREFIX, *prompt]
        ranking = search(tree.for_user(user), ids, trie, 5)
        alone = search(uncached, ids, trie, 5)
        np.testing.assert_allclose(ranking.scores, alone.scores, atol=1e-4)
        assert ranking.rows.tolist() == alone.rows.tolist()
        cached = sum(entry.nbytes for entry in tree.prefixes.by_user.values())
        assert cached == tree.prefixes.nbytes <= room


rounds = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["ann", "bob", 3, None]), st.lists(st.integers(0, 5), min_size=1, max_size=12)),
        min_size=2,
        max_size=6,
    ),
    min_size=1,
    max_size=4,
)


@given(rounds, st.integers(0, 40_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_batches_of_users_get_the_answers_of_single_requests(batches, room, shared):
    uncached, tree = wrap(shared_model()), wrap(shared_model(), cache_bytes=room)
    if shared:
        tree.cache_prefix(PREFIX)
    for asked in batches:
        users, prompts = zip(*[(user, [*PREFIX, *prompt]) for user, prompt in asked], strict=True)
        logits = tree.for_users(users).prefill_many(prompts)
        alone = torch.cat([uncached.prefill_many([prompt]) for prompt in prompts])
        np.testing.assert_allclose(logits.numpy(), alone.numpy(), atol=1e-4)
        cached = sum(entry.nbytes for entry in tree.prefixes.by_user.values())
        assert cached == tree.prefixes.nbytes <= room
        assert None not in tree.prefixes.by_user


def test_batches_read_only_new_events(model, monkeypatch):
    tree = wrap(model)
    tree.cache_prefix(PREFIX)
    monkeypatch.setattr("genre_gen.decoding.tree.CPU_TOKENS", 4)
    read = counted(model)
    tree.for_users(["ann", "bob", None]).prefill_many([[*PREFIX, 7, 8], [*PREFIX, 7, 5, 9], [*PREFIX, 7]])
    tree.for_users(["ann", "bob", None]).prefill_many([[*PREFIX, 7, 8, 9], [*PREFIX, 7, 5, 9], [*PREFIX, 7]])
    assert read == [2, 4, 2]  # at most 4 tokens together; then two users' last tokens, and nothing for bob
    tree.for_users(["ann", "eve"]).prefill([[*PREFIX, 7, 8, 9], [*PREFIX, 5]])  # codes of several tokens: all is read
    assert read[3:] == [3]


def test_only_new_events_are_read(model):
    tree = wrap(model)
    tree.cache_prefix(PREFIX)
    tree.prefill([PREFIX])  # the decoder is tried out once
    read = counted(model)
    tree.for_user("ann").prefill([[*PREFIX, 7, 8]])
    tree.for_user("ann").prefill([[*PREFIX, 7, 8, 9]])  # an event more
    tree.for_user("ann").prefill([[*PREFIX, 7, 8, 9]])  # the same again
    tree.for_user("ann").prefill([[*PREFIX, 7, 5, 9]])  # another history from the second event on
    tree.for_user("ann").prefill([[6, 7]])  # another template
    assert read == [2, 1, 2, 2]


def test_the_same_request_gets_the_same_bits(model):
    tree = wrap(model)
    trie = Trie.build(PAIRS, CODES)
    for prompt in ([5, 6], [5, 6, 7]):
        first, again, other = (search(tree.for_user("ann"), prompt, trie, 6) for _ in range(3))
        assert first.rows.tolist() == again.rows.tolist() == other.rows.tolist()
        assert first.scores.tolist() == again.scores.tolist() == other.scores.tolist()


def test_users_never_get_another_users_prompt(model):
    tree = wrap(model)
    tree.prefill([PREFIX])  # as above
    read = counted(model)
    tree.for_user("ann").prefill([[5, 6, 7, 8]])
    tree.for_user("bob").prefill([[5, 6, 7, 8]])
    tree.for_user(("ann",)).prefill([[5, 6, 7, 8]])
    tree.prefill([[5, 6, 7, 8]])
    tree.prefill_many([[5, 6, 7, 8]])
    assert read == [4] * 5


def change_by_optimizer(model):
    parameter = model.model.layers[0].mlp.up_proj.weight
    parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD([parameter], lr=0.1).step()


def change_by_loading(model):
    model.load_state_dict(tiny_llama(vocabulary=TEXT + CODES, seed=1).state_dict())


def change_of_module(model):
    model.model.norm = tiny_llama(vocabulary=TEXT + CODES).model.norm


def change_in_the_same_place(model):
    weight = model.model.norm.weight
    weight.data.mul_(2)
    model.model.norm.weight = torch.nn.Parameter(weight.data)


@pytest.mark.parametrize("change", [change_by_optimizer, change_by_loading, change_of_module, change_in_the_same_place])
def test_other_weights_drop_all_cached_prefixes(model, change):
    tree = wrap(model)
    tree.cache_prefix(PREFIX)
    tree.for_user("ann").prefill([[*PREFIX, 5, 6]])
    assert tree.prefixes.shared
    change(model)
    _, logits = tree.for_user("ann").prefill([[*PREFIX, 5, 6]])
    _, fresh = wrap(model).prefill([[*PREFIX, 5, 6]])
    torch.testing.assert_close(logits, fresh)
    assert not tree.prefixes.shared


def test_the_least_recently_used_is_dropped_first():
    def prompt(size):
        keys = torch.zeros(1, 1, size, 1)
        return CachedPrefix(torch.tensor([1, 2]), [(keys, keys)])

    cache = PrefixCache(max_bytes=3 * prompt(2).nbytes)
    for user in "abc":
        cache.put(user, prompt(2))
    cache.find([torch.tensor([1, 2, 3])], "a")
    cache.put("d", prompt(2))
    assert list(cache.by_user) == ["c", "a", "d"]
    cache.put("e", prompt(99))  # larger than all there is
    assert not cache.by_user
    assert cache.nbytes == 0


def test_one_user_has_one_prompt(model):
    with pytest.raises(UsageError, match="2 prompts for one user"):
        wrap(model).for_user("ann").prefill([[1], [2]])


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_a_batch_after_a_cached_prefix_equals_single_requests(seed, users, n):
    random = np.random.default_rng(seed)
    model = tiny_llama(vocabulary=TEXT + CODES, seed=seed)
    codes = np.unique(random.integers(CODES, size=(60, 3)), axis=0)
    trie = Trie.build(codes, CODES)
    prompts = [[*PREFIX, *random.integers(TEXT, size=random.integers(1, 30))] for _ in range(users)]
    allowed = random.random((users, len(codes))) < 0.7
    tree, uncached = wrap(model), wrap(model)
    tree.cache_prefix(PREFIX)
    together = search_many(tree, prompts, trie, n, allowed, batch_tokens=60)
    for user, ranking in enumerate(together):
        alone = search(uncached, prompts[user], trie, n, allowed[user])
        np.testing.assert_allclose(ranking.scores, alone.scores, atol=1e-4)
        assert set(ranking.rows) <= set(np.flatnonzero(allowed[user]))
        assert len(set(ranking.rows)) == len(alone)


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), min_size=1, max_size=6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_variants_in_one_batch_get_the_answers_of_single_ones(prompts, cached):
    tree = wrap(shared_model())
    if cached:
        tree.cache_prefix(PREFIX)
    variants = [[*PREFIX, *prompts[0], *prompt] for prompt in prompts] + [[*PREFIX, *prompts[0]], [7, 8]]
    together = tree.shared_prefix().prefill_many(variants)
    alone = wrap(shared_model()).prefill_many(variants)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_the_common_prefix_of_variants_is_read_once(model):
    tree, long = wrap(model), list(range(20))
    tree.prefill_many([long[:2]])  # the last layer is tried once, which is not counted
    tree.clear_cache()
    read = counted(model)
    tree.shared_prefix().prefill_many([long, [*long[:18], 5], [*long[:18], 6], [*long[:10], *long[11:]]])
    assert read == [20, 1, 9]
