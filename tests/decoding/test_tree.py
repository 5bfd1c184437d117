"""TreeModel: many continuations in one sequence have the logits of separate passes, for each kind of decoder."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from fakes import tiny_llama
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.decoding.decoders import TransformersDecoder
from genre_gen.decoding.search import length_groups
from genre_gen.decoding.tree import TreeModel
from genre_gen.errors import ConfigError, UsageError
from genre_gen.llm.decoder import Decoder

TEXT, CODES = 60, 12  # ids 0-59 are text, 60-71 code tokens
WINDOW = 7
SHARED = {
    "vocab_size": TEXT + CODES,
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
ALTERNATING = ["sliding_attention", "full_attention"]


def family(name: str):
    """Return a random tiny model of a family and its configuration's peculiarities."""
    import transformers as hf

    sliding, size = {"sliding_window": WINDOW}, {"head_dim": 8}
    kind, options = {
        "llama": (hf.LlamaConfig, {}),
        "qwen2": (hf.Qwen2Config, {}),
        "qwen2-sliding": (hf.Qwen2Config, {**sliding, "use_sliding_window": True, "layer_types": ALTERNATING}),
        "mistral-sliding": (hf.MistralConfig, sliding),
        "qwen3": (hf.Qwen3Config, size),
        "gemma": (hf.GemmaConfig, size),
        "gemma2": (hf.Gemma2Config, {**size, **sliding, "attn_implementation": "eager"}),
        "gemma3": (hf.Gemma3TextConfig, {**size, **sliding, "layer_types": ALTERNATING}),
    }[name]
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(kind(**SHARED, **options)).eval()


@cache
def shared_model():
    """Return a model that no test changes."""
    return tiny_llama(vocabulary=TEXT + CODES)


def wrap(model, first_code: int = TEXT, **options) -> TreeModel:
    """Return the tree model of a causal LM whose head is restricted to the code tokens."""
    head = model.lm_head.weight[first_code:]
    return TreeModel(model.model, model.get_input_embeddings(), lambda hidden: hidden @ head.T, first_code, **options)


def counted(model):
    """Return the lengths of what is read from now on."""
    read: list[int] = []
    model.get_input_embeddings().register_forward_hook(lambda module, given, output: read.append(given[0].shape[1]))
    return read


@torch.inference_mode()
def alone(model, ids):
    """Return the logits over code tokens after a sequence, by an ordinary forward pass."""
    hidden = model.model(input_ids=torch.as_tensor(ids)[None], use_cache=False).last_hidden_state[0, -1]
    return hidden @ model.lm_head.weight[TEXT:].T


def random_tree(random, sizes, users=1):
    """Return for each step its tokens, parents and users, and the user and path of every node.

    A user without a node in a step has none in later steps either, as in a search.
    """
    nodes: list[tuple[int, list[int]]] = []
    steps, present = [], np.arange(users)
    for size in sizes:
        step_users = np.sort(random.choice(present, size=size))
        present = np.unique(step_users)
        new, parents = [], []
        for user, token in zip(step_users.tolist(), random.integers(CODES, size=size).tolist(), strict=True):
            parent = int(random.choice([-1, *(k for k, (other, _) in enumerate(nodes) if other == user)]))
            parents.append(parent)
            new.append((user, [*(nodes[parent][1] if parent >= 0 else []), token]))
        nodes += new
        steps.append((torch.tensor([path[-1] for _, path in new]), torch.tensor(parents), torch.as_tensor(step_users)))
    return steps, nodes


def check(model, prompts, sizes, tree=None, seed=0):
    random = np.random.default_rng(seed)
    tree = tree or wrap(model)
    steps, nodes = random_tree(random, sizes, len(prompts))
    state, logits = tree.prefill(prompts)
    for prompt, answer in zip(prompts, logits, strict=True):
        torch.testing.assert_close(answer, alone(model, prompt), atol=1e-4, rtol=1e-4)
    answers = torch.cat([tree.step(state, *step) for step in steps])
    for (user, path), answer in zip(nodes, answers, strict=True):
        expected = alone(model, [*prompts[user], *(TEXT + k for k in path)])
        torch.testing.assert_close(answer, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "name", ["llama", "qwen2", "qwen2-sliding", "qwen3", "mistral-sliding", "gemma", "gemma2", "gemma3"]
)
def test_every_node_gets_the_logits_of_its_own_sequence(name, attention):
    if name == "gemma2" and attention == "sdpa":
        pytest.skip("its capped logits need eager attention")
    model = family(name)
    model.set_attn_implementation(attention)
    prompt = np.random.default_rng(1).integers(TEXT, size=19).tolist()
    check(model, [prompt], sizes=[5, 1, 8])
    many = [prompt, prompt[:12], prompt[:3], prompt[5:]]
    check(model, many, sizes=[9, 8, 6, 2])
    cached = wrap(model)
    cached.cache_prefix(prompt[:11])
    check(model, [prompt], sizes=[4, 4], tree=cached)
    check(model, [prompt, prompt[:12]], sizes=[4, 4], tree=cached)
    check(model, [[*prompt, 5, 6]], sizes=[4, 4], tree=cached.for_user("ann"))
    check(model, [[*prompt, 5, 7, 8]], sizes=[4, 4], tree=cached.for_user("ann"))
    together = cached.prefill_many(many)
    ours = name in {"llama", "qwen2", "qwen3"}
    assert type(cached._current().decoder) is (Decoder if ours else TransformersDecoder)
    assert together.shape == (4, CODES)
    for ids, logits in zip(many, together, strict=True):
        torch.testing.assert_close(logits, alone(model, ids), atol=1e-4, rtol=1e-4)


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_any_trees(lengths, sizes, seed):
    model = shared_model()
    check(model, [np.random.default_rng(k).integers(TEXT, size=k).tolist() for k in lengths], sizes, seed=seed)


def test_requests_do_not_change_cached_prefixes():
    model = tiny_llama(vocabulary=TEXT + CODES)
    tree = wrap(model)
    prefix, other = [1, 2, 3, 4], [1, 2, 9]
    tree.cache_prefix(prefix)
    tree.cache_prefix(prefix[:2])
    for _ in range(2):
        check(model, [[*prefix, 5, 6]], sizes=[3, 3], tree=tree)
        check(model, [[*prefix[:2], 7]], sizes=[3], tree=tree)
    check(model, [prefix], sizes=[3], tree=tree)  # nothing follows the prefix: it cannot be used whole
    check(model, [other], sizes=[3], tree=tree)


def test_cached_prefixes_are_used_until_cleared():
    model = tiny_llama(vocabulary=TEXT + CODES)
    tree = wrap(model)
    read = counted(model)
    tree.cache_prefix([1, 2, 3, 4])
    tree.prefill([[1, 2, 3, 4, 5]])
    tree.prefill_many([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]])
    tree.prefill_many([[1, 2, 3, 4, 5], [7]])
    tree.clear_cache()
    tree.prefill([[1, 2, 3, 4, 5]])
    assert read == [4, 1, 2, 5, 5]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 200))
def test_groups_hold_every_prompt_once_and_fit(lengths, most):
    groups = length_groups(lengths, most)
    assert sorted(k for group in groups for k in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[k] for k in group) <= most


def test_decoders_that_cannot_are_refused():
    model = tiny_llama(vocabulary=TEXT + CODES)
    model.config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(ConfigError, match="linear_attention layers"):
        wrap(model)
    model = family("gemma")
    tree = wrap(model)
    state, _ = tree.prefill([[1, 2]])
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ConfigError, match="flash_attention_2"):
        tree.step(state, torch.tensor([1]), torch.tensor([-1]), torch.tensor([0]))


def test_an_empty_prompt_is_refused():
    tree = wrap(tiny_llama(vocabulary=TEXT + CODES))
    for read in (tree.cache_prefix, lambda ids: tree.prefill([ids]), lambda ids: tree.prefill_many([[1], ids])):
        with pytest.raises(UsageError, match="empty prompt"):
            read([])
