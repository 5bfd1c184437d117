"""Distillation: soft targets from a blend of collaborative models for every interaction of the training histories.

A language model trained on them learns not only which item came next, but also which others were likely. A model is
over-confident about histories that it was fitted on, so the teacher is cross-fitted: the soft targets of a user come
from models that were fitted without that user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from genre_gen.blending.blend import blended
from genre_gen.collaborative.base import CollaborativeModel
from genre_gen.collaborative.rating_model import RatingModel
from genre_gen.data.batches import batches
from genre_gen.data.interactions import History, Interactions, allowed_items
from genre_gen.errors import UsageError

OnShare: TypeAlias = Callable[[float], None]
TEMPERATURES = (0.02, 5.0)
"""The range of temperatures; blended scores are in standard deviations."""


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's prediction of each training interaction, given the history before it.

    Attributes:
        rows: int32 ``[n, top]`` catalog rows of the likeliest items.
        shares: float16 ``[n, top]`` their probabilities. They sum to 1, or are all 0 without a prediction: for the
            first item of a history, and if all items have the same score.
    """

    rows: NDArray[np.int32]
    shares: NDArray[np.float16]
    users: int = 0

    @classmethod
    def empty(cls, n: int, top: int) -> SoftTargets:
        """Return soft targets whose shares are all 0."""
        return cls(np.zeros((n, top), np.int32), np.zeros((n, top), np.float16))

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.rows)


SoftTargetSource: TypeAlias = Callable[[Interactions, OnShare], SoftTargets]
"""Makes the soft targets of all interactions, in their order; reports the share that is done, 0 to 1."""


@dataclass(frozen=True)
class Teacher:
    """A blend of collaborative models. Calling it with interactions makes their soft targets.

    Attributes:
        members: name -> function that returns a new model, not fitted.
        weights: member -> weight in the blend; members without a weight above 0 are not fitted.
        temperature: temperature of the softmax over blended scores, > 0; see ``fit_temperature``.
        repeat: whether items of the history may be predicted again.
        folds: number of parts of the users; each part is scored by models fitted on the others.
        top: number of items of a soft target.
        batch: positions scored at a time; memory is a few times ``batch * n_items * 8`` bytes.
    """

    members: Mapping[str, Callable[[], CollaborativeModel]]
    weights: Mapping[str, float]
    temperature: float = 1.0
    repeat: bool = False
    folds: int = 4
    top: int = 50
    batch: int = 512

    def __call__(
        self, interactions: Interactions, on_share: OnShare = lambda _: None, /, *, enough=lambda: False, users=None
    ) -> SoftTargets:
        """Return the soft targets of all interactions, in their order; the same for the same input.

        Raises:
            UsageError: no member has a weight, or a number is out of range.
        """
        used = self._used()
        targets = SoftTargets.empty(len(interactions), min(self.top, interactions.n_items))
        done = 0
        for others, positions in _folds(interactions, self.folds):
            models = {name: make() for name, make in used.items()}
            # A model of ratings cannot score a fold if the other users have no ratings.
            fitted = {
                name: model.fit(others)
                for name, model in models.items()
                if others.rated or not isinstance(model, RatingModel)
            }
            for part in batches(positions if fitted else positions[:0], self.batch):
                histories = _before(interactions, part)
                allowed = allowed_items(histories, interactions.n_items, self.repeat)
                by_member = {name: model.score(histories) for name, model in fitted.items()}
                scores = blended(by_member, self.weights, allowed).total
                targets.rows[part], targets.shares[part] = _likeliest(scores, targets.rows.shape[1], self.temperature)
                done += len(part)
                on_share(done / len(interactions))
        return SoftTargets(targets.rows, targets.shares, len(interactions.users))

    def _used(self) -> dict[str, Callable[[], CollaborativeModel]]:
        """Return the members with a weight; raises UsageError."""
        used = {name: make for name, make in self.members.items() if self.weights.get(name, 0.0) > 0}
        if not used:
            raise UsageError(f"teacher: none of the members {', '.join(self.members) or '(none)'} has a weight above 0")
        if self.folds < 2 or min(self.top, self.batch) < 1 or not self.temperature > 0:  # noqa: PLR2004 - one would score itself
            raise UsageError(
                f"teacher: {self.folds} folds, top {self.top}, batch {self.batch}, temperature {self.temperature}; "
                "folds must be at least 2, and the others above 0"
            )
        return used


def fit_temperature(scores: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """Return the temperature, within TEMPERATURES, that maximises the likelihood of the targets ``[B]`` of cases.

    ``scores`` are blended, ``[B, n_items]``, ``-inf`` if an item is not allowed. Cases whose target has no score are
    left out; without any other, the temperature is 1.
    """
    of_target = np.take_along_axis(scores, np.asarray(targets)[:, None], axis=1)
    scored = np.isfinite(of_target[:, 0])
    if not scored.any():
        return 1.0
    differences = (scores[scored] - of_target[scored]).astype(np.float64)  # the target's own becomes 0

    def loss(log_temperature: float) -> float:
        return float(special.logsumexp(differences / np.exp(log_temperature), axis=1).mean())

    return float(np.exp(optimize.minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def _folds(interactions: Interactions, folds: int) -> Iterator[tuple[Interactions, NDArray[np.int64]]]:
    """Yield for each part of the users the others' interactions, and the part's positions that have a history."""
    owners = interactions.owners
    later = np.arange(len(interactions)) > interactions.offsets[owners]
    fold_of = np.random.default_rng(0).permutation(len(interactions.users)) % folds
    for fold in range(folds):
        of_fold = fold_of[owners] == fold
        positions = np.flatnonzero(of_fold & later)
        if len(positions) and not of_fold.all():
            yield interactions.keep(~of_fold), positions


def _before(interactions: Interactions, positions: NDArray[np.int64]) -> Sequence[History]:
    """Return the history before each position."""
    owners = np.searchsorted(interactions.offsets, positions, side="right") - 1
    lengths = positions - interactions.offsets[owners]
    pairs = zip(owners.tolist(), lengths.tolist(), strict=True)
    return [interactions.history_at(owner).slice(0, length) for owner, length in pairs]


def _likeliest(
    scores: NDArray[np.float32], top: int, temperature: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ``top`` items of a softmax over ``[B, n_items]`` scores, and their renormalised probabilities."""
    rows = np.argpartition(-scores, top - 1, axis=1)[:, :top]
    best = np.take_along_axis(scores, rows, axis=1).astype(np.float64)
    order = np.argsort(-best, axis=1, kind="stable")
    rows, best = np.take_along_axis(rows, order, axis=1), np.take_along_axis(best, order, axis=1)
    # Standardised scores that are not all equal have a positive one.
    telling = np.isfinite(best[:, :1]) & (best[:, :1] > 0)
    shares = np.exp(np.where(telling, best - np.where(telling, best[:, :1], 0.0), -np.inf) / temperature)
    return rows, shares / np.where(telling, shares.sum(axis=1, keepdims=True), 1.0)
