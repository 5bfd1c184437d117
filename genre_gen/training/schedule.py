"""How long a run is: the state of a run, its decisions on the number of steps, and how they are made.

Decisions follow from measured speeds, and are kept as counts. So a run can be repeated without a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

EXTENSION = 1.5
"""The factor by which a run grows that ends while validation still rises and time is left."""

LEAST_EXTENSION = 0.1
"""The least further steps worth it, as a share of those done."""

LEAST_CHANGE = 0.03
"""The least change of the number of steps, as a share of them, for which a plan is changed: each moves the rate."""

MEASURED_AT = frozenset({5, 20, 80, 320})
"""The steps after which a run is planned again, in addition to its validations."""

UNKNOWN_VALIDATION = 15.0
"""What a validation is taken to cost before one was measured, in steps."""

LEAST_STEPS = 20
"""Fewer steps than these, where time allowed no more, teach a language model nothing that is worth its use."""

_ANY = 1 << 62  # any number of steps

TimeLeft: TypeAlias = Callable[["Progress"], float]
"""Given a run's progress, returns the seconds that the run may still take."""


@dataclass
class Progress:
    """The state of a training run, which its checkpoint contains.

    Attributes:
        epoch: number of the present epoch, which an interrupted run repeats from ``done``.
        batches: number of batches in this epoch.
        done: batches done in this epoch.
        step: batches done in total.
        seconds: time spent in all runs, validation included.
        validating: time spent in validations.
        preparing: time spent on making the batches of epochs.
        best: best validation NDCG@10 so far, in the main epochs (those after the pre-training).
        since_best: number of validations since then.
        finished: whether training is complete.
        horizon: the number of steps to which the run was extended beyond its epochs; 0 if it was not.
        schedule: ``[step, total]``: from that step on, the run was meant to have so many steps in all.
        log: one entry per validation: main epochs done (0 in pre-training, fractions within one), step, seconds,
            learning rate, mean loss of each task since the last entry, NDCG@10.
    """

    epoch: int = 0
    batches: int = 0
    done: int = 0
    step: int = 0
    seconds: float = 0.0
    validating: float = 0.0
    preparing: float = 0.0
    best: float = -1.0
    since_best: int = 0
    finished: bool = False
    horizon: int = 0
    schedule: list[list[int]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return the number of steps that the run is meant to have; 0 before the first decision."""
        return total_at(self.schedule, self.step)

    def decide(self, total: int) -> None:
        """Decide on a number of steps."""
        if self.total != total:
            self.schedule = [mark for mark in self.schedule if mark[0] < self.step] + [[self.step, total]]

    @property
    def is_cut(self) -> bool:
        """Tell whether the clock allowed fewer steps than LEAST_STEPS, and than the run was meant to have at first."""
        return bool(self.schedule) and self.total < min(LEAST_STEPS, self.schedule[0][1])

    @property
    def step_seconds(self) -> float:
        """Return the seconds of one step; 0 before the first."""
        return max(0.0, self.seconds - self.validating - self.preparing) / self.step if self.step else 0.0

    @property
    def validation_seconds(self) -> float:
        """Return the seconds of one validation, a guess before the first."""
        return self.validating / len(self.log) if self.validating else UNKNOWN_VALIDATION * self.step_seconds


def total_at(schedule: Sequence[Sequence[int]], step: int) -> int:
    """Return the number of steps that was decided at or before a step; 0 before any decision."""
    return next((total for begin, total in reversed(schedule) if begin <= step), 0)


@dataclass(frozen=True)
class Planner:
    """Decides how many steps a run has.

    Attributes:
        epochs: pre-training included; may be less than 1.
        validations_per_epoch: their number; 0 without validation.
        time_left: see :data:`TimeLeft`; None without a limit, when all epochs are done.
        repeats: the schedule of an earlier run, which is followed by count.
    """

    epochs: float
    validations_per_epoch: int
    time_left: TimeLeft | None = None
    repeats: Sequence[Sequence[int]] | None = None

    def plan(self, progress: Progress) -> int:
        """Decide on the number of steps of the whole run, and return it: all epochs, or what fits."""
        if self.repeats is not None:
            return total_at(self.repeats, progress.step)
        # Epochs differ in length, pre-training much from the others; the total is estimated from the present one.
        whole = progress.step - progress.done + round(progress.batches * (self.epochs - progress.epoch))
        whole = max(whole, progress.horizon)
        if self.time_left is None or progress.step == 0:
            progress.decide(whole)
        else:
            fitting = min(whole, progress.step + self.affordable(progress))
            beyond = progress.total > whole  # epochs were shorter than the first
            if beyond or abs(progress.total - fitting) > LEAST_CHANGE * progress.total:
                progress.decide(max(1, fitting))
        return progress.total

    def is_due(self, progress: Progress) -> bool:
        """Tell whether to plan again at once: an earlier run is followed, or no further step fits."""
        return self.repeats is not None or self.affordable(progress) == 0

    def affordable(self, progress: Progress) -> int:
        """Return how many further steps fit into the time left, with their validations and one at the end.

        Each epoch has its validations, and its batches take time to make.
        """
        if self.time_left is None or self.repeats is not None or progress.step == 0:
            return _ANY
        left = self.time_left(progress)
        if progress.step < min(MEASURED_AT):  # the first steps tell little
            return _ANY if left > 0 else 0
        validation = progress.validation_seconds if self.validations_per_epoch else 0.0
        once = validation * self.validations_per_epoch + progress.preparing / (progress.epoch + 1)
        each = progress.step_seconds + once / max(1, progress.batches)
        left -= validation
        return max(0, int(left / each)) if each > 0 else _ANY

    def extend(self, progress: Progress) -> bool:
        """Make a run longer that ends while validation still rises, if time is left; tell whether."""
        rises = self.validations_per_epoch > 0 and progress.best >= 0 and progress.since_best == 0
        if self.time_left is None or not rises or not self.worth_more(progress):
            return False
        progress.horizon = min(math.ceil(EXTENSION * progress.step), progress.step + self.affordable(progress))
        progress.decide(progress.horizon)
        return True

    def worth_more(self, progress: Progress) -> bool:
        """Tell whether enough further steps are affordable to continue after the end of a run."""
        return self.affordable(progress) >= max(1.0, LEAST_EXTENSION * progress.step)
