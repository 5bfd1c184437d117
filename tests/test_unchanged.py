from types import SimpleNamespace

import pytest
import torch
from unchanged import Unchanged


def test_a_change_of_the_last_digit_is_found_once():
    weights = torch.linspace(0.1, 1, 1000)
    recommender = SimpleNamespace(state=SimpleNamespace(llm=SimpleNamespace(trainable=lambda: [("codes", weights)])))
    shared = Unchanged()
    assert shared.trained("tiny_recommender", recommender) is recommender
    shared.check()
    before = weights.clone()
    weights.mul_(1.5).div_(1.5)
    assert 0 < (weights - before).abs().max() < 1e-3
    with pytest.raises(AssertionError, match="changed weights of tiny_recommender"):
        shared.check()
    shared.check()  # the next file is not to blame
