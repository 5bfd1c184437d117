"""Run: one run of a training, with its budget, what is told of it, and what its finished stages made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Case
from genre_gen.domain import Domain
from genre_gen.training.budget import BLEND_SHARE, SOFT_TARGETS_SHARE, SPARE, Budget
from genre_gen.training.distillation import OnShare, SoftTargets, Teacher
from genre_gen.training.members import Fitted
from genre_gen.training.progress import Stages
from genre_gen.training.schedule import Progress
from genre_gen.training.stage_results import StageResults
from genre_gen.training.tracking import Tracking

if TYPE_CHECKING:
    from genre_gen.training.finetune import FineTuner

log = logging.getLogger(__name__)
SOFT_TARGETS = "soft targets"
SOFT_TARGETS_OF_REST = 0.25
"""The largest share of the time left that the first training's soft targets may take."""

REFIT_COST = 0.5
"""The largest share of the time left for the language model that a refit may take for everything else."""

BLEND_COST = 2.0
"""What a case costs when the weights of the blends are chosen, in cases of a validation: members and ratings too."""


@dataclass
class Run:
    """One run of a training.

    Attributes:
        budget: the time.
        stages: tells progress.
        tracking: writes figures to a tracker.
        results: what finished stages made.
        soft_seconds: what soft targets took.
        build_seconds: what loading the pre-trained model and making item codes took.
    """

    budget: Budget
    stages: Stages
    tracking: Tracking
    results: StageResults
    soft_seconds: float = 0.0
    build_seconds: float = 0.0

    @property
    def spare(self) -> float:
        """Return the seconds that no stage may take; 0 without a budget."""
        return SPARE * (self.budget.seconds or 0.0)

    def about(self) -> dict[str, Any]:
        """Return what a checkpoint says of the training that it belongs to."""
        return self.results.about(self.budget.spent)

    def follow(self, tuner: FineTuner) -> None:
        """Report the language model's progress to the stage, and its figures to the tracker."""
        self.tracking.follow(tuner)
        if tuner.stage == SOFT_TARGETS:
            self.stages.update(SOFT_TARGETS_SHARE * tuner.share(), part=tuner.stage)
            return
        before = SOFT_TARGETS_SHARE if tuner.training.distillation else 0.0
        best = {"NDCG@10": tuner.progress.best} if tuner.progress.best >= 0 else {}
        self.stages.update(before + (1 - before) * tuner.share(), {**best, **tuner.recent_losses()}, part=tuner.stage)

    def kept_soft_targets(self, teacher: Teacher, interactions: Interactions, on_share: OnShare) -> SoftTargets:
        """Make the soft targets of the first training within their share of the budget, or take up kept ones."""
        targets = self.results.soft_targets()
        if targets is None:
            targets = self.soft_targets(teacher, SOFT_TARGETS_OF_REST * self.budget.left, interactions, on_share)
            self.results.keep_soft_targets(targets, self.budget.spent)
        return targets

    def soft_targets(
        self, teacher: Teacher, limit: float, interactions: Interactions, on_share: OnShare
    ) -> SoftTargets:
        """Make soft targets within half of their share of the budget, and within a limit in seconds."""
        begin, limit = self.budget.spent, min(limit, self.budget.share(SOFT_TARGETS_SHARE / 2))
        targets = teacher(interactions, on_share, enough=lambda: self.budget.spent - begin > limit)
        self.soft_seconds = self.budget.spent - begin
        if targets.users < len(interactions.users):
            done, whole = f"{targets.users:,}", f"{len(interactions.users):,}"
            log.warning("%s are made for %s of %s users, as the budget allows", SOFT_TARGETS, done, whole)
        return targets

    def time_left(self, domain: Domain, fitted: Fitted, n_cases: int) -> Callable[[Progress], float]:
        """Return a function that tells the seconds that the language model's first training may still take.

        The blends' weights and the refit need the rest: they take what their parts took before. A refit that continues
        gets the time of its epochs, at most a quarter of both trainings; one from scratch gets half. No time is kept
        for a refit whose other parts would take more than REFIT_COST of what the language model has for both.
        """
        training = domain.training

        def left(progress: Progress) -> float:
            each = progress.validation_seconds / max(1, min(n_cases, training.validation_users))
            rest = self.budget.left - self.spare
            rest -= min(BLEND_COST * each * n_cases, self.budget.share(BLEND_SHARE))
            if training.refit == "none":
                return rest
            others = self.refit_seconds(training.refit, fitted)
            if others > REFIT_COST * (rest + progress.seconds):
                return rest
            rest -= others
            both = max(0.0, rest + progress.seconds)
            if training.refit == "from_scratch":
                return rest - both / 2
            return rest - min(training.refit_epochs * progress.batches * progress.step_seconds, both / 4)

        return left

    def refit_seconds(self, refit: str, fitted: Fitted) -> float:
        """Return what a refit takes next to the training of the language model."""
        again = self.build_seconds if refit == "from_scratch" else 0.0
        return sum(fitted.once.values()) + self.soft_seconds + again

    def cases(self, cases: Sequence[Case]) -> Sequence[Case]:
        """Return validation cases in an order in which any first part is a fair sample, if there is a budget."""
        if self.budget.seconds is None:
            return cases
        return [cases[position] for position in np.random.default_rng(0).permutation(len(cases)).tolist()]

    def within(self, share: float) -> Callable[[], bool]:
        """Return a function that tells when a share of the budget, counted from now, or all of it is used up."""
        begin, limit = self.budget.spent, self.budget.share(share)
        return lambda: self.budget.spent - begin > limit or self.budget.left <= 0
