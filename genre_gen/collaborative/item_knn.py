"""ItemKNN: cosine similarity of items by users (Sarwar et al., WWW 2001); sparse, for catalogs too large for EASE."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import RECENCY, Stage
from genre_gen.collaborative.item_to_item import ItemToItem
from genre_gen.collaborative.together import seen_matrix
from genre_gen.data.batches import batches
from genre_gen.data.interactions import Interactions
from genre_gen.errors import ConfigError

CELLS = 2**22
"""The number of similarities in memory at a time, unless a single item has more."""
PARTITIONED = 2**19
"""The number of similarities that are partitioned at a time."""


class ItemKNN(ItemToItem):
    """Score an item by its cosine similarity to the items of the history.

    ``S[a, b] = together(a, b) / (sqrt(users(a) users(b)) + shrink)``; each row keeps its ``neighbours`` largest values.
    With kinds of events, it is the cosine of the weights of users' events.

    Args:
        neighbours: similar items kept per item, >= 1.
        shrink: pseudo-count that damps pairs seen together by chance, >= 0.
        recency: how fast the weight of a history's items falls with their age, >= 0.
    """

    name: ClassVar[str] = "item_knn"
    hyperparameters: ClassVar[tuple[str, ...]] = ("neighbours", "shrink", "recency")
    learned = ("similar",)
    tells_neighbours = True
    relations: ClassVar[tuple[str, ...]] = ("followed_by",)
    grid: ClassVar[tuple[Stage, ...]] = ({"recency": RECENCY}, {"shrink": (0.0, 10.0, 50.0)})

    def __init__(self, neighbours: int = 100, shrink: float = 10.0, recency: float = 1.0) -> None:
        """Set the hyper-parameters; raises ConfigError if one is out of range."""
        if neighbours < 1 or shrink < 0 or recency < 0:
            raise ConfigError(
                f"item_knn: neighbours {neighbours}, shrink {shrink}, recency {recency}; neighbours must be >= 1 and "
                "the others >= 0"
            )
        self.neighbours, self.shrink, self.recency = neighbours, shrink, recency
        self.similar = sparse.csr_matrix((0, 0), dtype=np.float32)

    def fit(self, interactions: Interactions) -> Self:
        """Compute the similarities, block by block, of users' recent items, see ``seen_matrix``."""
        users = seen_matrix(interactions)
        root = np.sqrt(np.asarray(users.multiply(users).sum(axis=0)).ravel())
        items = sparse.csr_matrix(users.T)  # [n_items, n_users]
        room = users.shape[1] * min(self.neighbours, users.shape[1])
        columns, values = np.empty(room, np.int32), np.empty(room, np.float32)  # unused pages cost no memory
        widths, filled = [np.zeros(1, np.int64)], 0
        for part in parts(items, users):
            block = sparse.csr_matrix(items[part] @ users)
            row = np.repeat(np.arange(part.start, part.stop), np.diff(block.indptr))
            block.data /= root[row] * root[block.indices] + self.shrink
            block.data[row == block.indices] = 0.0
            kept = strongest(block, self.neighbours)
            end = filled + kept.nnz
            columns[filled:end], values[filled:end], filled = kept.indices, kept.data, end
            widths.append(np.diff(kept.indptr))
        begins = np.cumsum(np.concatenate(widths))
        self.similar = sparse.csr_matrix((values[:filled], columns[:filled], begins), (users.shape[1],) * 2)
        return self

    @property
    def n_items(self) -> int:
        """Return the number of items."""
        return int(self.similar.shape[0])

    def weights_of(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        """Return the similarities of some items, sparse."""
        return self.similar[rows]

    def weighted(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return weighted histories times all similarities."""
        return np.asarray((histories @ self.similar).toarray(), dtype=np.float32)


def parts(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Iterator[slice]:
    """Cut the rows of a matrix product into parts with at most about ``CELLS`` entries, or into single rows."""
    pattern = sparse.csr_matrix((np.ones(len(left.indices)), left.indices, left.indptr), left.shape)
    entries = np.minimum(pattern @ np.diff(right.indptr), right.shape[1])  # an upper bound for each row
    begins = np.flatnonzero(np.diff(np.cumsum(entries) // CELLS, prepend=-1.0))
    for begin, end in pairwise([*begins.tolist(), len(entries)]):
        yield slice(begin, end)


def strongest(matrix: sparse.csr_matrix, n: int, values: NDArray[Any] | None = None) -> sparse.csr_matrix:
    """Keep the ``n`` entries of each row whose positive values are largest; ties go to lower columns.

    The values are the entries themselves, or others in their order.
    """
    values = matrix.data if values is None else values
    kept, widths = values > 0, np.diff(matrix.indptr)
    rows = np.flatnonzero(_by_row(kept, matrix.indptr) > n)
    rows = rows[np.argsort(widths[rows], kind="stable")]  # of about one width at a time
    for part in batches(rows, max(1, PARTITIONED // int(widths.max(initial=1)))):
        _keep_largest(kept, values, matrix, part, n)
    indptr = np.concatenate([[0], np.cumsum(_by_row(kept, matrix.indptr))])
    return sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape).sorted_indices()


def _by_row(kept: NDArray[np.bool_], indptr: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return how many entries of each row of a sparse matrix are kept."""
    counts = np.zeros(len(indptr) - 1, np.int64)
    filled = np.flatnonzero(np.diff(indptr))
    counts[filled] = np.add.reduceat(kept, indptr[filled], dtype=np.int64) if len(filled) else 0
    return counts


def _keep_largest(
    kept: NDArray[np.bool_], values: NDArray[Any], matrix: sparse.csr_matrix, rows: NDArray[np.int64], n: int
) -> None:
    """Mark the ``n`` largest positive values of some rows, which have more, as the only ones that are kept."""
    begins, widths = matrix.indptr[rows, None], np.diff(matrix.indptr)[rows, None]
    width = int(widths.max())
    cells = begins + np.minimum(np.arange(width, dtype=np.int32), widths - 1)
    of_rows = values[cells]
    of_rows[np.arange(width) >= widths] = 0
    least = np.partition(of_rows, width - n, axis=1)[:, width - n, None]
    largest, equal = of_rows > least, of_rows == least
    left = n - np.count_nonzero(largest, axis=1)
    largest |= equal
    tied = np.flatnonzero(np.count_nonzero(equal, axis=1) > left)
    row, place = np.nonzero(equal[tied])
    order = np.lexsort((matrix.indices[cells[tied[row], place]], row))
    row, place = row[order], place[order]
    over = np.arange(len(row)) - np.searchsorted(row, row) >= left[tied[row]]
    largest[tied[row[over]], place[over]] = False
    inside = np.arange(width) < widths
    kept[cells[inside]] = largest[inside]
