"""Blend: several models' scores for the same items joined into one, with weights chosen on validation cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from typing_extensions import Self

from genre_gen.data.interactions import Case, History, allowed_items
from genre_gen.errors import ConfigError, UsageError
from genre_gen.metrics import ndcg_at
from genre_gen.ranking import blended, shares

STEPS = 20
"""Weights are multiples of 1 / STEPS: finer ones would only fit the noise of the validation cases."""

POOL = 100
"""Each member's best items take part in the choice of weights: what no member ranks so high, no blend shows."""

RIDGE = 100.0
"""Penalty on squared weights, in cases: shares the weight of members that say nearly the same, instead of giving it all
to the one that had the luck of the validation cases; the more so the fewer these are. Chosen one step back, log 27."""

EXPECTED = "expected"
"""The part of a score that stands for members which know nothing of an item."""


@dataclass(frozen=True)
class Blend:
    """A weighted sum of members' scores, made comparable per user.

    A member's scores become standard deviations from their mean over the user's allowed items, so that neither its
    unit nor its spread decides how much it says: only its weight does.

    Attributes:
        weights: member -> weight, >= 0, with a positive sum; members at 0 need no scores.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        """Freeze the weights; raises ConfigError where they cannot be meant."""
        values = np.array(list(self.weights.values()), dtype=np.float64)
        if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
            raise ConfigError(f"blend: weights {dict(self.weights)}; each must be >= 0 and one at least > 0")
        object.__setattr__(self, "weights", MappingProxyType({name: float(w) for name, w in self.weights.items()}))

    @property
    def members(self) -> tuple[str, ...]:
        """Return the members that have a say."""
        return tuple(name for name, weight in self.weights.items() if weight > 0)

    def combine(self, scores: Mapping[str, NDArray[np.floating]], allowed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Blend the members' scores.

        Args:
            scores: member -> ``[B, n_items]``, higher is better; ``-inf`` counts as a member's lowest, and NaN, for an
                item that it knows nothing of, as what the others let expect (:func:`genre_gen.ranking.shares`).
                Others than the blend's members are ignored.
            allowed: bool ``[B, n_items]``.

        Returns:
            float32 ``[B, n_items]``; ``-inf`` where an item is not allowed or no member has a score for it.

        Raises:
            UsageError: a member's scores are missing or of another shape than ``allowed``.
        """
        return blended({name: self._of(name, scores, allowed) for name in self.members}, self.weights, allowed)

    def contributions(
        self, scores: Mapping[str, NDArray[np.floating]], allowed: NDArray[np.bool_], rows: NDArray[np.integer]
    ) -> dict[str, NDArray[np.float32]]:
        """Return each member's part of the blended score of some items: member -> float32 ``[B, k]``.

        Where members know nothing of an item, their parts are 0, and what was expected of them instead is a part of its
        own, ``EXPECTED``, which is there only where it is not 0 for some of these items.

        Args:
            scores: as given to ``combine``.
            allowed: as given to ``combine``.
            rows: ``[B, k]`` catalog rows. The parts of an allowed item sum to its blended score.
        """
        own = {name: self._of(name, scores, allowed) for name in self.members}
        found, expected = {}, np.zeros(rows.shape)
        for name, part in shares(own, self.weights, allowed).items():
            values = np.take_along_axis(part, rows, axis=1)
            silent = np.isnan(np.take_along_axis(own[name], rows, axis=1))
            expected += np.where(silent, values, 0.0)
            found[name] = np.where(silent, 0.0, values).astype(np.float32)
        return found if not expected.any() else found | {EXPECTED: expected.astype(np.float32)}

    def to_dict(self) -> dict[str, Any]:
        """Return the blend, ready for JSON."""
        return {"weights": dict(self.weights)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Restore a blend."""
        return cls(content["weights"])

    @staticmethod
    def _of(name: str, scores: Mapping[str, NDArray[np.floating]], allowed: NDArray[np.bool_]) -> NDArray[np.floating]:
        if name not in scores:
            raise UsageError(f"blend: no scores of member {name!r}, only of {', '.join(scores) or 'none'}")
        if scores[name].shape != allowed.shape:
            raise UsageError(f"blend: {name} has scores of shape {scores[name].shape}, allowed is {allowed.shape}")
        return scores[name]


def fit_blend(
    scorers: Mapping[str, Callable[[Sequence[History]], NDArray[np.floating]]],
    cases: Sequence[Case],
    n_items: int,
    k: int = 10,
    *,
    repeat: bool = False,
    batch: int = 256,
) -> Blend:
    """Choose weights as ``choose_weights`` does, scoring validation cases batch by batch.

    Args:
        scorers: member -> scorer of histories, ``[B, n_items]``.
        cases: validation cases; at least one.
        n_items: size of the catalog.
        k: cut of the NDCG that the blend must not worsen.
        repeat: whether items of the history may be recommended again.
        batch: histories scored at a time; only the pools of a batch are kept.
    """
    return fit_blends(scorers, [list(scorers)], cases, n_items, k, repeat=repeat, batch=batch)[0]


def fit_blends(
    scorers: Mapping[str, Callable[[Sequence[History]], NDArray[np.floating]]],
    groups: Sequence[Collection[str]],
    cases: Sequence[Case],
    n_items: int,
    k: int = 10,
    *,
    repeat: bool = False,
    batch: int = 256,
    gaps: Callable[[Mapping[str, NDArray[np.floating]]], Mapping[str, NDArray[np.floating]]] = dict,
) -> list[Blend]:
    """Return a blend for each group of members, named by their names; each member scores each case once.

    All else is as in ``fit_blend``; ``gaps`` is what is done to a group's scores, as it will be when they are blended.
    """
    pools: list[list[Pool]] = [[] for _ in groups]
    for begin in range(0, len(cases), batch):
        part = cases[begin : begin + batch]
        histories, targets = [case.history for case in part], np.array([case.target for case in part])
        allowed = allowed_items(histories, n_items, repeat)
        scores = {name: scorer(histories) for name, scorer in scorers.items()}
        for found, group in zip(pools, groups, strict=True):
            found.append(Pool.gather(gaps({name: scores[name] for name in scores if name in group}), targets, allowed))
    return [_choose(found, k) for found in pools]


def choose_weights(
    scores: Mapping[str, NDArray[np.floating]],
    targets: NDArray[np.integer],
    allowed: NDArray[np.bool_],
    k: int = 10,
) -> Blend:
    """Choose weights on validation cases: those under which the targets are most likely among the members' best items.

    Weights maximise ``sum log softmax(sum_m weight_m z_m)[target]`` (McFadden's conditional logit), which is smooth
    and has one optimum. Climbing NDCG@10 itself was measured to fit the noise: on users that took no part in the choice
    its weights were worse. NDCG has the last word only where it is sure: the blend gives way to its best member where
    that is better by more than a standard error, or no worse for anybody. To give way to any lead at all was measured
    to fit the noise too: the member that had the luck of the validation cases lost by it on others.

    Args:
        scores: member -> ``[B, n_items]``.
        targets: ``[B]`` catalog rows.
        allowed: bool ``[B, n_items]``.
        k: cut of the NDCG.

    Returns:
        Weights in steps of 1 / STEPS, many of them 0; the same for the same input.

    Raises:
        UsageError: no members or no cases.
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
    """Return the weights of greatest likelihood, as shares in steps of 1 / STEPS: float64 ``[members]``."""
    # A target that no member has in its pool would be the one item that got in for being the answer: left out.
    rivals, targets = pool.rivals[pool.found].astype(np.float64), pool.targets[pool.found].astype(np.float64)
    padding = np.where(pool.present[pool.found], 0.0, -np.inf)
    if len(targets) == 0:
        return np.eye(len(pool.members))[0]

    ridge = RIDGE / len(targets)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        beside = rivals @ weights + padding - (targets @ weights)[:, None]  # the target's own utility becomes 0
        top = np.maximum(beside.max(axis=1, initial=0.0), 0.0)[:, None]
        shares = np.exp(beside - top)
        total = shares.sum(axis=1, keepdims=True) + np.exp(-top)
        shares /= total
        expected = np.einsum("bp,bpm->bm", shares, rivals) + (np.exp(-top) / total) * targets
        value = (np.log(total) + top).mean() + ridge * weights @ weights
        return float(value), (expected - targets).mean(axis=0) + 2 * ridge * weights

    start, bounds = np.zeros(len(pool.members)), [(0.0, None)] * len(pool.members)
    found = optimize.minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    if found.sum() <= 0:
        return np.eye(len(pool.members))[0]
    return np.round(found / found.sum() * STEPS) / STEPS


@dataclass(frozen=True)
class Pool:
    """What the choice of weights needs to know of validation cases: the members' best items and the targets.

    Attributes:
        members: their names.
        rivals: float32 ``[B, P, members]`` standardised scores of the items that can outrank the target.
        present: bool ``[B, P]``, False for padding.
        targets: float32 ``[B, members]`` standardised scores of the targets.
        found: bool ``[B]``, whether any member has the target among its best.
    """

    members: tuple[str, ...]
    rivals: NDArray[np.float32]
    present: NDArray[np.bool_]
    targets: NDArray[np.float32]
    found: NDArray[np.bool_]

    @classmethod
    def gather(
        cls, scores: Mapping[str, NDArray[np.floating]], targets: NDArray[np.integer], allowed: NDArray[np.bool_]
    ) -> Self:
        """Take each member's POOL best allowed items, and the target (which always takes part), of each case.

        NaN becomes what the others let expect, as in a blend in which all weigh the same.
        """
        if not scores:
            raise UsageError("blend: no members to choose weights for")
        own = targets[:, None]
        allowed = allowed.copy()
        np.put_along_axis(allowed, own, values=True, axis=1)
        depth = min(POOL, allowed.shape[1])
        even = shares(scores, dict.fromkeys(scores, 1.0), allowed)
        comparable = [values.astype(np.float32) for values in even.values()]
        best = [
            np.argpartition(np.where(allowed, -values, np.inf), depth - 1, axis=1)[:, :depth] for values in comparable
        ]
        rows = np.sort(np.concatenate(best, axis=1), axis=1)
        present = np.take_along_axis(allowed, rows, axis=1) & (rows != own)
        present[:, 1:] &= rows[:, 1:] != rows[:, :-1]
        return cls(
            tuple(scores),
            np.stack([np.take_along_axis(values, rows, axis=1) for values in comparable], axis=2),
            present,
            np.concatenate([np.take_along_axis(values, own, axis=1) for values in comparable], axis=1),
            (rows == own).any(axis=1),
        )

    @classmethod
    def join(cls, pools: Sequence[Self]) -> Self:
        """Put the cases of several batches (of the same members and catalog) together."""
        return cls(
            pools[0].members,
            np.concatenate([pool.rivals for pool in pools]),
            np.concatenate([pool.present for pool in pools]),
            np.concatenate([pool.targets for pool in pools]),
            np.concatenate([pool.found for pool in pools]),
        )

    def ndcg(self, weights: NDArray[np.floating], k: int) -> NDArray[np.float64]:
        """Return each case's NDCG under weights ``[members]``: float64 ``[B]``; ties count half."""
        used = np.flatnonzero(weights)
        values = weights[used].astype(np.float32)
        rivals, own = self.rivals[:, :, used] @ values, (self.targets[:, used] @ values)[:, None]
        above = ((rivals > own) & self.present).sum(axis=1)
        tied = ((rivals == own) & self.present).sum(axis=1)
        return ndcg_at(1.0 + above + tied / 2, k)
