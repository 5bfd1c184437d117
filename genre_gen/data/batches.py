"""Batches: a sequence in parts of at most so many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from numpy.typing import NDArray

Part = TypeVar("Part", bound="Sequence[Any] | NDArray[Any]")


def batches(sequence: Part, size: int) -> Iterator[Part]:
    """Yield a sequence in order, in parts of ``size`` and a last one of what is left."""
    for begin in range(0, len(sequence), size):
        yield sequence[begin : begin + size]  # type: ignore[misc]
