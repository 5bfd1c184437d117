"""Several trainings from one start, and the mean of their weights: nearly all of them, at the price of one.

Each training goes another way from the same start: its batches come in another order, dropout takes out other parts.
Their ends lie in one basin of the loss, so the mean of their weights is a model too, which may generalise better than
each of them ("model soups", Wortsman et al., ICML 2022, https://arxiv.org/abs/2203.05482).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from genre_gen.llm.model import LLM
from genre_gen.training.finetune import FineTuner


@dataclass
class Trained:
    """What one or several trainings were like.

    Attributes:
        log: their validations in order, see :class:`~genre_gen.training.finetune.Progress`; ``seconds`` go on from one
            training to the next. With several, ``run`` counts them, and an entry with ``averaged`` tells of the mean
            of so many.
        seconds: time spent in all of them, also before an interruption.
        best: main epochs after which each was best, fractions where it was within one; empty where none was validated
            in its main epochs.
    """

    log: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    best: list[float] = field(default_factory=list)

    def add(self, tuner: FineTuner, run: int | None) -> None:
        """Count in one training; ``run`` says which of several it was."""
        numbered = {} if run is None else {"run": run}
        entries = [{**entry, **numbered, "seconds": self.seconds + entry["seconds"]} for entry in tuner.progress.log]
        judged = [entry for entry in entries if "ndcg@10" in entry and entry["epoch"] > 0]
        if judged:
            self.best.append(max(judged, key=lambda entry: entry["ndcg@10"])["epoch"])
        self.log += entries
        self.seconds += tuner.progress.seconds

    @property
    def epochs(self) -> int | None:
        """Return after how many main epochs they were best, on average, rounded up; None where nothing says so."""
        # Fractions of epochs do not add up exactly, and that alone shall cost no epoch.
        return max(1, math.ceil(round(mean(self.best), 2))) if self.best else None


def train_averaged(
    llm: LLM, runs: int, tuner_of: Callable[[int], FineTuner], on_step: Callable[[FineTuner], None] | None = None
) -> Trained:
    """Train a model ``runs`` times from where it stands, and leave it with the mean of the weights.

    Args:
        llm: changed in place.
        runs: 1 is a training as always.
        tuner_of: number, from 0 on -> its training, of this very model; they differ in seed and folder.
        on_step: called after every step, with the tuner of the run; its ``run`` and ``runs`` say which of how many.
    """
    if runs == 1:
        trained, tuner = Trained(), tuner_of(0)
        tuner.run(on_step)
        trained.add(tuner, None)
        return trained
    tuner = tuner_of(0)  # which may add weights to the model
    start, trained = weights(llm), Trained()
    total: dict[str, Tensor] = {}
    for number in range(runs):
        if number:
            put(llm, start)
            tuner = tuner_of(number)
        tuner.number, tuner.runs = number, runs
        tuner.run(on_step)
        trained.add(tuner, number + 1)
        total = {name: total.get(name, 0) + value.double() for name, value in weights(llm).items()}
        put(llm, {name: value / (number + 1) for name, value in total.items()})
        if number and tuner.validate is not None:
            figures = {"averaged": number + 1, "ndcg@10": tuner.validate()}
            trained.log.append({**trained.log[-1], "seconds": trained.seconds, "losses": {}, **figures})
    return trained


def weights(llm: LLM) -> dict[str, Tensor]:
    """Return a copy of what training changes."""
    return {name: value.detach().clone() for name, value in llm.trainable()}


@torch.no_grad()
def put(llm: LLM, values: dict[str, Tensor]) -> None:
    """Write values into what training changes."""
    for name, parameter in llm.trainable():
        parameter.copy_(values[name])
