"""LastLayer: computed for the last position alone, exactly, and only where a decoder is built for it."""

import threading

import pytest
import torch
from fakes import tiny_llama
from torch import nn

from genre_gen.decoding.last_token import LastLayer


def states(backbone, ids):
    with torch.inference_mode():
        return backbone(input_ids=torch.as_tensor(ids), use_cache=False).last_hidden_state


def test_the_wanted_positions_are_those_of_a_whole_pass_and_less_is_computed():
    backbone = tiny_llama(layers=3).model
    last = LastLayer(backbone)
    ids = torch.randint(259, (4, 9))
    whole, at = states(backbone, ids), torch.tensor([8, 3, 0, 5])
    seen = []
    handles = [
        layer.mlp.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
        for layer in backbone.layers
    ]
    with last.at(at):
        cut = states(backbone, ids)
    rows = torch.arange(4)
    torch.testing.assert_close(cut[rows, at], whole[rows, at], atol=1e-5, rtol=1e-5)
    assert (cut[0, 0] - whole[0, 0]).abs().max() > 1e-3  # nobody reads it
    assert seen == [9, 9, 1]
    for handle in handles:
        handle.remove()
    assert torch.equal(states(backbone, ids), whole)  # nothing is left behind
    assert last.cuts(lambda: states(backbone, ids[:1]))


def test_another_thread_reads_in_full_meanwhile():
    backbone = tiny_llama().model
    ids, answers = torch.randint(259, (1, 7)), []
    whole = states(backbone, ids)
    with LastLayer(backbone).at(torch.tensor([2])):
        other = threading.Thread(target=lambda: answers.append(states(backbone, ids)))
        other.start()
        other.join()
    assert torch.equal(answers[0], whole)


class Mixing(nn.Module):
    """A feed-forward part that looks at all positions."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, hidden):
        return self.inner(hidden) + self.inner(hidden.flip(1)).cumsum(1)


class Shaped(Mixing):
    """One that cannot do without the others."""

    def forward(self, hidden):
        return self.inner(hidden[:, :6].reshape(1, 6, -1))


@pytest.mark.parametrize("part", [Mixing, Shaped])
def test_other_decoders_are_read_as_they_are(part):
    backbone = tiny_llama().model
    backbone.layers[-1].mlp = part(backbone.layers[-1].mlp)
    ids = torch.arange(6)[None]
    whole = states(backbone, ids)
    assert not LastLayer(backbone).cuts(lambda: states(backbone, ids))
    assert torch.equal(states(backbone, ids), whole)


def test_other_names_are_read_as_they_are():
    backbone = tiny_llama().model
    layer = backbone.layers[-1]
    assert LastLayer(backbone).cuts(lambda: states(backbone, [[1, 2, 3]]))
    layer.self_attn.dense = layer.self_attn.o_proj
    del layer.self_attn.o_proj
    last = LastLayer(backbone)
    assert not last.cuts(lambda: torch.ones(1, 3, 4))


def test_nothing_is_decided_by_broken_weights():
    backbone = tiny_llama().model
    last, ids = LastLayer(backbone), torch.arange(5)[None]
    good = backbone.norm.weight.data.clone()
    backbone.norm.weight.data.fill_(float("nan"))
    assert not last.cuts(lambda: states(backbone, ids))
    backbone.norm.weight.data.copy_(good)
    assert last.cuts(lambda: states(backbone, ids))
