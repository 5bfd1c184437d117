"""Engine: the model thread.

One thread reads with the language model for all clients. It takes what waits when it becomes free and never waits for
more to come: under little load a request is answered alone, from the user's kept prompt, and under much load batches
grow by themselves. All calls of torch that answer requests are made there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, TypeVar, cast

from genre_gen.data.arguments import check_count
from genre_gen.data.history import History
from genre_gen.errors import BusyError, UsageError, quoted
from genre_gen.live.answers import BUSY, Served, answer_asks, warm_up, without_llm
from genre_gen.live.histories import LiveHistories
from genre_gen.live.lanes import Ask, Lane, Lanes, Waiting, Work
from genre_gen.live.stats import BatchRecord, EngineStats
from genre_gen.live.view import View
from genre_gen.recommender.requests import Recommendations
from genre_gen.recommender.state import RecommenderState

__all__ = ["Answer", "Ask", "Engine", "EngineStats", "Lane"]
log = logging.getLogger(__name__)
Result = TypeVar("Result")
SLOW_BATCH = 4
"""Asks of the slow lane that are answered together: one of them takes many passes, and nothing interrupts a batch."""
LEAST_WAIT = 0.05
MARGIN = 1.5
"""How many times the expected wait an ask must have: a queue that just fits would answer half of its asks too late."""


@dataclass(frozen=True)
class Answer:
    """The answer to one ask.

    Attributes:
        picks: the list.
        view: what it was answered with.
        history: what it was answered for.
        history_seq: the ``seq`` of the user's last event in that history; 0 without events.
        batch: number of asks that were answered together.
        waited: seconds from the ask to the begin of its batch.
        seconds: seconds of the batch.
    """

    picks: Recommendations
    view: View
    history: History
    history_seq: int
    batch: int
    waited: float
    seconds: float


class Engine:
    """The model thread of a server: batches that never wait, deadlines, bounded queues, swaps.

    An answer has the items that ``Recommender.recommend`` gives for the same history alone, in the same order, with
    scores that differ by less than 1e-4; items whose scores are nearer to each other may change places. A quantized
    model answers one by one.

    Attributes:
        stats: counters and a hook.

    Example:
        >>> engine = Engine()
        >>> engine.open(View.of(recommender.state), LiveHistories(recommender.state, Kinds(domain)))
        >>> answer = engine.ask(Ask("movies", "17", Request(n=5))).result()
        >>> len(answer.picks), answer.history_seq
        (5, 0)
        >>> engine.close()
    """

    def __init__(
        self,
        *,
        max_batch: int = 64,
        max_queue: int = 512,
        threads: int | None = None,
        overload: Literal["refuse", "degrade"] = "refuse",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the thread.

        Args:
            max_batch: the most asks that are answered together.
            max_queue: the most that may wait in each lane.
            threads: of torch for one pass; None leaves torch's own setting.
            overload: what happens to asks that cannot be answered in time: ``refuse`` raises BusyError; ``degrade``
                answers them by the collaborative models alone on a second thread, with a note.
            clock: seconds, by which deadlines are given.

        Raises:
            UsageError: a number below 1, or another word for ``overload``.
        """
        for name, value in (
            ("max_batch", max_batch),
            ("max_queue", max_queue),
            ("threads", 1 if threads is None else threads),
        ):
            check_count(value, name, "give 1 or more")
        if overload not in {"refuse", "degrade"}:
            raise UsageError(f"overload = {quoted(overload)}; give 'refuse' or 'degrade'")
        self._clock, self._torch_threads, self._degrades = clock, threads, overload == "degrade"
        self._served: dict[str, Served] = {}
        self._lanes = Lanes(max_queue, {Lane.FAST: max_batch, Lane.PUSH: max_batch, Lane.SLOW: SLOW_BATCH})
        self._spare = Lanes(max_queue, dict.fromkeys(Lane, 1))  # what is answered without the language model
        self._without: dict[str, tuple[View, RecommenderState | None]] = {}
        self._work = threading.Condition()
        self._closed = False
        self._fatal: BaseException | None = None
        self._busy_until = 0.0
        self.stats = EngineStats(lambda: {lane: len(queue) for lane, queue in self._lanes.queues.items()})
        self._threads = [threading.Thread(target=self._guarded, args=(self._lanes,), name="model", daemon=True)]
        if self._degrades:
            spare = threading.Thread(target=self._guarded, args=(self._spare,), name="without-model", daemon=True)
            self._threads.append(spare)
        for thread in self._threads:
            thread.start()

    def open(self, view: View, histories: LiveHistories) -> None:
        """Serve a domain; returns when it is warm.

        Raises:
            UsageError: a domain of that name is served already.
        """
        if view.domain in self._served:
            raise UsageError(f"{quoted(view.domain)} is served already; swap its view, or give it another name")
        warm_up(view)
        with self._work:
            self._served = {**self._served, view.domain: Served(view, histories)}

    def ask(self, ask: Ask) -> Future[Answer]:
        """Queue an ask; ``cancel()`` of the future drops it before the model reads it.

        The future raises what the request alone would raise, or BusyError if the deadline passes in the queue.

        Raises:
            BusyError: the queue is full, the expected wait is longer than the time that is left, or the engine is
                closed or unhealthy.
            UsageError: no such domain.
        """
        return cast("Future[Answer]", self._queue(ask))

    def run(
        self,
        domain: str,
        work: Callable[[View, LiveHistories], Result],
        *,
        lane: Lane = Lane.SLOW,
        deadline: float = inf,
    ) -> Future[Result]:
        """Run work on the model thread, such as a prediction; errors and deadlines are as in ``ask``."""
        return cast("Future[Result]", self._queue(Work(domain, work, lane, deadline)))

    def swap(self, view: View, histories: LiveHistories | None = None) -> None:
        """Serve a domain with another view from the next batch on; returns when that is so.

        The view is warmed up on the calling thread. Batches that have begun end with the view that they began with.

        Args:
            view: the new one, with a larger number.
            histories: those of its state; None rebases the present ones if needed.

        Raises:
            UsageError: no such domain, or a view that is not newer.
        """
        present = self._present(view.domain)
        other_state = view.state is not present.view.state
        if other_state:
            warm_up(view)
        with self._work:
            present = self._present(view.domain)
            if view.number <= present.view.number:
                raise UsageError(
                    f"view {view.number} of {quoted(view.domain)} is not newer than {present.view.number}; give it the "
                    "next number"
                )
            if histories is None:
                histories = present.histories.rebase(view.state) if other_state else present.histories
            self._served = {**self._served, view.domain: Served(view, histories)}
            self.stats.swaps += 1

    def view(self, domain: str) -> View:
        """Return the view of a domain; raises UsageError if it is not served."""
        return self._present(domain).view

    def histories(self, domain: str) -> LiveHistories:
        """Return the live histories of a domain; raises UsageError if it is not served."""
        return self._present(domain).histories

    @property
    def healthy(self) -> bool:
        """Tell whether the engine is open and its threads are alive."""
        return not self._closed and self._fatal is None and all(thread.is_alive() for thread in self._threads)

    def close(self, timeout: float = 5.0) -> None:
        """Finish the present batch, refuse what is queued, and end the threads; waits at most ``timeout`` seconds."""
        with self._work:
            self._closed = True
            queued = [*self._lanes.clear(), *self._spare.clear()]
            self._work.notify_all()
        for waiting in queued:
            _fail(waiting.future, _closing())
        until = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _present(self, domain: str) -> Served:
        try:
            return self._served[domain]
        except (KeyError, TypeError):
            known = ", ".join(self._served) or "none"
            raise UsageError(f"no domain {quoted(domain)} is served; there are: {known}") from None

    def _queue(self, work: Ask | Work) -> Future[Any]:
        self._present(work.domain)
        now = self._clock()
        waiting = Waiting(work, Future(), now)
        with self._work:
            self.stats.asked += 1
            problem = self._hopeless(self._lanes, work, now)
            if problem is None:
                self._lanes.queues[work.lane].append(waiting)
            elif self._can_degrade(work) and self._hopeless(self._spare, work, now) is None:
                self._spare.queues[work.lane].append(waiting)
            else:
                self.stats.refused += 1
                raise problem
            self._work.notify_all()
        return waiting.future

    def _hopeless(self, lanes: Lanes, work: Ask | Work, now: float) -> BusyError | None:
        """Return why work would not be done in time; None if it may be."""
        if self._closed:
            return _closing()
        if self._fatal is not None:
            return _ended(self._fatal)
        running = max(0.0, self._busy_until - now) if lanes is self._lanes else 0.0
        expected = running + lanes.expected(work.lane)
        if len(lanes.queues[work.lane]) >= lanes.most:
            return BusyError(f"{lanes.most} requests wait already; try again later", max(expected, LEAST_WAIT))
        idle = not running and not lanes.queues[work.lane]  # a pace that was measured in a bad moment must not stay
        if now >= work.deadline or (not idle and now + MARGIN * expected > work.deadline):
            left = max(0.0, work.deadline - now)
            told = f"an answer would take {expected:.2f} s and {left:.2f} s are left"
            return BusyError(f"{told}; try again later, or give more time", max(expected - left, LEAST_WAIT))
        return None

    def _can_degrade(self, work: Ask | Work) -> bool:
        return self._degrades and self.healthy and isinstance(work, Ask) and not work.request.explain

    def _guarded(self, lanes: Lanes) -> None:
        """Run a thread's loop; if it ends by an error, everything that waits fails, and so does all that comes."""
        try:
            if self._torch_threads is not None and lanes is self._lanes:
                import torch

                torch.set_num_threads(self._torch_threads)  # of the calling thread
            self._loop(lanes)
        except BaseException as problem:
            log.exception("the %s thread ended", threading.current_thread().name)
            with self._work:
                self._fatal = problem
                queued = [*self._lanes.clear(), *self._spare.clear()]
                self._work.notify_all()
            for waiting in queued:
                _fail(
                    waiting.future, BusyError(f"the model thread ended ({quoted(problem)}); restart the server", 10.0)
                )

    def _loop(self, lanes: Lanes) -> None:
        while True:
            with self._work:
                if lanes is self._lanes:
                    self._busy_until = 0.0
                while (lane := lanes.choose()) is None:
                    if self._closed or self._fatal is not None:
                        return
                    self._work.wait()
                batch = lanes.take(lane, lambda domain: self._present(domain).alone)
                if lanes is self._lanes:
                    self._busy_until = self._clock() + lanes.paces[lane].seconds(len(batch), len(batch))
                served = self._present(batch[0].work.domain)
            self._do(lanes, lane, served, batch)

    def _do(self, lanes: Lanes, lane: Lane, served: Served, taken: Sequence[Waiting]) -> None:
        """Do the work of a batch; an error outside of the work itself reaches its futures too, and ends the thread."""
        try:
            begin = self._clock()
            batch = self._begun(taken, begin, lanes.paces[lane].seconds(len(taken), len(taken)))
            if not batch:
                return
            first, start = batch[0].work, time.perf_counter()
            if isinstance(first, Work):
                stages = self._run(served, first, batch[0].future)
                seconds = time.perf_counter() - start
            else:
                stages, seconds = self._answer(lanes, served, batch, begin, start)
            with self._work:
                lanes.served(lane, len(batch), seconds)
            waits = tuple(begin - waiting.since for waiting in batch)
            if stages:
                stages["waiting"] = sum(waits)
            if lanes is self._lanes:
                self.stats.batch(BatchRecord(first.domain, lane, len(batch), waits, seconds, stages))
        except BaseException as problem:
            for waiting in taken:
                _fail(waiting.future, problem)
            raise

    def _begun(self, taken: Sequence[Waiting], now: float, seconds: float) -> list[Waiting]:
        """Return the work that is still wanted and in time; of several asks, also those that can end in time.

        The batch is expected to take some seconds.
        """
        batch = []
        end = now + seconds if len(taken) > 1 else now
        for waiting in taken:
            if not waiting.future.set_running_or_notify_cancel():
                self.stats.cancelled += 1
            elif end > waiting.work.deadline:
                self.stats.late += 1
                text = f"waited {now - waiting.since:.2f} s, beyond the deadline; try again later, or give more time"
                waiting.future.set_exception(BusyError(text, LEAST_WAIT))
            else:
                batch.append(waiting)
        return batch

    def _run(self, served: Served, work: Work, future: Future[Any]) -> dict[str, float]:
        try:
            future.set_result(work.function(served.view, served.histories))
            self.stats.answered += 1
        except Exception as problem:
            future.set_exception(problem)
            self.stats.failed += 1
        return {}

    def _answer(
        self, lanes: Lanes, served: Served, batch: Sequence[Waiting], begin: float, start: float
    ) -> tuple[dict[str, float], float]:
        """Answer asks; return seconds by stage, and in all."""
        state = None
        if degraded := lanes is self._spare:
            state = self._collaborative(served.view)
        answered = answer_asks(served, [cast(Ask, waiting.work) for waiting in batch], state)
        seconds = time.perf_counter() - start
        for waiting, part in zip(batch, answered.parts, strict=True):
            if part.error is not None or part.picks is None:
                self.stats.failed += 1
                waiting.future.set_exception(part.error)
                continue
            picks = part.picks
            if degraded:
                picks = Recommendations(picks, (BUSY, *picks.notes), picks.parsed_query)
                self.stats.degraded += 1
            self.stats.answered += 1
            waited = begin - waiting.since
            waiting.future.set_result(
                Answer(picks, served.view, part.history, part.history_seq, len(batch), waited, seconds)
            )
        return answered.stages, seconds

    def _collaborative(self, view: View) -> RecommenderState:
        """Return a view's state without its language model; raises BusyError if nothing else ranks."""
        known = self._without.get(view.domain)
        if known is None or known[0] is not view:
            known = self._without[view.domain] = view, without_llm(view.state)
        if known[1] is None:
            raise BusyError("the queue is full, and there is no other model to rank by; try again later", 1.0)
        return known[1]


def _closing() -> BusyError:
    return BusyError("the server is closing; ask again when it is back", 1.0)


def _ended(problem: BaseException) -> BusyError:
    return BusyError(f"the model thread ended ({quoted(problem)}); restart the server", 10.0)


def _fail(future: Future[Any], problem: BaseException) -> None:
    """Give a future an error unless it is done already."""
    if not future.done() and (future.running() or future.set_running_or_notify_cancel()):
        future.set_exception(problem)
