"""CatalogTrie: the interface of prefix trees of item codes; Subset: the items of a trie that a request allows.

An item's *position* is its number among the sorted items. The items below a node are one or two ranges of positions,
so the filters of a request become counts over ranges.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.errors import UsageError

Ints: TypeAlias = NDArray[np.integer]
"""Node numbers, code tokens, positions or catalog rows."""

ROOT = 0
NOWHERE = -1


@dataclass(frozen=True, eq=False)
class Subset:
    """The items that each user of a request may get, by positions of a trie; made by :meth:`CatalogTrie.subset`.

    Attributes:
        trie: the trie of the positions.
        cumulative: int32 ``[users, n_positions + 1]``, the number of allowed positions among the first ``k``; a single
            row applies to every user; None allows every item of the trie.
        removed: int64, sorted: positions of removed items, which ``cumulative`` does not count.
        excluded: int64, sorted: ``user * (n_positions + 1) + position`` of further items that a user may not get, such
            as those of the user's history.
        users: number of users; 1 applies to any number.
    """

    trie: CatalogTrie
    cumulative: NDArray[np.int32] | None
    removed: NDArray[np.int64]
    excluded: NDArray[np.int64]
    users: int = 1

    def count(self, begin: Ints, end: Ints, users: Ints | int = 0) -> NDArray[np.int64]:
        """Return the number of items in each range of positions ``begin .. end - 1`` that its user may get."""
        users = users if self.users > 1 else 0
        if self.cumulative is None:
            counts = end.astype(np.int64) - begin - _between(self.removed, begin, end)
        else:
            rows = users if len(self.cumulative) > 1 else 0
            counts = self.cumulative[rows, end].astype(np.int64) - self.cumulative[rows, begin]
        if len(self.excluded):
            offset = np.asarray(users) * self._stride
            counts -= _between(self.excluded, offset + begin, offset + end)
        return counts

    def select(self, users: NDArray[np.int64]) -> Subset:
        """Return the subset of some users, numbered in the given order."""
        if self.users == 1:
            return self
        cumulative = self.cumulative
        if cumulative is not None and len(cumulative) > 1:
            cumulative = cumulative[users]
        starts = np.searchsorted(self.excluded, users * self._stride)
        sizes = np.searchsorted(self.excluded, (users + 1) * self._stride) - starts
        owners, numbers = ranges(starts, sizes)
        excluded = self.excluded[numbers] + (owners - users[owners]) * self._stride
        return replace(self, cumulative=cumulative, excluded=excluded, users=len(users))

    def check(self, users: int) -> Subset:
        """Return itself; raises UsageError if it is for another number of users."""
        if self.users not in {1, users}:
            raise UsageError(f"allowed is for {self.users} users, but there are {users}")
        return self

    @property
    def _stride(self) -> int:
        return self.trie.n_positions + 1


Allowed: TypeAlias = "NDArray[np.bool_] | Subset | None"
"""The items that a request permits: a boolean per catalog row, a subset made of them, or None for all."""


class CatalogTrie(ABC):
    """A prefix tree of item codes, as the search uses it; node 0 is the root, a leaf is an item.

    Attributes:
        vocabulary: number of code tokens.
        size: number of catalog rows that ``allowed`` is indexed by.
    """

    vocabulary: int
    size: int

    @property
    @abstractmethod
    def n_nodes(self) -> int:
        """Return the number of nodes, root and leaves included."""

    @property
    @abstractmethod
    def n_positions(self) -> int:
        """Return the number of positions, those of removed items included."""

    @property
    @abstractmethod
    def is_flat(self) -> bool:
        """Tell whether every code is a single token, so that one forward pass scores all items."""

    @abstractmethod
    def is_leaf(self, nodes: Ints) -> NDArray[np.bool_]:
        """Tell which nodes are items."""

    @abstractmethod
    def row(self, leaves: Ints) -> NDArray[np.int64]:
        """Return the catalog row of each leaf."""

    @abstractmethod
    def token(self, nodes: Ints) -> NDArray[np.int64]:
        """Return the code token that leads to each node, -1 for the root."""

    @abstractmethod
    def expand(self, nodes: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all children, ordered by ``nodes`` and token: the index of the parent in ``nodes``, and the child."""

    @abstractmethod
    def find(self, nodes: Ints, tokens: Ints) -> NDArray[np.int64]:
        """Return the child of each node for each token; -1 if there is none or the node is -1."""

    @abstractmethod
    def count(self, nodes: Ints, subset: Subset, users: Ints | int = 0) -> NDArray[np.int64]:
        """Return the number of items below each node that its user may get."""

    @abstractmethod
    def position(self, rows: Ints) -> NDArray[np.int64]:
        """Return the position of each catalog row's item, -1 if the trie has none."""

    @abstractmethod
    def order(self) -> NDArray[np.integer]:
        """Return the catalog row at each position, ``[n_positions]``."""

    @property
    def removed_positions(self) -> NDArray[np.int64]:
        """Return the positions of removed items, sorted."""
        return np.empty(0, dtype=np.int64)

    @property
    def n_items(self) -> int:
        """Return the number of items."""
        return self.n_positions - len(self.removed_positions)

    @property
    def is_identity(self) -> bool:
        """Tell whether the code of each catalog row is the single token of the same number, without further tokens."""
        return False

    def flat_tokens(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the catalog rows with an item and the token of each, where every code is a single token."""
        leaves = self.expand(np.array([ROOT]))[1]
        leaves = leaves[self.count(leaves, self.subset()) > 0]
        return self.row(leaves), self.token(leaves)

    def walk(self, tokens: Ints) -> NDArray[np.int64]:
        """Return the node that each row of tokens ``[batch, steps]`` leads to from the root, or -1.

        Tokens after a complete code are ignored.
        """
        nodes = np.full(len(tokens), ROOT)
        for step in range(tokens.shape[1]):
            arrived = (nodes >= 0) & self.is_leaf(nodes)
            nodes = np.where(arrived, nodes, self.find(nodes, tokens[:, step]))
        return nodes

    def subset(self, allowed: Allowed = None, exclude: Sequence[Ints] = ()) -> Subset:
        """Return the subset of items that a request allows.

        A boolean per row costs one pass over the catalog. If many requests share one (such as the items in stock), make
        its subset once. The cost of ``exclude`` depends on its own length only.

        Args:
            allowed: bool ``[size]`` for all users, or ``[users, size]``; or a subset of this trie.
            exclude: catalog rows that each user may not get; rows without an item are ignored.

        Raises:
            UsageError: ``allowed`` or ``exclude`` of another catalog.
        """
        subset = allowed if isinstance(allowed, Subset) else self._counted(allowed)
        if subset.trie is not self:
            raise UsageError("allowed is a subset of another trie; make it from this one")
        return self._excluding(subset, exclude) if len(exclude) else subset

    def counts(self, allowed: Allowed = None) -> NDArray[np.int64]:
        """Return the number of allowed items below each node, ``[n_nodes]``."""
        return self.count(np.arange(self.n_nodes), self.subset(allowed))

    def _counted(self, allowed: NDArray[np.bool_] | None) -> Subset:
        if allowed is None:
            return Subset(self, None, self.removed_positions, np.empty(0, dtype=np.int64))
        if allowed.ndim not in {1, 2} or allowed.shape[-1] != self.size or allowed.dtype != np.bool_:
            raise UsageError(f"allowed is {allowed.dtype}{list(allowed.shape)}; bool[{self.size}] is needed")
        by_position = np.atleast_2d(allowed)[:, self.order()]
        by_position[:, self.removed_positions] = False
        cumulative = np.zeros((len(by_position), self.n_positions + 1), dtype=np.int32)
        np.cumsum(by_position, axis=1, out=cumulative[:, 1:])
        return Subset(self, cumulative, self.removed_positions, np.empty(0, dtype=np.int64), len(by_position))

    def _excluding(self, subset: Subset, exclude: Sequence[Ints]) -> Subset:
        rows = np.concatenate([np.asarray(user_rows, dtype=np.int64) for user_rows in exclude])
        subset.check(len(exclude))
        users = np.repeat(np.arange(len(exclude)), [len(user_rows) for user_rows in exclude])
        positions = self.position(self._check_rows(rows))
        users, positions = users[positions >= 0], positions[positions >= 0]
        still = subset.count(positions, positions + 1, users) > 0  # each item is excluded once
        stride = self.n_positions + 1
        shared = subset.excluded + (np.arange(len(exclude))[:, None] * stride if subset.users == 1 else 0)
        return replace(
            subset, excluded=np.union1d(shared, users[still] * stride + positions[still]), users=len(exclude)
        )

    def _check_rows(self, rows: Ints) -> Ints:
        if len(rows) and (rows.min() < 0 or rows.max() >= self.size):
            raise UsageError(f"rows run from {rows.min()} to {rows.max()}; the catalog has 0 to {self.size - 1}")
        return rows


def ranges(starts: Ints, sizes: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of several ranges, concatenated: the index of each number's range, and the number."""
    owners = np.repeat(np.arange(len(starts)), sizes)
    preceding = np.cumsum(sizes) - sizes
    return owners, np.arange(len(owners)) + (starts - preceding)[owners]


def _between(numbers: NDArray[np.int64], begin: Ints, end: Ints) -> NDArray[np.int64]:
    """Return the count of sorted numbers in each range ``begin .. end - 1``."""
    return np.searchsorted(numbers, end) - np.searchsorted(numbers, begin)
