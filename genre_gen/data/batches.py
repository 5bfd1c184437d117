"""Cut a sequence into batches of a given size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from numpy.typing import NDArray

Part = TypeVar("Part", bound="Sequence[Any] | NDArray[Any]")


def batches(sequence: Part, size: int) -> Iterator[Part]:
    """Yield consecutive parts of ``size`` entries; the last part may be shorter."""
    for begin in range(0, len(sequence), size):
        yield sequence[begin : begin + size]  # type: ignore[misc]
