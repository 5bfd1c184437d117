import numpy as np
import pytest
import torch

from genre_gen.collaborative.negatives import Negatives, NegativeSampler
from genre_gen.llm.softmax import Targets, full_loss, sampled_loss

VOCABULARY, COUNT = 12, 5


def everything(cold):
    """Return all warm tokens as negatives that are certain to be drawn."""
    warm = (~cold).nonzero().flatten()
    return Negatives(warm, torch.zeros(len(warm)))


def targets_of(soft):
    tokens = torch.tensor([3, 0, 7, 3, 11])
    # Target 1 has been seen itself, and is predicted all the same; the last has seen a taught code.
    seen = torch.tensor([[0, 0, 1, 2, 4, 4], [1, 2, 0, 5, 8, 9]])
    if not soft:
        return Targets(tokens, seen)
    codes = torch.tensor([[1, 4, 3], [2, 3, 5], [10, 6, 5], [4, 10, 0], [8, 2, 1]])  # 10 is cold
    shares = torch.tensor([[0.3, 0.2, 0.1], [0.2, 0.2, 0.2], [0.3, 0.1, 0.1], [0.0, 0.5, 0.1], [0.4, 0.1, 0.1]])
    return Targets(tokens, seen, codes, shares)


def losses(targets, negatives, cold, seed=0):
    """Return the full and the sampled loss, and the gradients of states and table for both."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for sampled in (False, True):
        queries = torch.randn(COUNT, 6, generator=generator.manual_seed(seed), requires_grad=True)
        table = torch.randn(VOCABULARY, 6, generator=generator.manual_seed(seed + 1), requires_grad=True)
        if sampled:
            loss = sampled_loss(queries, lambda tokens, table=table: table[tokens], targets, negatives, cold)
        else:
            loss = full_loss(queries @ table.T, targets, cold)
        loss.backward()
        found.append((loss.detach(), queries.grad, table.grad))
    return found


@pytest.mark.parametrize("soft", [False, True])
def test_with_all_items_as_negatives_the_loss_and_its_gradients_are_the_full_ones(soft):
    cold = torch.zeros(VOCABULARY, dtype=torch.bool)
    cold[10] = True
    for full, sampled in zip(*losses(targets_of(soft), everything(cold), cold), strict=True):
        torch.testing.assert_close(sampled, full)


@pytest.mark.parametrize("soft", [False, True])
def test_the_sum_over_the_vocabulary_is_estimated_without_bias(soft):
    cold = torch.zeros(VOCABULARY, dtype=torch.bool)
    cold[10] = True
    counts = np.array([40, 1, 1, 9, 3, 5, 1, 2, 20, 1, 0, 4])
    sampler, targets = NegativeSampler(counts, drawn=6, seed=1), targets_of(soft)
    one = Targets(*(None if value is None else value[:1] for value in (targets.tokens,)), targets.seen[:, :2])
    if soft:
        one = Targets(one.tokens, one.seen, targets.soft_codes[:1], targets.soft_shares[:1])
    generator = torch.Generator().manual_seed(0)
    queries, table = torch.randn(1, 6, generator=generator), torch.randn(VOCABULARY, 6, generator=generator)
    logits = queries @ table.T
    # The loss is the log of the sum less a part that is not sampled, so its exponential is proportional to the sum.
    sums = [
        sampled_loss(queries, lambda tokens: table[tokens], one, sampler.draw(step), cold).exp() for step in range(4000)
    ]
    sums = torch.stack(sums)
    error = sums.std() / len(sums) ** 0.5
    assert float((sums.mean() - full_loss(logits, one, cold).exp()).abs()) < 4 * float(error)
    assert float(error) > 0


def test_chances_are_those_of_being_drawn():
    counts = np.array([50, 0, 1, 5, 1, 0, 10])
    sampler = NegativeSampler(counts, drawn=6, seed=3)
    drawn, chances = np.zeros(len(counts)), np.zeros(len(counts))
    for step in range(5000):
        negatives = sampler.draw(step)
        assert (negatives.tokens.diff() > 0).all()
        drawn[negatives.tokens] += 1
        chances[negatives.tokens] = negatives.log_chances.exp()
    assert drawn / 5000 == pytest.approx(chances, abs=0.03)
    assert not drawn[counts == 0].any()
    assert chances[0] > chances[6] > chances[3] > chances[2] == chances[4] > 0


def test_negatives_follow_from_seed_and_step():
    counts = np.arange(1000)
    first, second = (NegativeSampler(counts, 50, seed=7) for _ in range(2))
    second.draw(0)
    assert torch.equal(first.draw(5).tokens, second.draw(5).tokens)
    assert not torch.equal(first.draw(5).tokens, first.draw(6).tokens)
    assert not torch.equal(first.draw(5).tokens, NegativeSampler(counts, 50, seed=8).draw(5).tokens)


def test_a_single_item_may_be_all_that_is_warm():
    negatives = NegativeSampler(np.array([0, 3]), 4, seed=0).draw(0)
    assert negatives.tokens.tolist() == [1]
    assert negatives.log_chances.tolist() == pytest.approx([0], abs=1e-6)
