"""RunOptions: how far a run of the language model's training goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genre_gen.blending.tuned import Steps
from genre_gen.training.distillation import SoftTargetSource
from genre_gen.training.schedule import TimeLeft


@dataclass(frozen=True)
class RunOptions:
    """How far one run of the language model's training goes; an earlier run may be repeated.

    Attributes:
        teacher: makes the soft targets.
        epochs: main epochs instead of the domain's; may be less than 1.
        time_left: tells how many seconds the run may still take; its speed decides the number of steps. A run whose
            validation still rises after all epochs is extended if time is left.
        repeats: the steps of an earlier run, which are done again by count, whatever time and validations say.
        interrupted: asked after each step; the run then stops with a checkpoint, and is not finished.
        on_step: called with the fine-tuner after every step.
        about: returns what else the manifest of a checkpoint says.
    """

    teacher: SoftTargetSource | None = None
    epochs: float | None = None
    time_left: TimeLeft | None = None
    repeats: Steps | None = None
    interrupted: Callable[[], bool] = lambda: False
    on_step: Callable[[Any], None] | None = None
    about: Callable[[], Mapping[str, Any]] = dict


WHOLE = RunOptions()
"""A run of all epochs."""
