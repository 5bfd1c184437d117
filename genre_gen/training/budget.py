"""Budget: the time of a training by the clock, and the shares of it that its stages may take."""

from __future__ import annotations

import time
from collections.abc import Callable

MEMBERS_SHARE = 0.3
"""The share that collaborative models and their tuning may take of what item codes leave of a budget."""

SOFT_TARGETS_SHARE = 0.15
"""The share that making soft targets may take, in the first training and in the refit together."""

BLEND_SHARE = 0.1
"""The share that choosing the weights of the blends may take."""

SPARE = 0.02
"""The share that is left for what no stage counts."""


class Budget:
    """The seconds that a training may take by the clock, those before an interruption included.

    Attributes:
        seconds: the whole budget; None without one.

    Example:
        >>> budget = Budget(60.0)
        >>> budget.share(0.5)
        30.0
    """

    def __init__(self, seconds: float | None, spent: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock; ``spent`` are the seconds of earlier runs of the same training."""
        self.seconds, self._clock, self._begin = seconds, clock, clock() - spent

    @property
    def spent(self) -> float:
        """Return the seconds spent, those of earlier runs included."""
        return self._clock() - self._begin

    @property
    def left(self) -> float:
        """Return the seconds left, at least 0; infinite without a budget."""
        return float("inf") if self.seconds is None else max(0.0, self.seconds - self.spent)

    def share(self, share: float) -> float:
        """Return a share of the whole budget in seconds; infinite without one."""
        return float("inf") if self.seconds is None else share * self.seconds

    def part(self, share: float) -> Callable[[], float]:
        """Return a function that tells the seconds left of a share of the time that is left now."""
        if self.seconds is None:
            return lambda: float("inf")
        end = self.spent + share * self.left
        return lambda: min(end - self.spent, self.left)
