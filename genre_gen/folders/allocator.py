"""The memory allocator: what it keeps of memory that was freed."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress


def return_freed_memory() -> None:
    """Return freed memory to the operating system, in milliseconds; it does nothing where the allocator is not glibc's.

    The allocator keeps what is freed, for later. Reading a folder needs tens of megabytes for a moment, and answering
    needs few.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries lack the function
            ctypes.CDLL(None).malloc_trim(0)
