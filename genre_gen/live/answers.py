"""Answering a batch of asks, each with the result or the error that it would have alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genre_gen.data.history import History
from genre_gen.live.histories import LiveHistories
from genre_gen.live.lanes import Ask
from genre_gen.live.view import View
from genre_gen.recommender.answering import answer_many
from genre_gen.recommender.requests import Recommendations, Request
from genre_gen.recommender.state import LLM_MEMBER, RecommenderState

log = logging.getLogger(__name__)
BUSY = "the server is busy: ranked by the collaborative models, without the language model"


@dataclass(frozen=True)
class Served:
    """A domain as it is served: both parts are replaced together."""

    view: View
    histories: LiveHistories

    @property
    def alone(self) -> bool:
        """Tell whether asks are answered one by one.

        Weights or activations of few bits are scaled over all users of a batch, or round differently in one: a list
        would depend on who else is in it.
        """
        llm = self.view.state.llm
        return llm.served != "none" or llm.settings.quantization != "none"


@dataclass(frozen=True)
class Part:
    """The answer to one ask of a batch: picks or an error, and the history that they are for."""

    picks: Recommendations | None
    error: BaseException | None
    history: History
    history_seq: int


@dataclass(frozen=True)
class Answered:
    """The answers to a batch, in its order, and seconds by stage."""

    parts: Sequence[Part]
    stages: dict[str, float]


NO_HISTORY = History(np.zeros(0, np.int64))


def answer_asks(served: Served, asks: Sequence[Ask], state: RecommenderState | None = None) -> Answered:
    """Answer asks of one domain together; an ask that fails does not affect the others.

    ``state`` replaces the view's own, such as one without the language model.
    """
    begin = time.perf_counter()
    state = served.view.state if state is None else state
    found = [_history(served.histories, ask) for ask in asks]
    valid = [place for place, (_, _, error) in enumerate(found) if error is None]
    requests = [replace(asks[place].request, who=found[place][0]) for place in valid]
    looked_up = time.perf_counter()
    encoding, reading = spent(state)
    outcomes: list[Recommendations | BaseException | None] = [error for _, _, error in found]
    for place, outcome in zip(valid, _answers(state, served.view, requests), strict=True):
        outcomes[place] = outcome
    parts = [
        Part(None, outcome, history, seq) if isinstance(outcome, BaseException) else Part(outcome, None, history, seq)
        for (history, seq, _), outcome in zip(found, outcomes, strict=True)
    ]
    encoded, read = (after - before for after, before in zip(spent(state), (encoding, reading), strict=True))
    stages = {"histories": looked_up - begin, "prompts": encoded, "model": read}
    stages["lists"] = max(0.0, time.perf_counter() - looked_up - encoded - read)
    return Answered(parts, stages)


def _history(histories: LiveHistories, ask: Ask) -> tuple[History, int, Exception | None]:
    try:
        if isinstance(ask.who, str):
            return *histories.history_and_seq(ask.who, until_seq=ask.until_seq), None
        return NO_HISTORY if ask.who is None else ask.who, 0, None
    except Exception as problem:
        return NO_HISTORY, 0, problem


def _answers(
    state: RecommenderState, view: View, requests: Sequence[Request]
) -> Sequence[Recommendations | BaseException]:
    options: dict[str, Any] = {} if view.available is None else {"available": view.available}

    def together(some: Sequence[Request]) -> list[Recommendations]:
        return list(answer_many(state, some, **options))

    if len(requests) > 1:
        try:
            return together(requests)
        except Exception as problem:
            log.debug("a batch of %d fails together, so each is answered alone: %s", len(requests), problem)
    answers: list[Recommendations | BaseException] = []
    for request in requests:
        try:
            answers += together([request])
        except Exception as problem:
            answers.append(problem)
    return answers


def spent(state: RecommenderState) -> tuple[float, float]:
    """Return the seconds that a state's generator has spent so far on encoding prompts, and on the language model."""
    generator = state.__dict__.get("generator")  # before its first use there is none
    return (0.0, 0.0) if generator is None else (generator.seconds_encoding, generator.seconds_reading)


def without_llm(state: RecommenderState) -> RecommenderState | None:
    """Return a state that ranks by the collaborative models alone; None if there are none."""
    blend = state.tuned.blend_without_llm
    return state.with_blend(blend) if blend.members and any(blend.weights.values()) else None


def warm_up(view: View) -> None:
    """Answer requests of unknown users, so that the first real ones find weights packed and caches filled.

    Batches keep each user's prompt afterwards, so that only new events are read.
    """
    if LLM_MEMBER in view.state.blend.members:
        view.state.generator.keeps_prompts = True
    options: dict[str, Any] = {} if view.available is None else {"available": view.available}
    for size in (1, 2):
        list(answer_many(view.state, [Request(NO_HISTORY, n=1)] * size, **options))
