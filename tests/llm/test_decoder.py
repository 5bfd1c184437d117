"""Our decoder next to transformers': the same weights and states for every family, whichever way tokens are read."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from fakes import tiny_llama

from genre_gen.llm.decoder import Decoder, KeyValues, supports

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
MODELS = {
    "llama": ("LlamaConfig", {}),
    "llama, heads of another size, biases": (
        "LlamaConfig",
        {"head_dim": 16, "attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4},
    ),
    "llama, linear positions": ("LlamaConfig", {"rope_parameters": {"rope_type": "linear", "factor": 4.0}}),
    "llama, scaled positions": ("LlamaConfig", {"rope_parameters": LLAMA3}),
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {"head_dim": 16, "attention_bias": True, "rope_parameters": {"rope_theta": 1e6}}),
}
PAST, NEW = 30, 140  # more new tokens than one block of queries has


def model_of(kind: str, options: dict, **sizes):
    """Return a random tiny decoder of transformers, no parameter of which has a special value."""
    import transformers as hf

    torch.manual_seed(0)
    shared = {
        "vocab_size": 8,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
    }
    model = hf.AutoModel.from_config(getattr(hf, kind)(**(shared | options | sizes))).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module", params=MODELS)
def pair(request):
    """Return a decoder of transformers, and ours with a copy of its weights."""
    theirs = model_of(*MODELS[request.param])
    ours = Decoder(theirs.config.to_dict(), len(theirs.layers)).eval()
    state = {name: value.clone() for name, value in theirs.state_dict().items() if "embed_tokens" not in name}
    assert ours.load_state_dict(state, strict=True)
    return theirs, ours


def states(theirs, embeddings, **options):
    return theirs(inputs_embeds=embeddings, use_cache=False, **options).last_hidden_state


def close(one, other):
    torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)


@torch.no_grad()
def test_states_are_those_of_transformers_however_tokens_are_read(pair):
    theirs, ours = pair
    embeddings = torch.randn(3, PAST + NEW, 32)
    expected = states(theirs, embeddings)
    assert expected[:, -1].sub(expected[:, 0]).abs().max() > 0.1
    close(ours.read(embeddings), expected)
    close(ours(inputs_embeds=embeddings, use_cache=False).last_hidden_state, expected)
    cache = KeyValues()
    first = ours.read(embeddings[:, :PAST], cache)
    kept = [part.clone() for layer in cache.layers for part in layer]
    rest = KeyValues(cache.layers)
    close(torch.cat([first, ours.read(embeddings[:, PAST:], rest)], 1), expected)
    close(ours.read(embeddings[:, PAST : PAST + 1], KeyValues(cache.layers)), expected[:, PAST : PAST + 1])
    last = torch.tensor([NEW - 1, 0, 77])
    close(ours.read(embeddings[:, PAST:], KeyValues(cache.layers), last=last)[:, 0], expected[range(3), PAST + last])
    assert all(torch.equal(part, old) for part, old in zip(sum(cache.layers, ()), kept, strict=True))
    assert rest.length == PAST + NEW
    # One prefix for several rows.
    shared = torch.cat([embeddings[:1, :PAST].expand(3, -1, -1), embeddings[:, PAST:]], 1)
    one = KeyValues()
    ours.read(embeddings[:1, :PAST], one)
    close(ours.read(embeddings[:, PAST:], one), states(theirs, shared)[:, PAST:])


@torch.no_grad()
def test_masks_and_positions_of_the_caller_are_used(pair):
    theirs, ours = pair
    embeddings, mask = torch.randn(2, 9, 32), torch.rand(2, 1, 9, 9) < 0.5
    mask |= torch.eye(9, dtype=torch.bool)
    positions = torch.randint(600, (2, 9))
    expected = states(theirs, embeddings, attention_mask=mask, position_ids=positions)
    close(ours.read(embeddings, positions=positions, mask=mask), expected)
    last = torch.tensor([3, 8])
    close(ours.read(embeddings, positions=positions, mask=mask, last=last)[:, 0], expected[[0, 1], last])
    cache = KeyValues()
    ours.read(embeddings, cache, positions, mask)
    cache.select([1, 1, 0])
    more = ours.read(embeddings[[1, 1, 0], :1], cache)
    close(more[0], more[1])
    assert (more[0] - more[2]).abs().max() > 1e-3


@torch.no_grad()
def test_weights_are_shared_with_a_decoder_of_transformers(pair):
    theirs, _ = pair
    ours, embeddings = Decoder.over(theirs), torch.randn(1, 5, 32)
    shared = {id(parameter) for name, parameter in theirs.named_parameters() if "embed_tokens" not in name}
    assert {id(parameter) for parameter in ours.parameters()} == shared
    close(ours.read(embeddings), states(theirs, embeddings))
    half = theirs.to(torch.bfloat16)
    torch.testing.assert_close(
        ours.read(embeddings.bfloat16()), states(half, embeddings.bfloat16()), atol=0.1, rtol=0.1
    )
    theirs.float()


def test_gradients_are_those_of_transformers():
    theirs = model_of("LlamaConfig", {})
    ours, embeddings = Decoder.over(theirs), torch.randn(2, 6, 32)
    weights = [parameter for name, parameter in theirs.named_parameters() if "embed" not in name]
    expected, found = (
        torch.autograd.grad(given.square().mean(), weights)
        for given in (states(theirs, embeddings), ours.read(embeddings))
    )
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_what_it_does_not_compute_is_refused():
    llama = tiny_llama().config.to_dict()
    assert supports(llama)
    assert supports({key: value for key, value in llama.items() if key not in {"rope_parameters", "head_dim"}})
    for changed in (
        {"model_type": "gemma"},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}},
        {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_parameters": None},
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"sliding_window": 7},
        {"model_type": "mistral"},  # its window is 4096 unless it says otherwise
        {"hidden_size": None},
    ):
        assert not supports(llama | changed), changed
    assert supports(llama | {"model_type": "qwen2", "sliding_window": 7, "use_sliding_window": False})
    other = tiny_llama().model
    other.layers[1].mlp = torch.nn.Identity()
    assert Decoder.over(other) is None


def test_it_needs_torch_alone():
    code = "import sys, genre_gen.llm.decoder; print('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
