"""The weights of EASE in three forms: all of them, computed from users when needed, or the strongest of each item."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.collaborative.base import csr_arrays, csr_from
from genre_gen.collaborative.item_knn import parts, strongest
from genre_gen.collaborative.item_to_item import Weights
from genre_gen.errors import DataError
from genre_gen.folders.arrays import expect

Arrays = Mapping[str, NDArray[Any]]
NEIGHBOURS = 100
"""The number of items that predict an item in the sparse form."""
SYSTEM_CELLS = 2**29
"""The cells of all items' systems of equations together; beyond it, fewer items predict each."""
CELLS = 2**24
"""The cells of systems of equations in memory at a time."""
STORED_PAIRS = 2**28
"""The pairs of items in the users' histories that the sparse form counts; half of them are in memory."""
BLOCK = 512
"""Rows of a dense matrix that are computed at a time."""


class EaseWeights(ABC):
    """Weights ``[n_items, n_items]`` with a zero diagonal."""

    kind: ClassVar[str]
    mark: ClassVar[str]
    """An array that this form alone has."""

    @property
    @abstractmethod
    def n_items(self) -> int:
        """Return the number of items."""

    @abstractmethod
    def of(self, rows: NDArray[np.int64]) -> Weights:
        """Return rows of the weights, float32 ``[len(rows), n_items]``."""

    @abstractmethod
    def times(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return weighted histories ``[B, n_items]`` times the weights: float32 ``[B, n_items]``."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved; ``from_arrays`` restores the same weights, bit for bit."""

    @classmethod
    @abstractmethod
    def fit(cls, seen: sparse.csr_matrix, l2: float) -> Self:
        """Solve for the weights of users' items ``[users, n_items]``; raises DataError where that is impossible."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Restore the weights; raises ValueError where the arrays are not theirs."""


@dataclass(frozen=True)
class DenseWeights(EaseWeights):
    """All weights: ``n_items^2 / 2`` numbers on disk, since both halves are of one symmetric matrix ``P``.

    ``B[i, j] = -P[i, j] / P[j, j]``, so the upper triangle follows from the lower one and P's diagonal.

    Attributes:
        matrix: float32 ``[n_items, n_items]``.
        diagonal: of ``P``, float32 ``[n_items]``.
    """

    matrix: NDArray[np.float32]
    diagonal: NDArray[np.float32]
    kind = "dense"
    mark = "lower"

    @classmethod
    def fit(cls, seen: sparse.csr_matrix, l2: float) -> Self:
        """Invert the smaller matrix, the users' or the items'; raises DataError where that fails."""
        if 2 * seen.shape[0] > seen.shape[1]:
            return cls.by_items(seen, l2)
        by_users = UserWeights.fit(seen, l2)
        return cls._whole(by_users.whole(), (1.0 / (by_users.scale * np.float32(l2))).astype(np.float32))

    @classmethod
    def by_items(cls, seen: sparse.csr_matrix, l2: float) -> Self:
        """Invert the items' matrix; raises DataError where that fails."""
        inverse = inverse_of((seen.T @ seen).toarray(order="F"), l2)
        diagonal = np.diag(inverse).astype(np.float32)
        return cls._whole(inverse.astype(np.float32, order="C") / -diagonal, diagonal)

    @classmethod
    def _whole(cls, matrix: NDArray[np.float32], diagonal: NDArray[np.float32]) -> Self:
        """Replace diagonal and upper triangle by what follows from the lower one."""
        for begin in range(0, len(matrix), BLOCK):
            stop = min(begin + BLOCK, len(matrix))
            below = np.tril(matrix[begin:, begin:stop], -1)
            matrix[begin:stop, begin:] = below.T * (diagonal[begin:stop, None] / diagonal[begin:])
            matrix[begin:stop, begin:stop] += below[: stop - begin]
        return cls(matrix, diagonal)

    @property
    def n_items(self) -> int:
        """Return the number of items."""
        return len(self.diagonal)

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows of the matrix."""
        return self.matrix[rows]

    def times(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return histories times the matrix."""
        return np.asarray(histories @ self.matrix, dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the rows of the lower triangle, one after another, and the diagonal of ``P``."""
        return {"lower": packed(self.matrix, 0), "diagonal": self.diagonal}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Restore the matrix."""
        diagonal = expect(arrays, "diagonal", "f", (None,), (float(np.finfo(np.float32).tiny), 1e30))
        n_items = len(diagonal)
        lower = expect(arrays, "lower", "f", (n_items * (n_items - 1) // 2,))
        return cls._whole(unpacked(lower, n_items, 0), diagonal)


@dataclass(frozen=True)
class UserWeights(EaseWeights):
    """The exact weights, computed from users when they are needed: for fewer users than items.

    With the users' items ``X [users, items]`` and ``K = (l2 I + X X')^-1``, Woodbury's identity gives
    ``P = (I - X' K X) / l2``. So ``B[i, j] = (X' K X)[i, j] / (1 - (X' K X)[j, j])`` for ``i != j``.

    Attributes:
        seen: ``X``, float32 ``[users, items]``; ones, or weights of events.
        kernel: ``K``, float32 ``[users, users]``.
        explained: the diagonal of ``X' K X``, float64 ``[items]``.
    """

    seen: sparse.csr_matrix
    kernel: NDArray[np.float32]
    explained: NDArray[np.float64]
    kind = "by users"
    mark = "kernel"

    @classmethod
    def fit(cls, seen: sparse.csr_matrix, l2: float) -> Self:
        """Invert the users' matrix; raises DataError where that fails."""
        seen = seen[np.diff(seen.indptr) > 0]
        kernel = mirror(inverse_of((seen @ seen.T).toarray(order="F"), l2))
        items = seen.tocsc()
        blocks = [items[:, begin : begin + BLOCK] for begin in range(0, items.shape[1], BLOCK)]
        # The kernel is symmetric, so its transpose saves a copy of the sparse block in another order.
        explained = [np.asarray(block.multiply((block.T @ kernel).T).sum(axis=0)).ravel() for block in blocks]
        return cls(seen.astype(np.float32), kernel.astype(np.float32), np.concatenate([np.zeros(0), *explained]))

    @cached_property
    def users_of(self) -> sparse.csr_matrix:
        """Return ``X'``, in rows."""
        return self.seen.T.tocsr()

    @cached_property
    def scale(self) -> NDArray[np.float32]:
        """Return what the columns are multiplied by: float32 ``[items]``."""
        return (1.0 / np.maximum(1.0 - self.explained, np.finfo(np.float32).eps)).astype(np.float32)

    @property
    def n_items(self) -> int:
        """Return the number of items."""
        return len(self.explained)

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute rows of the weights."""
        weights = np.asarray((self.users_of[rows] @ self.kernel) @ self.seen) * self.scale
        weights[np.arange(len(rows)), rows] = 0.0
        return np.asarray(weights, dtype=np.float32)

    def factors(self) -> tuple[NDArray[np.float32], sparse.csr_matrix]:
        """Return ``(K X)'`` and scaled ``X'``, ``[items, users]``; off the diagonal, their product is the weights."""
        right = sparse.csr_matrix(self.users_of)
        right.data = right.data * np.repeat(self.scale, np.diff(right.indptr))
        return np.asarray(self.users_of @ self.kernel), right

    def whole(self) -> NDArray[np.float32]:
        """Compute all weights as one matrix, which takes less time than its rows one after another."""
        half = np.ascontiguousarray((self.users_of @ self.kernel).T)  # K X, since the kernel is symmetric
        weights: NDArray[np.float32] = self.users_of @ half
        weights *= self.scale
        np.fill_diagonal(weights, 0.0)
        return weights

    def times(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return histories times the weights, by way of the users who had the same items."""
        # A sparse factor on either side keeps the rows of a batch independent: each gets the same bits as alone.
        scores = np.asarray(((histories @ self.users_of) @ self.kernel) @ self.seen)
        own = np.repeat(np.arange(histories.shape[0]), np.diff(histories.indptr))
        scores[own, histories.indices] -= histories.data * self.explained[histories.indices]
        return np.asarray(scores * self.scale, dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the items of users, half of the kernel, and the diagonal; weights only where they differ from 1."""
        users = csr_arrays("seen", self.seen)
        if (users["seen.data"] == 1.0).all():
            del users["seen.data"]
        return {**users, "kernel": packed(self.kernel, 1), "explained": self.explained}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Restore everything."""
        explained = expect(arrays, "explained", "f", (None,), (0.0, 1.0))
        ones = np.ones(arrays["seen.indices"].shape, np.float32)
        seen = csr_from({"seen.data": ones, **arrays}, "seen", len(explained)).astype(np.float32)
        n_users = seen.shape[0]
        kernel = unpacked(expect(arrays, "kernel", "f", (n_users * (n_users + 1) // 2,)), n_users, 1)
        return cls(seen, mirror(kernel), explained.astype(np.float64))


@dataclass(frozen=True)
class SparseWeights(EaseWeights):
    """Weights of the items that predict an item best; all others are 0.

    Features are selected first, as in fsSLIM (Ning and Karypis, ICDM 2011): of the items that some user had with item
    ``j``, those that alone explain most of it, by ``together(i, j)^2 / (users(i) + l2)``. Their weights are those that
    EASE has in a catalog of these items alone, a ridge regression in closed form.

    Attributes:
        matrix: float32 ``[items, items]``.
    """

    matrix: sparse.csr_matrix
    kind = "sparse"
    mark = "weights.data"

    @classmethod
    def fit(cls, seen: sparse.csr_matrix, l2: float) -> Self:
        """Choose and solve, in blocks of items."""
        n_items = seen.shape[1]
        chosen, together = predictors(seen, l2, neighbours(n_items))
        counts = np.asarray(seen.multiply(seen).sum(axis=0), np.float64).ravel()
        sizes = np.diff(chosen.indptr)
        weights = np.zeros(chosen.nnz, dtype=np.float32)
        targets = np.argsort(sizes, kind="stable")  # systems of about one size are solved together
        targets = targets[np.searchsorted(sizes[targets], 1) :]
        while len(targets):
            width = int(sizes[targets[-1]])
            part, targets = np.split(targets[::-1], [max(1, CELLS // width**2)])
            targets = targets[::-1]
            places = chosen.indptr[part][:, None] + np.arange(width)
            real = np.arange(width) < sizes[part][:, None]
            places = np.where(real, places, chosen.indptr[part][:, None])
            weights[places[real]] = _solved(chosen.indices[places], real, chosen.data[places], together, counts, l2)
        by_target = sparse.csr_matrix((weights, chosen.indices, chosen.indptr), shape=chosen.shape)
        return cls(by_target.T.tocsr())

    @property
    def n_items(self) -> int:
        """Return the number of items."""
        return int(self.matrix.shape[0])

    def of(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        """Return rows of the matrix, sparse."""
        return self.matrix[rows]

    def times(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return histories times the matrix."""
        return np.asarray((histories @ self.matrix).toarray(), dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the matrix."""
        return csr_arrays("weights", self.matrix)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Restore the matrix."""
        return cls(csr_from(arrays, "weights"))


def neighbours(n_items: int) -> int:
    """Return how many items predict an item in a catalog: NEIGHBOURS, or fewer in a large one."""
    return min(NEIGHBOURS, max(1, isqrt(SYSTEM_CELLS // max(n_items, 1))))


def predictors(seen: sparse.csr_matrix, l2: float, n: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return the ``n`` items that predict each item best, and the number of users with each pair of items.

    Both are sparse ``[items, items]``: the first has the users of item and predictor as values, its columns ascend; the
    second has each pair once, above the diagonal. Users count by the products of their weights, if ``seen`` has any.
    """
    users, items = seen.astype(np.float32), seen.T.tocsr().astype(np.float32)
    counts = np.asarray(users.multiply(users).sum(axis=0)).ravel()
    lengths = np.diff(users.indptr).astype(np.int64)
    room = int(min((lengths * (lengths - 1) // 2).sum(), seen.shape[1] ** 2 // 2))
    columns, values = np.empty(room, np.int32), np.empty(room, np.float32)  # pages that stay unused cost no memory
    ends, filled, blocks = [np.zeros(1, np.int64)], 0, []
    for part in parts(items, users):
        block = (items[part] @ users).sorted_indices()
        row = np.repeat(np.arange(part.start, part.stop), np.diff(block.indptr))
        above = block.indices > row
        ends.append(filled + np.cumsum(np.bincount(row[above] - part.start, minlength=part.stop - part.start)))
        columns[filled : ends[-1][-1]], values[filled : ends[-1][-1]] = block.indices[above], block.data[above]
        filled = int(ends[-1][-1])
        gain = np.where(block.indices == row, 0.0, block.data**2 / (counts[block.indices] + np.float32(l2)))
        blocks.append(strongest(block, n, gain))
    together = sparse.csr_matrix((values[:filled], columns[:filled], np.concatenate(ends)), shape=seen.shape[1:] * 2)
    together.has_sorted_indices = True
    chosen = sparse.csr_matrix(sparse.vstack([*blocks, sparse.csr_matrix((0, seen.shape[1]), dtype=np.float32)]))
    return chosen, together


def _solved(
    chosen: NDArray[np.integer],
    real: NDArray[np.bool_],
    shared: NDArray[np.floating],
    together: sparse.csr_matrix,
    counts: NDArray[np.float64],
    l2: float,
) -> NDArray[np.float64]:
    """Solve the systems of some items: the weights of their ``chosen`` items ``[n, width]`` where ``real``."""
    width = chosen.shape[1]
    first, second = np.triu_indices(width, 1)
    system = np.zeros((len(chosen), width, width))
    both = real[:, second]  # real ones come first
    pairs = np.asarray(together[chosen[:, first][both], chosen[:, second][both]]).ravel()
    upper = np.zeros(both.shape)
    upper[both] = pairs
    system[:, first, second] = system[:, second, first] = upper
    system[:, np.arange(width), np.arange(width)] = np.where(real, counts[chosen] + l2, 1.0)
    return np.asarray(np.linalg.solve(system, np.where(real, shared, 0.0)[..., None])[..., 0][real], np.float64)


def inverse_of(gram: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    """Return the lower triangle of ``(gram + l2 I)^-1``, above it zeros; raises DataError where that fails.

    ``gram`` is in Fortran order, and is overwritten.
    """
    from scipy.linalg import lapack

    gram[np.diag_indices_from(gram)] += l2
    # Cholesky in float64 and in place: the condition number is about (most frequent item) / l2, and a second copy
    # would exhaust the memory first.
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse, failed_too = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise DataError(f"ease: the item matrix cannot be inverted with l2 {l2}; choose a larger l2")
    return np.asarray(inverse)


def mirror(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return a symmetric matrix whose lower triangle is given; its upper one is zero."""
    return np.asarray(matrix + np.tril(matrix, -1).T)


def packed(matrix: NDArray[Any], diagonals: int) -> NDArray[Any]:
    """Return the rows of a lower triangle one after another, with the diagonal (1) or without (0)."""
    return np.concatenate([np.zeros(0, matrix.dtype), *(row[: n + diagonals] for n, row in enumerate(matrix))])


def unpacked(lower: NDArray[Any], n: int, diagonals: int) -> NDArray[np.float32]:
    """Return a matrix ``[n, n]`` whose lower triangle ``packed`` returned; the rest is 0."""
    matrix, begin = np.zeros((n, n), np.float32), 0
    for row in range(n):
        matrix[row, : row + diagonals] = lower[begin : begin + row + diagonals]
        begin += row + diagonals
    return matrix
