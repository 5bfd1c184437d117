"""Distillation: soft targets from a blend of collaborative models for every interaction of the training histories.

A language model trained on them learns not only which item came next, but also which others were likely. A model is
over-confident about histories that it was fitted on, so the teacher is cross-fitted: the soft targets of a user come
from models that were fitted without that user.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from genre_gen.blending.likeliest import Excluded, likeliest
from genre_gen.collaborative.base import CollaborativeModel
from genre_gen.collaborative.prefixes import Chunk, PrefixScorer, prefix_chunks
from genre_gen.collaborative.rating_model import RatingModel
from genre_gen.data.interactions import Interactions
from genre_gen.errors import UsageError

OnShare: TypeAlias = Callable[[float], None]
Enough: TypeAlias = Callable[[], bool]
LANES = 4
"""The number of parts that the users of a fold are divided into; threads work on them at the same time."""
LANE_CELLS = 2**22
"""The scores of a member in memory at a time, in each lane. For more items, there are fewer prefixes and lanes."""
TEMPERATURES = (0.02, 5.0)
"""The range of temperatures; blended scores are in standard deviations."""


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's prediction of each training interaction, given the history before it.

    Attributes:
        rows: int32 ``[n, top]`` catalog rows of the likeliest items.
        shares: float16 ``[n, top]`` their probabilities. They sum to 1, or are all 0 without a prediction: for the
            first item of a history, if all items have the same score, and for users who were left out.
        users: number of users who have soft targets; those of the others were not made.
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


def never() -> bool:
    """Return False: there is no limit of time."""
    return False


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
        batch: prefixes scored at a time in each of LANES lanes, or fewer for many items; memory is about
            ``4 * batch * n_items`` bytes for each member and lane, and three times that for their sum.
    """

    members: Mapping[str, Callable[[], CollaborativeModel]]
    weights: Mapping[str, float]
    temperature: float = 1.0
    repeat: bool = False
    folds: int = 4
    top: int = 50
    batch: int = 64

    def __call__(
        self,
        interactions: Interactions,
        on_share: OnShare = lambda _: None,
        /,
        *,
        enough: Enough = never,
        users: int | None = None,
    ) -> SoftTargets:
        """Return the soft targets of all interactions, in their order; the same for the same input.

        Users are taken in a fixed random order, fold by fold. A user has the soft targets of the whole history or none.

        Args:
            interactions: the training histories.
            on_share: is told the share that is done, 0 to 1, several times a second except while a model is fitted.
            enough: is asked between batches; soft targets end with the last user who is finished.
            users: end after this many users. With the ``users`` of earlier soft targets, the result is the same bits.

        Raises:
            UsageError: no member has a weight, or a number is out of range.
        """
        used = self._used()
        if users is not None and users < 0:
            raise UsageError(f"teacher: users is {users}; give the number of users, or None for all")
        targets = SoftTargets.empty(len(interactions), min(self.top, interactions.n_items))
        share, done, reused = _Share(on_share, self.folds), 0, dict[str, CollaborativeModel]()
        for others, of_fold in _folds(interactions, self.folds):
            wanted = len(of_fold) if users is None else min(len(of_fold), users - done)
            fitted = self._fit(used, others, reused, share, enough) if wanted and not enough() else None
            if fitted is None:
                break
            finished = self._teach(fitted, interactions, of_fold, wanted, targets, share, enough)
            done += finished
            if finished < len(of_fold):
                break
        return replace(targets, users=done)

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

    def _fit(
        self,
        used: Mapping[str, Callable[[], CollaborativeModel]],
        others: Interactions,
        reused: dict[str, CollaborativeModel],
        share: _Share,
        enough: Enough,
    ) -> dict[str, CollaborativeModel] | None:
        """Return the models fitted on the other users' interactions; None if there was no time.

        Those that do not read interactions are fitted once, and stay in ``reused``.
        """
        fitted = {}
        for number, (name, make) in enumerate(used.items()):
            share.fitting(number / len(used))
            model = reused.get(name) or make()
            # A model of ratings cannot score a fold if the other users have no ratings.
            if others.rated or not isinstance(model, RatingModel):
                fitted[name] = model if name in reused else model.fit(others)
            if not model.reads_interactions:
                reused[name] = model
            if enough():
                return None
        share.fitting(1.0)
        return fitted

    def _teach(
        self,
        fitted: Mapping[str, CollaborativeModel],
        interactions: Interactions,
        users: NDArray[np.int64],
        wanted: int,
        targets: SoftTargets,
        share: _Share,
        enough: Enough,
    ) -> int:
        """Make the soft targets of the first ``wanted`` users of a fold, or of fewer; return their number."""
        if not fitted:
            return wanted
        scorers = [model.prefix_scorer(interactions, repeat=self.repeat) for model in fitted.values()]
        weights = [self.weights[name] for name in fitted]
        # Each user belongs to one lane and each lane makes its own chunks, so that neither threads nor an early end
        # change any bit. A round takes one chunk of each lane.
        count = max(1, min(LANES, LANES * LANE_CELLS // (self.batch * interactions.n_items)))
        lanes = [_Lane(self, interactions, users[lane::count], scorers, weights) for lane in range(count)]
        total, finished = sum(int(lane.ends[-1]) for lane in lanes if len(lane.users)), 0
        with _workers() as run:
            while any(run(lambda lane: lane.advance(targets), lanes)):
                finished = sum(lane.finished for lane in lanes)
                share.teaching(sum(lane.done for lane in lanes) / total)
                if finished >= wanted or enough():
                    break
        kept = np.sort(np.concatenate([np.arange(lane, count * lanes[lane].finished, count) for lane in range(count)]))
        for user in np.delete(users, kept[:wanted]):
            part = slice(interactions.offsets[user], interactions.offsets[user + 1])
            targets.rows[part], targets.shares[part] = 0, 0
        return min(len(kept), wanted)


class _Lane:
    """Makes the soft targets of some users, one chunk after another."""

    def __init__(
        self,
        teacher: Teacher,
        interactions: Interactions,
        users: NDArray[np.int64],
        scorers: Sequence[PrefixScorer],
        weights: Sequence[float],
    ) -> None:
        """Prepare the chunks."""
        self.teacher, self.interactions, self.users, self.weights = teacher, interactions, users, weights
        self.scorers = [scorer.fresh() for scorer in scorers]
        batch = max(1, min(teacher.batch, LANE_CELLS // interactions.n_items))
        self.chunks = prefix_chunks(interactions, users, batch)
        self.ends = np.cumsum(np.diff(interactions.offsets)[users] - 1)
        self.done = 0

    @property
    def finished(self) -> int:
        """Return the number of users who have all their soft targets."""
        return int(np.searchsorted(self.ends, self.done, side="right"))

    def advance(self, targets: SoftTargets) -> bool:
        """Make the soft targets of the next chunk; return False if there is none."""
        chunk = next(self.chunks, None)
        if chunk is None:
            return False
        excluded = _excluded(chunk, self.interactions, self.teacher.repeat)
        scores = (scorer.score(chunk) for scorer in self.scorers)
        rows, values = likeliest(scores, self.weights, excluded, self.interactions.n_items, targets.rows.shape[1])
        later = chunk.positions + 1
        targets.rows[later], targets.shares[later] = rows, _softmax(values, self.teacher.temperature)
        self.done += len(chunk)
        return True


@contextmanager
def _workers() -> Iterator[Callable[[Callable[[_Lane], bool], Sequence[_Lane]], list[bool]]]:
    """Yield a function that applies another to all lanes, in as many threads as torch uses.

    A product has one thread, so that its bits do not depend on their number.
    """
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    threads = min(LANES, before)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            mapped = pool.map if threads > 1 else map
            yield lambda work, lanes: list(mapped(work, lanes))
    finally:
        torch.set_num_threads(before)


class _Share:
    """Reports the share of the work that is done: each fold begins with fitting, whose part is measured."""

    EVERY = 0.1  # seconds

    def __init__(self, on_share: OnShare, folds: int) -> None:
        self.on_share, self.folds, self.fold, self.part = on_share, folds, -1, 0.5
        self.begin = self.fitted = self.told = time.perf_counter()

    def fitting(self, share: float) -> None:
        """Report the share of a fold's models that are fitted."""
        now = time.perf_counter()
        if share == 0.0:
            if self.fold >= 0:
                self.part = (self.fitted - self.begin) / max(now - self.begin, 1e-9)
            self.fold, self.begin = self.fold + 1, now
        self.fitted = now
        self._tell(share * self.part, now)

    def teaching(self, share: float) -> None:
        """Report the share of a fold's interactions that have soft targets."""
        now = time.perf_counter()
        if now - self.told >= self.EVERY or share == 1.0:
            self._tell(self.part + share * (1 - self.part), now)

    def _tell(self, of_fold: float, now: float) -> None:
        self.told = now
        self.on_share((self.fold + of_fold) / self.folds)


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
    """Yield for each part of the users the others' interactions, and its users with two interactions or more."""
    order = np.random.default_rng(0).permutation(len(interactions.users))
    several = np.diff(interactions.offsets) > 1
    for fold in range(folds):
        of_fold = np.flatnonzero(order % folds == fold)
        users = of_fold[np.argsort(order[of_fold])]
        users = users[several[users]]
        others = np.isin(interactions.owners, of_fold, invert=True)
        if len(users) and others.any():
            yield interactions.keep(others), users


def _excluded(chunk: Chunk, interactions: Interactions, repeat: bool) -> Excluded:
    """Return the items of each prefix, which are not predicted again; nothing if ``repeat``."""
    before, rows, histories = (np.zeros(0, np.int64) for _ in range(3))
    if repeat:
        return Excluded(before, rows, histories, np.full(len(chunk), interactions.n_items))
    if chunk.places[0]:  # a later part of one history, whose earlier items are excluded for all of the part
        before = interactions.rows[chunk.positions[0] - chunk.places[0] : chunk.positions[0]]
    earlier, histories = np.nonzero(np.triu(chunk.owners[:, None] == chunk.owners))
    return Excluded(before, chunk.rows[earlier], histories, interactions.n_items - chunk.distinct)


def _softmax(scores: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Return probabilities ``[B, top]`` of scores, best first; 0 for all where the best is ``-inf``."""
    best = scores[:, :1].astype(np.float64)
    telling = np.isfinite(best)
    shares = np.exp(np.where(telling, scores - np.where(telling, best, 0.0), -np.inf) / temperature)
    return shares / np.where(telling, shares.sum(axis=1, keepdims=True), 1.0)
