"""A bound for work that must end: what blows up takes minutes, whatever the machine. It claims no speed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 30.0  # of the processor; far above what any test needs when other work competes for the machine's caches


@contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[None]:
    """Fail if the calling thread computes for longer; what other threads and processes do is not its fault."""
    begin = time.thread_time()
    yield
    used = time.thread_time() - begin
    assert used < seconds, f"took {used:.1f} s of the processor"
