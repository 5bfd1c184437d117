"""Tuner: chooses a peer's settings on validation cases."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eval.bench.cases import Bench
from eval.bench.peers import Peer
from genre_gen.data.splits import Case
from genre_gen.metrics import case_ranks, ndcg_at

log = logging.getLogger(__name__)
HEADLINE = "N@10"


def mean_ndcg(model: Any, cases: Sequence[Case], bench: Bench) -> float:
    """Return a model's NDCG@10 on cases."""
    return float(ndcg_at(case_ranks(model.score, cases, bench.split.train.n_items, bench.domain.repeat), 10).mean())


class Tuner:
    """Tries the grid of a model on the validation cases.

    Attributes:
        trials: settings and their NDCG@10, in the order tried.
    """

    def __init__(self, bench: Bench, peer: Peer, inputs: Mapping[str, Any], minutes: float | None) -> None:
        """Set the model to tune and the limit of minutes."""
        self.bench, self.peer, self.inputs = bench, peer, inputs
        self.end = None if minutes is None else time.thread_time() + 60 * minutes
        self.trials: list[dict[str, Any]] = []
        self.best: tuple[float, dict[str, Any], Any] = (-1.0, {}, None)
        self.model: Any = None  # the last fitted model, and its settings
        self.fitted_with: dict[str, Any] | None = None

    def run(self) -> tuple[dict[str, Any], Any, list[dict[str, Any]]]:
        """Return the best settings, the model fitted with them on the training part, and all trials."""
        for stage in self.peer.stages or ({},):
            start = self.best[1]
            for settings in self._combinations(stage, start):
                if all(settings != trial["settings"] for trial in self.trials):
                    self._try(settings)
        _, settings, model = self.best
        self._set_scoring(model, settings)  # a later trial may have changed it
        return settings | ({"max_epochs": model.best_epoch} if self.peer.early else {}), model, self.trials

    def _combinations(self, stage: Mapping[str, Sequence[Any]], start: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the settings of a stage; those that affect scoring only change fastest."""
        names = sorted(stage, key=lambda name: name in self.peer.scoring)
        for values in itertools.product(*(stage[name] for name in names)):
            yield {**start, **dict(zip(names, values, strict=True))}

    def _try(self, settings: dict[str, Any]) -> None:
        needed = {name: value for name, value in settings.items() if name not in self.peer.scoring}
        if self.model is None or needed != self.fitted_with:
            self.model, self.fitted_with = self._fit(settings), needed
        self._set_scoring(self.model, settings)
        ndcg = mean_ndcg(self.model, self.bench.tuning, self.bench)
        curve = {"log": self.model.log} if self.peer.early else {}
        self.trials.append({"settings": settings, HEADLINE: ndcg, **curve})
        log.info("%s: %s %.4f on validation", settings, HEADLINE, ndcg)
        if ndcg > self.best[0]:
            self.best = (ndcg, settings, self.model)

    def _fit(self, settings: Mapping[str, Any]) -> Any:
        train = self.bench.split.train
        if not self.peer.early:
            return self.peer.make(settings, **self.inputs).fit(train)
        model = self.peer.make(settings, **self.inputs, max_minutes=self._share())
        return model.fit(train, self.bench.tuning, repeat=self._repeat)

    def _share(self) -> float | None:
        """Return the minutes of one trial: the time left, divided among the remaining trials and the final fit."""
        if self.end is None:
            return None
        total = sum(1 for stage in self.peer.stages for _ in self._combinations(stage, {}))
        return max(self.end - time.thread_time(), 1.0) / 60 / (max(total - len(self.trials), 1) + 1)

    def _set_scoring(self, model: Any, settings: Mapping[str, Any]) -> None:
        for name in set(self.peer.scoring) & set(settings):
            setattr(model, name, settings[name])

    @property
    def _repeat(self) -> bool:
        return self.bench.domain.repeat
