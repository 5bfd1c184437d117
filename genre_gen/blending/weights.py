"""Choose the weights of a blend on validation cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from genre_gen.blending.blend import Blend, blended
from genre_gen.data.batches import batches, histories_at_a_time
from genre_gen.data.history import History, allowed_items
from genre_gen.data.splits import Case, sample_cases
from genre_gen.errors import UsageError
from genre_gen.metrics import ndcg_at

STEPS = 20
"""Weights are multiples of 1 / STEPS; finer steps would only fit the noise of the validation cases."""

POOL = 100
"""The number of each member's best items used to choose weights; a blend shows no item that all members rank lower."""

CASES = 5000
"""The number of cases that weights are chosen on; of more cases a fixed sample is used. On a made-up log of 15,000
cases, weights of 5,000 random ones lost .0002 NDCG@10 on average and .0005 at most, a sixth of its standard error."""

SCORES = 2**31
"""The number of scores of each member that weights are chosen on, which makes that sample smaller in large catalogs."""

LEAST_CASES = 1000
"""The least number of cases in such a sample."""

FEWEST_CASES = 200
"""The number of cases that are scored whatever time is left."""

RIDGE = 100.0
"""Penalty on squared weights, in cases: it divides the weight among members with similar scores, instead of giving it
all to the one that happens to be best on the validation cases. It matters most if these are few (log, entry 27)."""


def fit_blend(
    scorers: Mapping[str, Callable[[Sequence[History]], NDArray[np.floating]]],
    cases: Sequence[Case],
    n_items: int,
    k: int = 10,
    *,
    repeat: bool = False,
    batch: int = 256,
    enough: Callable[[], bool] = lambda: False,
) -> Blend:
    """Choose weights like ``choose_weights``, scoring validation cases batch by batch.

    Args:
        scorers: member -> function that scores histories, ``[B, n_items]``.
        cases: validation cases, at least one; of many a fixed sample is used, see CASES and SCORES.
        n_items: size of the catalog.
        k: cut-off of the NDCG.
        repeat: whether items of the history may be recommended again.
        batch: histories scored at a time; only the pool of each batch is kept.
        enough: is asked between batches once FEWEST_CASES are scored; the other cases are then left out.
    """
    return fit_blends(scorers, [list(scorers)], cases, n_items, k, repeat=repeat, batch=batch, enough=enough)[0]


def fit_blends(
    scorers: Mapping[str, Callable[[Sequence[History]], NDArray[np.floating]]],
    groups: Sequence[Collection[str]],
    cases: Sequence[Case],
    n_items: int,
    k: int = 10,
    *,
    repeat: bool = False,
    batch: int = 256,
    mask_cold_items: Callable[[Mapping[str, NDArray[np.floating]]], Mapping[str, NDArray[np.floating]]] = dict,
    enough: Callable[[], bool] = lambda: False,
) -> list[Blend]:
    """Return a blend for each named group of members; each member scores each case once.

    The rest is as in ``fit_blend``; ``mask_cold_items`` is applied to a group's scores before they are blended.
    """
    pools: list[list[Pool]] = [[] for _ in groups]
    cases = sample_cases(cases, min(CASES, max(LEAST_CASES, SCORES // n_items)))
    for part in batches(cases, histories_at_a_time(batch, n_items)):
        if sum(len(pool.targets) for pool in pools[0]) >= FEWEST_CASES and enough():
            break
        histories, targets = [case.history for case in part], np.array([case.target for case in part])
        allowed = allowed_items(histories, n_items, repeat)
        scores = {name: scorer(histories) for name, scorer in scorers.items()}
        for group_pools, group in zip(pools, groups, strict=True):
            of_group = mask_cold_items({name: scores[name] for name in scores if name in group})
            group_pools.append(Pool.gather(of_group, targets, allowed))
    return [_choose(group_pools, k) for group_pools in pools]


def choose_weights(
    scores: Mapping[str, NDArray[np.floating]],
    targets: NDArray[np.integer],
    allowed: NDArray[np.bool_],
    k: int = 10,
) -> Blend:
    """Choose the weights that maximise the likelihood of the targets among the members' best items.

    Weights maximise ``sum log softmax(sum_m weight_m z_m)[target]`` (McFadden's conditional logit), which is smooth
    and has one optimum. Maximising NDCG@10 itself fits noise: its weights were worse on other users. The blend is
    replaced by its best member only if that has a higher NDCG by more than a standard error, or is no worse for any
    user. Replacing it for any lead fits noise too.

    Scores are ``[B, n_items]``, targets ``[B]`` catalog rows, ``allowed`` is bool ``[B, n_items]``, ``k`` the cut-off
    of the NDCG. The weights are multiples of 1 / STEPS, many of them 0.

    Raises:
        UsageError: there are no members or no cases.
    """
    return _choose([Pool.gather(scores, np.asarray(targets), allowed)], k)


def _choose(pools: Sequence[Pool], k: int) -> Blend:
    if not pools or not pools[0].members or not sum(len(pool.targets) for pool in pools):
        raise UsageError("blend: weights are chosen on validation cases, and there are no cases or no members")
    pool = Pool.join(pools)
    joint = _most_likely(pool)
    alone = max(np.eye(len(pool.members)), key=lambda weights: float(pool.ndcg(weights, k).mean()))
    lead = pool.ndcg(alone, k) - pool.ndcg(joint, k)
    sure = (lead >= 0).all() or lead.mean() > lead.std() / len(lead) ** 0.5
    best = alone if sure else joint
    return Blend({name: float(weight) for name, weight in zip(pool.members, best, strict=True)})


def _most_likely(pool: Pool) -> NDArray[np.float64]:
    """Return the weights of greatest likelihood, in multiples of 1 / STEPS: float64 ``[members]``."""
    # A target outside all members' pools is left out: it would be in the comparison only for being the answer.
    rivals, targets = pool.rivals[pool.reachable].astype(np.float64), pool.targets[pool.reachable].astype(np.float64)
    padding = np.where(pool.present[pool.reachable], 0.0, -np.inf)
    if len(targets) == 0:
        return np.eye(len(pool.members))[0]

    ridge = RIDGE / len(targets)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        utilities = rivals @ weights + padding - (targets @ weights)[:, None]  # the target's own utility becomes 0
        top = np.maximum(utilities.max(axis=1, initial=0.0), 0.0)[:, None]
        shares = np.exp(utilities - top)
        total = shares.sum(axis=1, keepdims=True) + np.exp(-top)
        shares /= total
        expected = np.einsum("bp,bpm->bm", shares, rivals) + (np.exp(-top) / total) * targets
        value = (np.log(total) + top).mean() + ridge * weights @ weights
        return float(value), (expected - targets).mean(axis=0) + 2 * ridge * weights

    start, bounds = np.zeros(len(pool.members)), [(0.0, None)] * len(pool.members)
    weights = optimize.minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    if weights.sum() <= 0:
        return np.eye(len(pool.members))[0]
    return np.round(weights / weights.sum() * STEPS) / STEPS


@dataclass(frozen=True)
class Pool:
    """The scores of validation cases for choosing weights: the members' best items and the targets.

    Attributes:
        members: the members' names.
        rivals: float32 ``[B, P, members]`` standardised scores of the items that can outrank the target.
        present: bool ``[B, P]``, False for padding.
        targets: float32 ``[B, members]`` standardised scores of the targets.
        reachable: bool ``[B]``, whether any member has the target among its best.
    """

    members: tuple[str, ...]
    rivals: NDArray[np.float32]
    present: NDArray[np.bool_]
    targets: NDArray[np.float32]
    reachable: NDArray[np.bool_]

    @classmethod
    def gather(
        cls, scores: Mapping[str, NDArray[np.floating]], targets: NDArray[np.integer], allowed: NDArray[np.bool_]
    ) -> Self:
        """Take each member's POOL best allowed items, and always the target, of each case.

        NaN is replaced by its estimate in a blend with equal weights.
        """
        if not scores:
            raise UsageError("blend: no members to choose weights for")
        target = targets[:, None]
        allowed = allowed.copy()
        np.put_along_axis(allowed, target, values=True, axis=1)
        depth = min(POOL, allowed.shape[1])
        even = blended(scores, dict.fromkeys(scores, 1.0), allowed).shares
        comparable = [values.astype(np.float32) for values in even.values()]
        best = [
            np.argpartition(np.where(allowed, -values, np.inf), depth - 1, axis=1)[:, :depth] for values in comparable
        ]
        rows = np.sort(np.concatenate(best, axis=1), axis=1)
        present = np.take_along_axis(allowed, rows, axis=1) & (rows != target)
        present[:, 1:] &= rows[:, 1:] != rows[:, :-1]
        return cls(
            tuple(scores),
            np.stack([np.take_along_axis(values, rows, axis=1) for values in comparable], axis=2),
            present,
            np.concatenate([np.take_along_axis(values, target, axis=1) for values in comparable], axis=1),
            (rows == target).any(axis=1),
        )

    @classmethod
    def join(cls, pools: Sequence[Self]) -> Self:
        """Concatenate the cases of several batches of the same members and catalog."""
        names = ("rivals", "present", "targets", "reachable")
        return cls(pools[0].members, *(np.concatenate([getattr(pool, name) for pool in pools]) for name in names))

    def ndcg(self, weights: NDArray[np.floating], k: int) -> NDArray[np.float64]:
        """Return each case's NDCG under weights ``[members]``: float64 ``[B]``; ties count half."""
        used = np.flatnonzero(weights)
        values = weights[used].astype(np.float32)
        rivals, target = self.rivals[:, :, used] @ values, (self.targets[:, used] @ values)[:, None]
        above = ((rivals > target) & self.present).sum(axis=1)
        tied = ((rivals == target) & self.present).sum(axis=1)
        return ndcg_at(1.0 + above + tied / 2, k)
