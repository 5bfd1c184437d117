"""Significance: bootstrap intervals, paired tests, and their correction for multiple comparisons.

Ranking metrics of one target have few distinct values. So both resamplings draw the count of each distinct value (a
multinomial, a binomial) instead of drawing for every user, which gives the same distribution in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genre_gen.errors import UsageError

CHUNK = 4_000_000
"""Random numbers drawn at a time, which limits the memory to 32 MB for any number of users."""


def interval(
    values: NDArray[np.floating], level: float = 0.95, samples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean over users.

    Args:
        values: ``[n_users]``, one figure per user; without users, both ends are nan.
        level: share of the resampled means in the interval, between 0 and 1.
        samples: number of resamplings.
        seed: seed of the resampling.
    """
    if len(values) == 0:
        return float("nan"), float("nan")
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    rng = np.random.default_rng(seed)
    means = [
        rng.multinomial(len(values), counts / len(values), size=size) @ distinct / len(values)
        for size in _blocks(samples, len(distinct))
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_test(
    ours: NDArray[np.floating], theirs: NDArray[np.floating], samples: int = 20_000, seed: int = 0
) -> float:
    """Return the two-sided p-value of a paired sign-flip permutation test on the mean difference.

    Under the null hypothesis the two models' figures of a user are exchangeable. Users without a difference have no
    effect and are left out.

    The figures are ``[n_users]``, of the same users in the same order; the smallest p-value is ``1 / (samples + 1)``.

    Raises:
        UsageError: the numbers of users differ.
    """
    if len(ours) != len(theirs):
        raise UsageError(f"a paired test needs the same users twice, got {len(ours)} and {len(theirs)}")
    differences = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if len(sizes) == 0:
        return 1.0
    rng = np.random.default_rng(seed)
    # The observed sum is lowered slightly, so that rounding cannot turn "as extreme" into "less extreme".
    observed = abs(differences.sum()) - 1e-9 * sizes.max()
    extreme = 0
    for size in _blocks(samples, len(sizes)):
        positive = rng.binomial(counts, 0.5, size=(size, len(sizes)))  # number of positive signs of each size
        extreme += int((np.abs((2 * positive - counts) @ sizes) >= observed).sum())
    return (extreme + 1) / (samples + 1)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values corrected by Holm's step-down rule (valid for any dependence between the tests)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _blocks(samples: int, width: int) -> Iterator[int]:
    """Cut ``samples`` draws of ``width`` numbers into blocks of at most CHUNK numbers."""
    size = max(1, CHUNK // width)
    for begin in range(0, samples, size):
        yield min(size, samples - begin)
