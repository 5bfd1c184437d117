"""Progress of a long run: its stage, the share done, and the time left."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from genre_gen.data.html_table import escaped, html_bar, html_block

log = logging.getLogger(__name__)
REDRAWN_AFTER = 0.25
"""Seconds between two drawings of a bar in a notebook."""

KNOWN_FROM = 0.02
"""The share of the run after which the time left is estimated; before, the first stage alone would decide it."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        stage: the present stage, such as ``language model``.
        share: the share of the whole run that is done, 0 to 1.
        seconds: seconds since the run began.
        remaining: estimated seconds left; None while there is no estimate.
        details: figures of the stage, such as the best NDCG@10 so far.

    Example:
        >>> def show(progress: Progress) -> None:
        ...     print(f"{progress.stage}: {progress.share:.0%}")
        >>> show(Progress("language model", share=0.25, seconds=30.0))
        language model: 25%
    """

    stage: str
    share: float
    seconds: float
    remaining: float | None = None
    details: Mapping[str, float] = field(default_factory=dict)


Listener: TypeAlias = Callable[[Progress], None]
ProgressOption: TypeAlias = bool | Listener
"""True for a bar, False for none, or a function that is called with each :class:`Progress`."""


class Stages:
    """Turns the shares of stages into the share of a run, and estimates its end.

    With a budget the run ends with it, or earlier, so its share is that of the budget, up to 99 %. Without one, stages
    are taken to last as the plan says, relative to each other.
    """

    def __init__(
        self,
        plan: Mapping[str, float],
        option: ProgressOption = False,
        clock: Callable[[], float] = time.monotonic,
        *,
        budget: float | None = None,
        spent: float = 0.0,
    ) -> None:
        """Begin a run.

        Args:
            plan: the expected duration of each stage, in any unit, in the order of the run.
            option: where to tell progress.
            clock: returns seconds.
            budget: the seconds that the run may take; None for any.
            spent: the seconds of earlier runs that this one continues.
        """
        self.plan, self._listener, self._clock = dict(plan), listener(option), clock
        self._begin, self._over, self._stage = clock() - spent, 0.0, ""
        self._budget, self._told = budget, 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Run a stage of the plan within the block."""
        self._stage, begin = name, self._clock()
        self.update(0.0)
        try:
            yield
        except BaseException:
            if isinstance(self._listener, (ProgressBar, NotebookBar)):
                self._listener.close()  # so that the error is printed on a new line
            raise
        self._over += self.plan.get(name, 0.0)
        self._tell(0.0, {}, name, last=list(self.plan)[-1:] == [name])
        log.info("%s took %s", name, clock_time(self._clock() - begin))

    def say(self, line: str) -> None:
        """Say something about the run: above a bar, else in the log."""
        log.info("%s", line)
        if isinstance(self._listener, (ProgressBar, NotebookBar)):
            self._listener.say(line)

    def end(self) -> None:
        """End a run before all stages of its plan."""
        self._over = sum(self.plan.values())
        self._tell(0.0, {}, self._stage, last=True)

    def update(self, share: float, details: Mapping[str, float] | None = None, part: str | None = None) -> None:
        """Report the share of the present stage that is done, 0 to 1, its figures, and its part."""
        name = self._stage if part in {None, self._stage} else f"{self._stage}, {part}"
        self._tell(self.plan.get(self._stage, 0.0) * min(max(share, 0.0), 1.0), details or {}, name)

    def _tell(self, of_stage: float, details: Mapping[str, float], name: str, *, last: bool = False) -> None:
        seconds = self._clock() - self._begin
        share = min(1.0, (self._over + of_stage) / (sum(self.plan.values()) or 1.0))
        if self._budget is not None and not last:
            share = min(seconds / self._budget, 0.99)
        # A resumed stage may report a smaller share than before; the bar never runs back.
        self._told = max(self._told, share)
        if self._budget is not None and not last:
            remaining: float | None = max(0.0, self._budget - seconds)
        else:
            remaining = seconds * (1 / self._told - 1) if self._told >= KNOWN_FROM else None
        self._listener(Progress(name, self._told, seconds, remaining, details))


def listener(option: ProgressOption) -> Listener:
    """Return the function to call with progress; for True a bar, of the kind that a notebook or a terminal shows."""
    if option is True:
        return NotebookBar() if in_notebook() else ProgressBar()
    return option if callable(option) else lambda _: None


class ProgressBar:
    """A bar on stderr."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        self._bar: Any = None
        self._over = False

    def __call__(self, progress: Progress) -> None:
        """Draw the progress; at the end of the run the bar remains."""
        if self._over:
            return
        if self._bar is None:
            from tqdm import tqdm

            bar_format = "{desc}: {percentage:3.0f}%|{bar}|{postfix}"
            self._bar = tqdm(total=100, dynamic_ncols=True, file=sys.stderr, bar_format=bar_format)
        bar = self._bar
        bar.n = round(100 * progress.share, 1)
        bar.set_description_str(progress.stage, refresh=False)
        bar.set_postfix_str(f" {_figures(progress)}")
        if progress.share >= 1:
            self.close()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Stop drawing; the bar remains."""
        if self._bar is not None:
            self._bar.close()
        self._over = True


class NotebookBar:
    """A bar in the output of a notebook's cell: one display, which is updated and stays; it needs no widgets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Show nothing yet."""
        self._clock, self._display, self._last = clock, None, Progress("", 0.0, 0.0)
        self._drawn, self._over = 0.0, False

    def __call__(self, progress: Progress) -> None:
        """Draw where the run stands, a few times a second; at its end the bar stays as it is."""
        if self._over:
            return
        new, self._last = progress.stage != self._last.stage, progress
        self._over = progress.share >= 1
        if new or self._over or self._clock() - self._drawn >= REDRAWN_AFTER:
            self._draw("")

    def say(self, line: str) -> None:
        """Print a line below the bar."""
        print(line)  # noqa: T201 - the output of a cell

    def close(self) -> None:
        """Say that the run was stopped, and draw no more."""
        if not self._over and self._display is not None:
            self._draw("stopped: ")
        self._over = True

    def _draw(self, said: str) -> None:
        from IPython.display import display

        progress, self._drawn = self._last, self._clock()
        text = f"{said}{progress.stage}: {progress.share:.0%}"
        line = f"{escaped(text)} {html_bar(progress.share)} {escaped(_figures(progress))}"
        content = {"text/html": html_block(line), "text/plain": f"{text} {_figures(progress)}"}
        if self._display is None:
            self._display = display(content, raw=True, display_id=True)
        else:
            self._display.update(content, raw=True)


def in_notebook() -> bool:
    """Tell whether this runs in a kernel, such as a notebook's."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _figures(progress: Progress) -> str:
    left = "" if progress.remaining is None else f", {clock_time(progress.remaining)} left"
    figures = "".join(f", {name} {value:.4g}" for name, value in progress.details.items())
    return f"{clock_time(progress.seconds)}{left}{figures}"


def clock_time(seconds: float) -> str:
    """Return seconds as minutes and seconds, ``3:07``, or hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
