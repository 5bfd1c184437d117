"""Cut a sequence into batches of a given size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from numpy.typing import NDArray

Part = TypeVar("Part", bound="Sequence[Any] | NDArray[Any]")


CELLS = 2**24
"""Cells of the arrays that a batch of histories makes: 64 MB each, and several are in memory at a time."""


def batches(sequence: Part, size: int) -> Iterator[Part]:
    """Yield consecutive parts of ``size`` entries; the last part may be shorter."""
    for begin in range(0, len(sequence), size):
        yield sequence[begin : begin + size]  # type: ignore[misc]


def rows_within(size: int, width: int, cells: int = CELLS) -> int:
    """Return the number of rows of a width, at most ``size`` and at least 1, that make no more than ``cells``."""
    return max(1, min(size, cells // max(1, width)))
