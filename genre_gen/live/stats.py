"""EngineStats: what the model thread did, for metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from genre_gen.live.lanes import Lane

log = logging.getLogger(__name__)
STAGES = ("waiting", "histories", "prompts", "model", "lists")
"""The parts of an answer: in the queue, looking up histories, encoding prompts, the language model, and the rest."""


@dataclass(frozen=True)
class BatchRecord:
    """What one batch took.

    Attributes:
        domain: its name.
        lane: where it waited.
        size: number of asks that were answered or failed; 1 for other work.
        waits: seconds that each of them waited.
        seconds: of the batch.
        stages: stage -> seconds; ``waiting`` is the sum over asks. Other work has no stages.
    """

    domain: str
    lane: Lane
    size: int
    waits: tuple[float, ...]
    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)


class EngineStats:
    """Counters that only grow, and a hook; read them from any thread.

    Attributes:
        asked: asks and other work that came, also those that were refused.
        answered: futures with a result.
        failed: futures with an error of the work itself.
        refused: turned away at once: a full queue, or a wait beyond the deadline.
        late: dropped since their deadline passed in the queue.
        cancelled: dropped since their caller no longer waits.
        degraded: answered without the language model.
        batches: batches, other work included.
        swaps: changes of a view.
        seconds: stage -> seconds in total.
        on_batch: called on the model thread after each batch; errors are logged.

    Example:
        >>> stats = EngineStats()
        >>> stats.answered, stats.queued[Lane.FAST]
        (0, 0)
    """

    def __init__(self, queued: Callable[[], Mapping[Lane, int]] | None = None) -> None:
        """Begin at 0; ``queued`` returns the number that waits in each lane."""
        self.asked = self.answered = self.failed = self.refused = self.late = 0
        self.cancelled = self.degraded = self.batches = self.swaps = 0
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.on_batch: Callable[[BatchRecord], None] | None = None
        self._queued = queued

    @property
    def queued(self) -> Mapping[Lane, int]:
        """Return the number of asks that wait in each lane."""
        return dict.fromkeys(Lane, 0) if self._queued is None else self._queued()

    def batch(self, record: BatchRecord) -> None:
        """Count a batch, and call the hook."""
        self.batches += 1
        for stage, seconds in record.stages.items():
            self.seconds[stage] += seconds
        if self.on_batch is not None:
            try:
                self.on_batch(record)
            except Exception:
                log.exception("the hook for batches failed")
