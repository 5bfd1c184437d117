"""Cut a sequence into batches of a given size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from numpy.typing import NDArray

CELLS = 2**24
"""The largest number of scores that are computed at a time: 64 MB in single precision."""

Part = TypeVar("Part", bound="Sequence[Any] | NDArray[Any]")


def histories_at_a_time(size: int, n_items: int) -> int:
    """Return how many histories to score at a time: ``size``, or fewer for catalogs whose scores take much memory."""
    return max(1, min(size, CELLS // n_items))


def batches(sequence: Part, size: int) -> Iterator[Part]:
    """Yield consecutive parts of ``size`` entries; the last part may be shorter."""
    for begin in range(0, len(sequence), size):
        yield sequence[begin : begin + size]  # type: ignore[misc]
