"""ShardedEpoch: the batches of an epoch that is too large to be made at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np

from genre_gen.llm.batch import Batch


class ShardedEpoch(Sequence[Batch]):
    """Batches in shards of known sizes; a shard is made when one of its batches is asked for, and the last one is kept.

    Example:
        >>> epoch = ShardedEpoch([2, 1], lambda shard: [batches[shard]] * (2 - shard))
        >>> len(epoch), epoch[2] is batches[1]
        (3, True)
    """

    def __init__(self, sizes: Sequence[int], make: Callable[[int], list[Batch]]) -> None:
        """Prepare; ``make`` returns the batches of a shard, as many as its size, the same whenever it is asked."""
        self._ends, self._make = np.cumsum(sizes), make
        self._present, self._batches = -1, list[Batch]()

    def __len__(self) -> int:
        """Return the number of batches of all shards."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | list[Batch]:
        """Return a batch, or several."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        shard = int(np.searchsorted(self._ends, position, side="right"))
        if shard != self._present:
            self._present, self._batches = shard, self._make(shard)
        return self._batches[position - int(self._ends[shard])]  # counted from the shard's end
