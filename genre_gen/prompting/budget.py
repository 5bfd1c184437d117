"""Limits of templates: what one rendering may spend of work and of processor time."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from genre_gen.errors import PromptError

MAX_SOURCE = 16_384  # characters of one file
MAX_OUTPUT = 65_536  # characters of one prompt; an item code counts as one
MAX_WORK = 1_000_000  # loop steps, list elements, and characters / 16
MAX_SECONDS = 0.5  # processor time of the rendering thread, so that a busy machine fails no prompt
LITTLE_WORK = 10_000  # of what has done no more than this, half a second is not the template's
MAX_RANGE = 10_000
MAX_NUMBER = 1e15
MAX_DIGITS = 15  # of rounding, on either side of the point: Python computes 10 to the power of them
CHARACTERS_PER_UNIT = 16


class Budget:
    """What one rendering may still spend."""

    def __init__(self) -> None:
        """Start the clock."""
        self._work, self._little = MAX_WORK, MAX_WORK - LITTLE_WORK
        self._start()

    def _start(self) -> None:
        self._until, self._not_before = time.thread_time() + MAX_SECONDS, time.monotonic() + MAX_SECONDS

    def charge(self, units: int) -> None:
        """Pay for work without looking at the clock."""
        self._work -= units
        if self._work < 0:
            raise PromptError("the template does too much work; loop over less, or shorten the history")

    def spend(self, units: int) -> None:
        """Pay for work."""
        self.charge(units)
        # A thread's processor time is a call to the system, and cannot be used up before as much of the clock's is.
        if time.monotonic() > self._not_before and time.thread_time() > self._until:
            if self._work < self._little:
                raise PromptError("the template takes too long; loop over less, or shorten the history")
            # Some machines count it as a thread's own time when they let it wait: forgiven once.
            self._little = self._work + 1
            self._start()


BUDGET: ContextVar[Budget] = ContextVar("budget")


@contextmanager
def spending() -> Iterator[None]:
    """Let templates pay from a new budget within a ``with`` block."""
    token = BUDGET.set(Budget())
    # A collection of all that a large process holds can take half a second, which no template has spent.
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        BUDGET.reset(token)
