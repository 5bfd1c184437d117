"""Locks on a folder, held by one thread of one process; they go with the process, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genre_gen.errors import CheckpointError

SAVING, TRAINING, WRITING = "saving", "training", "writing"
PATIENCE = 60.0
"""Seconds that a writer waits for another one."""


@contextmanager
def hold(folder: Path, purpose: str = SAVING, wait: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of a folder for a purpose; a thread that holds it may take it again.

    The lock is a file next to the folder, ``.<name>.<purpose>.lock``, which stays: to delete it would let two in.

    Args:
        folder: need not exist; its parent is made.
        purpose: locks of different purposes do not exclude each other.
        wait: seconds to wait for another holder.

    Raises:
        CheckpointError: another process holds it, or nothing can be written next to the folder.
    """
    from filelock import FileLock, Timeout

    place = folder.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.with_name(f".{place.name}.{purpose}.lock"), is_singleton=True)
        lock.acquire(timeout=wait)
    except Timeout:
        raise CheckpointError(
            f"{folder}: another process or thread is {purpose} there; wait until it is done, or choose another place"
        ) from None
    except OSError as problem:
        raise CheckpointError(
            f"{folder}: cannot be written: {problem.strerror or problem}; choose another place"
        ) from None
    try:
        yield
    finally:
        lock.release()
