"""Prepacked layers: the same answers, from the weights as they are now, and only where that is faster."""

from __future__ import annotations

import pytest
import torch
from fakes import tiny_llama

from genre_gen.decoding import onednn as module
from genre_gen.decoding.onednn import PrepackedLinear, forget_prepacked, is_faster, prepack
from tests.decoding.test_tree import CODES, TEXT, wrap

PROMPT = list(range(3, 25))


@pytest.fixture(autouse=True)
def pays(monkeypatch):
    monkeypatch.setattr(module, "is_faster", lambda precision: precision == torch.float32)


def answers(tree):
    state, logits = tree.prefill([PROMPT, PROMPT[:9]])
    users = torch.tensor([0, 0, 1])
    return torch.cat([logits, tree.step(state, torch.tensor([1, 2, 3]), torch.tensor([-1, -1, -1]), users)])


def prepacked_layers(backbone):
    return [module for module in backbone.layers.modules() if isinstance(module, PrepackedLinear)]


@torch.inference_mode()
def test_rows_of_any_shape_are_multiplied_alike():
    for bias in (True, False):
        linear = torch.nn.Linear(24, 40, bias=bias)
        rows = torch.randn(3, 24, 7).transpose(1, 2)  # not contiguous
        for given in (rows, rows[0], rows[0, 0], rows[:1, :1]):
            torch.testing.assert_close(PrepackedLinear(linear)(given), linear(given), atol=1e-5, rtol=1e-5)


def test_a_prepacked_decoder_gives_the_same_logits_and_does_not_change_the_original(monkeypatch):
    model = tiny_llama(vocabulary=TEXT + CODES)
    tree = wrap(model)
    logits, decoder = answers(tree), tree._current().decoder
    assert len(prepacked_layers(decoder)) == 12  # queries, keys and values are one, but in the last layer
    assert not prepacked_layers(model.model)
    shared = {id(weight) for name, weight in model.model.named_parameters() if "embed_tokens" not in name}
    assert {id(weight) for weight in decoder.parameters()} == shared
    monkeypatch.setattr(module, "is_faster", lambda precision: False)
    plain = wrap(model)
    torch.testing.assert_close(logits, answers(plain), atol=1e-5, rtol=1e-5)
    assert not prepacked_layers(plain._current().decoder)


def test_weights_that_change_are_prepacked_again():
    model = tiny_llama(vocabulary=TEXT + CODES)
    tree, weight = wrap(model), model.model.layers[0].mlp.up_proj.weight
    before = answers(tree)
    with torch.no_grad():
        weight.mul_(2)
    counted = answers(tree)
    assert not torch.allclose(before, counted, atol=1e-3)
    torch.testing.assert_close(counted, answers(wrap(model)))
    weight.data.mul_(0.5)  # which torch does not count
    tree.clear_cache()
    torch.testing.assert_close(answers(tree), before)


def test_layers_are_prepacked_once_for_all_models():
    model = tiny_llama().model
    first, second = prepack(model), prepack(model)
    assert all(a._blocks is b._blocks for a, b in zip(prepacked_layers(first), prepacked_layers(second), strict=True))
    forget_prepacked(model)
    assert prepacked_layers(prepack(model))[0]._blocks is not prepacked_layers(first)[0]._blocks


def test_adapters_and_other_precisions_are_not_prepacked():
    model = tiny_llama().model
    for layer in model.layers:
        layer.self_attn.k_proj = torch.nn.Sequential(layer.self_attn.k_proj)  # as an adapter is around it
        layer.self_attn.k_proj.set_adapter = lambda name: None
    packed = prepack(model)
    assert len(prepacked_layers(packed)) == 12
    assert [layer.self_attn.k_proj for layer in packed.layers] == [layer.self_attn.k_proj for layer in model.layers]
    assert not prepacked_layers(prepack(tiny_llama().model.to(torch.float16)))


def test_a_processor_without_the_instructions_uses_the_usual_product(monkeypatch):
    def lacking(weight):
        raise RuntimeError("mkldnn_reorder_linear_weight: bf16 path needs the cpu support avx512bw")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lacking)
    assert not is_faster.__wrapped__(torch.bfloat16)
    assert not is_faster.__wrapped__(torch.float32)


def test_private_functions_of_torch_are_optional(monkeypatch):
    monkeypatch.setattr(module, "_available", lambda: False)
    assert not is_faster.__wrapped__(torch.float32)  # its cache decides for the other tests
    monkeypatch.undo()
    assert not is_faster.__wrapped__(torch.float64)
    assert isinstance(is_faster.__wrapped__(torch.float32), bool)


@torch.inference_mode()
def test_the_last_layer_is_prepacked_when_several_rows_are_read_and_not_for_one():
    model = tiny_llama().model
    decoder = prepack(model)
    last = [part for name, part in decoder.layers[-1].named_modules() if isinstance(part, PrepackedLinear)]
    waiting = [part for part in last if part._blocks is None]
    assert (len(last), len(waiting)) == (7, 5)  # keys and values are those of all tokens
    embeddings = torch.randn(2, 5, model.config.hidden_size)
    ends = torch.tensor([4, 2])
    alone = [decoder.read(embeddings[row : row + 1], last=ends[row : row + 1]) for row in (0, 1)]
    assert all(part._blocks is None for part in waiting)
    torch.testing.assert_close(decoder.read(embeddings, last=ends), torch.cat(alone), atol=1e-5, rtol=1e-5)
    assert all(part._blocks is not None for part in waiting)


def test_where_both_use_the_same_instructions_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(module, "_seconds", None)  # calling it would fail
    assert not is_faster.__wrapped__(torch.float32)
