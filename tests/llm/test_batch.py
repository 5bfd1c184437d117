"""Batches: packing many examples into a row changes nothing but the cost."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import tiny_llm

from genre_gen.llm.batch import PADDING, SHARED, pack, pad
from genre_gen.llm.encode import NO_TARGET, Encoded
from genre_gen.llm.softmax import code_targets

TEXT, INSTRUCTION = 259, (5, 6, 7)


def example(codes, first=0, instruction=INSTRUCTION):
    ids = np.array([*instruction, *(TEXT + code for code in codes)], np.int32)
    target_ids = np.where(np.arange(len(ids)) >= len(instruction) + first, ids, NO_TARGET).astype(np.int32)
    origins = np.where(np.arange(len(ids)) >= len(instruction), 100 * codes[0] + np.arange(len(ids)), -1)
    return Encoded(ids, target_ids, len(instruction), origins)


histories = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=20)


@given(histories, st.integers(4, 30))
@settings(max_examples=60, deadline=None)
def test_a_packed_row_contains_each_whole_example_once(codes, length):
    batch = pack("next_item", "exit", [example(one) for one in codes], len(INSTRUCTION), length)
    found = []
    for row in range(len(batch.ids)):
        owners = batch.owners[row]
        assert (owners[: len(INSTRUCTION)] == SHARED).all()
        assert (owners[len(INSTRUCTION) :] != SHARED).all()
        for number in range(1, int(owners.max()) + 1):
            own = (owners == number).nonzero().flatten()
            assert (own.diff() == 1).all()
            found.append((batch.ids[row, own] - TEXT).tolist())
            assert torch.equal(batch.target_ids[row, own], batch.ids[row, own])
            assert batch.positions()[row, own].tolist() == list(range(len(INSTRUCTION), len(INSTRUCTION) + len(own)))
            assert batch.before()[row, own[0]] == len(INSTRUCTION) - 1
            assert (batch.before()[row, own[1:]] == own[:-1]).all()
            assert (batch.origins[row, own] >= 0).all()
    assert sorted(found) == sorted(codes)
    assert (batch.target_ids[batch.owners == PADDING] == NO_TARGET).all()
    assert batch.ids.shape[1] <= max(length, len(INSTRUCTION) + max(map(len, codes)))


def test_each_token_sees_the_instruction_and_its_own_example_only():
    batch = pack("next_item", "exit", [example([1, 2]), example([3])], len(INSTRUCTION), 8)
    seen = batch.visible()[0, 0]
    assert seen[3].tolist() == [True] * 4 + [False] * 2  # first item of the first example
    assert seen[5].tolist() == [True] * 3 + [False] * 2 + [True]  # the only item of the second


@pytest.fixture(scope="module")
def llm(tiny_domain, sample):
    catalog, interactions = sample
    return tiny_llm(tiny_domain, catalog, interactions)


def with_soft_targets(batch):
    """Teach each label three items that follow from its interaction, whatever the layout."""
    origins = batch.origins[batch.target_ids != NO_TARGET]
    codes = torch.stack([origins % 8, (origins + 3) % 8, (origins + 5) % 8], dim=1)
    return replace(batch, soft_codes=codes, soft_shares=torch.tensor([[0.3, 0.2, 0.1]]).expand(len(codes), 3))


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("prepared", [lambda batch: batch, with_soft_targets])
def test_packed_or_padded_the_loss_and_its_gradient_are_the_same(llm, exclude_seen, prepared):
    examples = [example(one, first) for one, first in (([1, 2, 3, 1], 0), ([4], 0), ([2, 5, 6], 1), ([7, 1], 0))]
    assert llm.packs
    losses, gradients = [], []
    padded = pad("next_item", "exit", examples)
    for batch in (padded, *(pack("next_item", "exit", examples, len(INSTRUCTION), length) for length in (10, 100))):
        llm.zero_grad()
        loss = llm(prepared(batch), exclude_seen)
        loss.backward()
        losses.append(loss.item())
        gradients.append(llm.code_embedding.grad.clone())
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-3, atol=1e-6)
    assert gradients[0].isfinite().all()
    assert gradients[0].abs().sum() > 0
    with torch.no_grad():
        same = llm(padded, exclude_seen).item() == pytest.approx(losses[0], rel=1e-5)
    assert same == (prepared is not with_soft_targets)


def test_seen_items_are_those_of_the_same_example(llm):
    batch = pack("next_item", "exit", [example([1, 2, 3]), example([4, 1])], len(INSTRUCTION), 100)
    row, column = (batch.target_ids != NO_TARGET).nonzero(as_tuple=True)
    seen = code_targets(batch, TEXT, True).seen
    held = {
        int(batch.ids[r, c]) - TEXT: set(seen[1, seen[0] == k].tolist())
        for k, (r, c) in enumerate(zip(row, column, strict=True))
        if batch.owners[r, c] == 1
    }
    assert held == {1: set(), 2: {1}, 3: {1, 2}}


def test_only_the_given_tensors_move():
    batch = pad("next_item", "exit", [example([1, 2])]).to(torch.device("cpu"))
    assert batch.owners is None
    assert batch.soft_codes is None
    moved = with_soft_targets(batch).to(torch.device("cpu"))
    assert moved.soft_codes.shape == moved.soft_shares.shape == (2, 3)


def test_training_leaves_cold_items_unchanged(llm):
    batch = pad("next_item", "exit", [example([1, 2, 3])])
    llm.cold_tokens = torch.zeros(llm.codes.vocabulary, dtype=torch.bool)
    llm.cold_tokens[[3, 20]] = True  # 3 is a label all the same
    try:
        llm.zero_grad()
        llm(batch, True).backward()
        gradient = llm.code_embedding.grad
        assert gradient[20].abs().sum() == 0
        assert gradient[3].abs().sum() > 0
        assert gradient[21].abs().sum() > 0
    finally:
        llm.cold_tokens = torch.zeros(llm.codes.vocabulary, dtype=torch.bool)
