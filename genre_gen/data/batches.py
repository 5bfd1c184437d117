"""Batches: a sequence in parts of at most so many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def batches(sequence: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield a sequence in order, in parts of ``size`` and a last one of what is left."""
    for begin in range(0, len(sequence), size):
        yield sequence[begin : begin + size]
