"""Batches: a sequence in parts of at most so many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar


class _Sliceable(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


Part = TypeVar("Part", bound=_Sliceable)


def batches(sequence: Part, size: int) -> Iterator[Part]:
    """Yield a sequence in order, in parts of ``size`` and a last one of what is left."""
    for begin in range(0, len(sequence), size):
        yield sequence[begin : begin + size]
