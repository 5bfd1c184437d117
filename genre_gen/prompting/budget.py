"""Limits of templates: the work and processor time of one rendering."""

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
MAX_SECONDS = 0.5  # processor time of the rendering thread, so that a busy machine causes no failure
LITTLE_WORK = 10_000  # below this much work, the template cannot have caused the delay
MAX_RANGE = 10_000
MAX_NUMBER = 1e15
MAX_DIGITS = 15  # of rounding, on either side of the point, since Python computes 10 to that power
CHARACTERS_PER_UNIT = 16


class Budget:
    """The remaining work and time of one rendering."""

    def __init__(self) -> None:
        """Start the clock."""
        self._work, self._little = MAX_WORK, MAX_WORK - LITTLE_WORK
        self._start()

    def _start(self) -> None:
        self._until, self._not_before = time.thread_time() + MAX_SECONDS, time.monotonic() + MAX_SECONDS

    def charge(self, units: int) -> None:
        """Pay for work without checking the time."""
        self._work -= units
        if self._work < 0:
            raise PromptError("the template does too much work; loop over less, or shorten the history")

    def spend(self, units: int) -> None:
        """Pay for work and check the time."""
        self.charge(units)
        # Processor time needs a system call and never exceeds wall-clock time, so the clock is read first.
        if time.monotonic() > self._not_before and time.thread_time() > self._until:
            if self._work < self._little:
                raise PromptError("the template takes too long; loop over less, or shorten the history")
            # Some machines count waiting as processor time, so the limit may be exceeded once without much work.
            self._little = self._work + 1
            self._start()


BUDGET: ContextVar[Budget] = ContextVar("budget")


@contextmanager
def spending() -> Iterator[None]:
    """Let templates pay from a new budget within a ``with`` block."""
    token = BUDGET.set(Budget())
    # Garbage collection of a large process can take half a second, which is not the template's time.
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        BUDGET.reset(token)
