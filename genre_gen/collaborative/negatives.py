"""Negatives: the items, or code tokens, that a softmax over a large vocabulary is estimated from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FULL_UP_TO = 20_000
"""The largest vocabulary whose softmax is computed in full by default."""

NEGATIVES = 4096
"""Negatives drawn in a step by default, repetitions included."""

UNIFORM = 0.5
"""The share of negatives that are drawn uniformly; the others are drawn by popularity."""

POPULARITY = 1.0
"""The exponent of training counts in draws by popularity."""


@dataclass(frozen=True)
class Negatives:
    """The code tokens that a step compares its targets with.

    Attributes:
        tokens: int64 ``[n]``, ascending, each once.
        log_chances: float32 ``[n]``, log-probability of each to be among them.
    """

    tokens: Tensor
    log_chances: Tensor

    def to(self, device: torch.device) -> Negatives:
        """Return them on a device."""
        return Negatives(self.tokens.to(device), self.log_chances.to(device))


class NegativeSampler:
    """Draws the negatives of each step, the same for the same seed and step.

    Example:
        >>> sampler = NegativeSampler(np.array([5, 0, 1, 3]), drawn=8, seed=0)
        >>> sampler.draw(3).tokens.tolist()
        [0, 2, 3]
    """

    def __init__(self, counts: NDArray[np.integer], drawn: int, seed: int) -> None:
        """Prepare for training counts ``[code vocabulary]``; tokens without any are never drawn."""
        self._warm = np.flatnonzero(counts)
        weights = counts[self._warm].astype(np.float64) ** POPULARITY
        self._shares = weights / weights.sum()
        self._cumulative = np.cumsum(self._shares)
        self._uniform = round(drawn * UNIFORM)
        self._popular, self._seed = drawn - self._uniform, seed

    def draw(self, step: int) -> Negatives:
        """Return the negatives of a step, counted from 0."""
        rng = np.random.default_rng([self._seed, step])
        last = len(self._warm) - 1
        popular = np.searchsorted(self._cumulative, rng.random(self._popular), side="right").clip(max=last)
        drawn = np.unique(np.concatenate([popular, rng.integers(len(self._warm), size=self._uniform)]))
        # A token is missing if none of the draws hits it.
        missing = self._popular * np.log1p(-self._shares[drawn].clip(max=1 - 1e-12))
        missing += self._uniform * np.log1p(-min(1 / len(self._warm), 1 - 1e-12))
        chances = torch.from_numpy(np.log(-np.expm1(missing)).astype(np.float32))
        return Negatives(torch.from_numpy(self._warm[drawn]), chances)
