"""The last layer for one token: exact, only where a decoder is built for it, and only in the thread that asks."""

import threading

import pytest
import torch
from fakes import tiny_llama
from torch import nn

from genre_gen.decoding.last_token import is_exact, last_token_only, with_last_token_parts


def states(backbone, ids):
    with torch.inference_mode():
        return backbone(input_ids=torch.as_tensor(ids), use_cache=False).last_hidden_state


def test_the_wanted_positions_are_those_of_a_whole_pass_and_less_is_computed():
    backbone = tiny_llama(layers=3).model
    parted = with_last_token_parts(backbone)
    ids = torch.randint(259, (4, 9))
    whole, positions = states(backbone, ids), torch.tensor([8, 3, 0, 5])
    seen = []
    for layer in backbone.layers:
        layer.mlp.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    with last_token_only(positions):
        cut = states(parted, ids)
        assert seen == [9, 9, 1]
        assert torch.equal(states(backbone, ids), whole)  # the decoder itself is as it was
    rows = torch.arange(4)
    torch.testing.assert_close(cut[rows, positions], whole[rows, positions], atol=1e-5, rtol=1e-5)
    assert (cut[0, 0] - whole[0, 0]).abs().max() > 1e-3  # nobody reads it
    assert torch.equal(states(parted, ids), whole)
    assert is_exact(lambda: states(parted, ids[:1]))
    assert {id(weight) for weight in parted.parameters()} == {id(weight) for weight in backbone.parameters()}


def test_another_thread_reads_in_full_meanwhile():
    parted = with_last_token_parts(tiny_llama().model)
    ids, answers = torch.randint(259, (1, 7)), []
    whole = states(parted, ids)
    with last_token_only(torch.tensor([2])):
        other = threading.Thread(target=lambda: answers.append(states(parted, ids)))
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
def test_parts_that_mix_positions_are_found_out(part):
    backbone = tiny_llama().model
    backbone.layers[-1].mlp = part(backbone.layers[-1].mlp)
    ids = torch.arange(6)[None]
    parted = with_last_token_parts(backbone)
    assert is_exact(lambda: states(parted, ids)) is False


def test_parts_that_are_not_there_are_not_replaced():
    backbone = tiny_llama().model
    attention = backbone.layers[-1].self_attn
    attention.dense = attention.o_proj
    del attention.o_proj
    assert with_last_token_parts(backbone) is None


def test_broken_weights_raise_an_error():
    backbone = tiny_llama().model
    parted, ids = with_last_token_parts(backbone), torch.arange(5)[None]
    good = backbone.norm.weight.data.clone()
    backbone.norm.weight.data.fill_(float("nan"))
    assert is_exact(lambda: states(parted, ids)) is None
    backbone.norm.weight.data.copy_(good)
    assert is_exact(lambda: states(parted, ids))
