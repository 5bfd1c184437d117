"""Interruption: an interrupt from the keyboard that ends a training in good order; a second one ends it at once."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

log = logging.getLogger(__name__)


class Interruption:
    """Within the block, the first interrupt is only noted; call it to ask. In other threads nothing changes.

    Example:
        >>> with Interruption() as interrupted:
        ...     interrupted()
        False
    """

    def __init__(self) -> None:
        """Note nothing yet."""
        self._asked = False
        self._previous: Any = None

    def __call__(self) -> bool:
        """Tell whether there was an interrupt."""
        return self._asked

    def __enter__(self) -> Self:
        """Note interrupts, unless the program handles them itself."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Handle interrupts as before."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            signal.default_int_handler(number, frame)
        self._asked = True
        log.warning(
            "interrupted: training ends after this step, and what there is is kept; interrupt again to stop at once"
        )
