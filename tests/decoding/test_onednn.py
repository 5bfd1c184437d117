"""Packed layers: the same answers, from the weights as they are now, and only where that is faster."""

from __future__ import annotations

import pytest
import torch
from fakes import tiny_llama

from genre_gen.decoding import onednn as module
from genre_gen.decoding.onednn import PackedLinear, is_faster, packed, unpack
from genre_gen.decoding.tree import TreeModel

TEXT, CODES = 40, 12
PROMPT = list(range(3, 25))


@pytest.fixture(autouse=True)
def pays(monkeypatch):
    monkeypatch.setattr(module, "is_faster", lambda precision: precision == torch.float32)


def wrap(model):
    head = model.lm_head.weight[TEXT:]
    return TreeModel(model.model, model.get_input_embeddings(), lambda hidden: hidden @ head.T, TEXT)


def answers(tree):
    state, logits = tree.prefill([PROMPT, PROMPT[:9]])
    users = torch.tensor([0, 0, 1])
    return torch.cat([logits, tree.step(state, torch.tensor([1, 2, 3]), torch.tensor([-1, -1, -1]), users)])


def packed_layers(backbone):
    return [one for one in backbone.layers.modules() if isinstance(one, PackedLinear)]


@torch.inference_mode()
def test_rows_of_any_shape_are_multiplied_alike():
    for bias in (True, False):
        linear = torch.nn.Linear(24, 40, bias=bias)
        rows = torch.randn(3, 24, 7).transpose(1, 2)  # not contiguous
        for own in (rows, rows[0], rows[0, 0], rows[:1, :1]):
            torch.testing.assert_close(PackedLinear(linear)(own), linear(own), atol=1e-5, rtol=1e-5)


def test_a_packed_decoder_gives_the_same_logits_and_leaves_the_other_as_it_was(monkeypatch):
    model = tiny_llama(vocabulary=TEXT + CODES)
    tree = wrap(model)
    found = answers(tree)
    assert len(packed_layers(tree._reader)) == 14
    assert not packed_layers(model.model)
    assert {id(one) for one in tree._reader.layers.parameters()} == {id(one) for one in model.model.layers.parameters()}
    monkeypatch.setattr(module, "is_faster", lambda precision: False)
    plain = wrap(model)
    torch.testing.assert_close(found, answers(plain), atol=1e-5, rtol=1e-5)
    assert plain._reader is model.model


def test_weights_that_change_are_packed_anew():
    model = tiny_llama(vocabulary=TEXT + CODES)
    tree, weight = wrap(model), model.model.layers[0].mlp.up_proj.weight
    before = answers(tree)
    with torch.no_grad():
        weight.mul_(2)
    counted = answers(tree)
    assert not torch.allclose(before, counted, atol=1e-3)
    torch.testing.assert_close(counted, answers(wrap(model)))
    weight.data.mul_(0.5)  # which torch does not count
    tree.forget()
    torch.testing.assert_close(answers(tree), before)


def test_layers_are_packed_once_for_all_who_read_them():
    model = tiny_llama().model
    one, other = packed(model), packed(model)
    assert all(a._packed is b._packed for a, b in zip(packed_layers(one), packed_layers(other), strict=True))
    unpack(model)
    assert packed_layers(packed(model))[0]._packed is not packed_layers(one)[0]._packed


def test_adapters_and_other_precisions_stay_as_they_are():
    model = tiny_llama().model
    model.layers[0].set_adapter = lambda name: None
    assert packed(model) is model
    half = tiny_llama().model.to(torch.float16)
    assert packed(half) is half


def test_what_torch_may_take_out_is_not_needed(monkeypatch):
    monkeypatch.setattr(module, "_available", lambda: False)
    is_faster.cache_clear()
    assert not is_faster(torch.float32)
    monkeypatch.undo()
    is_faster.cache_clear()
    assert not is_faster(torch.float64)
    assert isinstance(is_faster(torch.float32), bool)
