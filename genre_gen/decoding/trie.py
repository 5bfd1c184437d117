"""Trie: all item codes as a prefix tree in flat arrays (CSR), over the local code vocabulary.

Nodes are numbered level by level, and within a level in the order of the sorted codes. So the children of a node are
consecutive nodes, in the order of their tokens; the items below a node are a range of the sorted items; and the pairs
(parent, token) increase with the node, so that a child is found by binary search. Every operation is a few NumPy
calls, for catalogs of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genre_gen.decoding.base import NOWHERE, CatalogTrie, Ints, Subset, ranges
from genre_gen.errors import DataError

_KEY_BITS = 63


@dataclass(frozen=True, eq=False)
class Trie(CatalogTrie):
    """The prefix tree of a catalog's item codes.

    Attributes:
        first: int32 ``[n_nodes + 1]``, the first child of each node; node ``k``'s children are ``first[k]`` up to
            ``first[k + 1]``, none for a leaf.
        tokens: int32 ``[n_nodes]``, the code token that leads to each node; -1 for the root.
        begin: int32 ``[n_nodes]``, the first position below each node.
        end: int32 ``[n_nodes]``, the first position after them.
        rows: int32 ``[n_items]``, the catalog row at each position.
        vocabulary: number of code tokens.
        size: number of catalog rows, which may exceed the number of items.
    """

    first: NDArray[np.int32]
    tokens: NDArray[np.int32]
    begin: NDArray[np.int32]
    end: NDArray[np.int32]
    rows: NDArray[np.int32]
    vocabulary: int
    size: int

    @classmethod
    def build(
        cls, codes: NDArray[np.integer], vocabulary: int, rows: Ints | None = None, size: int | None = None
    ) -> Trie:
        """Build the trie of ``codes``, by sorting them and comparing neighbours.

        Args:
            codes: ``[n_items, length]``, tokens ``0 .. vocabulary - 1``, shorter codes padded with -1 at the end.
            vocabulary: number of code tokens.
            rows: ``[n_items]``, the catalog row of each code; None numbers them in their order.
            size: number of catalog rows; None for as many as there are codes.

        Raises:
            DataError: a token out of range, an empty code, two equal codes, or a code that is a prefix of another.
        """
        _check_tokens(codes, vocabulary)
        rows = np.arange(len(codes)) if rows is None else rows
        order = _sorted(codes, vocabulary)
        codes, rows = codes[order], rows[order]
        _check_prefix_free(codes, rows)
        first, tokens, begin, end = _levels(codes)
        size = len(codes) if size is None else size
        return cls(first, tokens, begin, end, rows.astype(np.int32), vocabulary, size)

    @property
    def n_nodes(self) -> int:
        """Return the number of nodes, root and leaves included."""
        return len(self.tokens)

    @property
    def n_positions(self) -> int:
        """Return the number of positions, one for each item."""
        return len(self.rows)

    @property
    def is_flat(self) -> bool:
        """Tell whether every code is a single token, so that one forward pass scores all items."""
        return self.n_nodes == self.n_items + 1

    @cached_property
    def is_identity(self) -> bool:
        """Tell whether the code of each catalog row is the single token of the same number, without further tokens."""
        numbers = np.arange(self.vocabulary)
        same = self.is_flat and self.n_items == self.size == self.vocabulary
        return same and bool((self.rows == numbers).all() and (self.tokens[1:] == numbers).all())

    @property
    def nbytes(self) -> int:
        """Return the bytes of the arrays, including those made on first use."""
        return sum(array.nbytes for array in vars(self).values() if isinstance(array, np.ndarray))

    def is_leaf(self, nodes: Ints) -> NDArray[np.bool_]:
        """Tell which nodes are items."""
        return self.first[nodes] == self.first[nodes + 1]

    def row(self, leaves: Ints) -> NDArray[np.int64]:
        """Return the catalog row of each leaf."""
        return self.rows[self.begin[leaves]].astype(np.int64)

    def token(self, nodes: Ints) -> NDArray[np.int64]:
        """Return the code token that leads to each node, -1 for the root."""
        return self.tokens[nodes].astype(np.int64)

    def expand(self, nodes: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all children of some nodes; see :meth:`CatalogTrie.expand`."""
        starts = self.first[nodes].astype(np.int64)
        return ranges(starts, self.first[nodes + 1] - starts)

    def find(self, nodes: Ints, tokens: Ints) -> NDArray[np.int64]:
        """Return the child of each node for each token; -1 if there is none or the node is -1."""
        keys = nodes.astype(np.int64) * self.vocabulary + tokens
        nearest = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        valid = (nodes >= 0) & (tokens >= 0) & (tokens < self.vocabulary)
        return np.where(valid & (self._keys[nearest] == keys), nearest + 1, NOWHERE)

    def count(self, nodes: Ints, subset: Subset, users: Ints | int = 0) -> NDArray[np.int64]:
        """Return the number of items below each node that its user may get."""
        return subset.count(self.begin[nodes], self.end[nodes], users)

    def position(self, rows: Ints) -> NDArray[np.int64]:
        """Return the position of each catalog row's item, -1 if the trie has none."""
        return self._positions[rows].astype(np.int64)

    def order(self) -> NDArray[np.int32]:
        """Return the catalog row at each position, ``[n_positions]``."""
        return self.rows

    def codes(self) -> NDArray[np.int32]:
        """Return the item codes by position, ``[n_items, length]``, padded with -1."""
        columns = []
        nodes = slice(1, int(self.first[1]))
        while nodes.start < nodes.stop:
            sizes = self.end[nodes] - self.begin[nodes]
            column = np.full(self.n_items, NOWHERE, dtype=np.int32)
            column[ranges(self.begin[nodes].astype(np.int64), sizes)[1]] = np.repeat(self.tokens[nodes], sizes)
            columns.append(column)
            nodes = slice(nodes.stop, int(self.first[nodes.stop]))
        return np.stack(columns, axis=1)

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        """``parent * vocabulary + token`` of nodes ``1 .. n_nodes - 1``, increasing; only :meth:`find` needs them."""
        parents = np.repeat(np.arange(self.n_nodes, dtype=np.int64), np.diff(self.first))
        return parents * self.vocabulary + self.tokens[1:]

    @cached_property
    def _positions(self) -> NDArray[np.int32]:
        """The position of each catalog row, -1 without an item; only excluding rows needs them."""
        positions = np.full(self.size, NOWHERE, dtype=np.int32)
        positions[self.rows] = np.arange(self.n_items, dtype=np.int32)
        return positions


def _sorted(codes: NDArray[np.integer], vocabulary: int) -> NDArray[np.int64]:
    """Return the order of the codes, with a code before those that it is a prefix of.

    As many tokens as fit are packed into one number: sorting 10 million numbers takes a second, tuples ten.
    """
    base = vocabulary + 1
    together = max(1, _KEY_BITS // base.bit_length())
    keys = []
    for level in range(0, codes.shape[1], together):
        key = np.zeros(len(codes), dtype=np.int64)
        for column in codes.T[level : level + together]:
            key = key * base + column + 1
        keys.append(key)
    return np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(keys[::-1])


def _levels(codes: NDArray[np.integer]) -> list[NDArray[np.int32]]:
    """Return ``first``, ``tokens``, ``begin`` and ``end`` of the trie of sorted codes, built level by level."""
    n_items, length = codes.shape
    first, tokens = [np.array([1])], [np.array([NOWHERE])]
    begin, end = [np.array([0])], [np.array([n_items])]
    total = 1
    differs = np.zeros(n_items, dtype=bool)  # from the item before it, in the tokens up to this level
    differs[0] = True
    parent_of = np.zeros(n_items, dtype=np.int32)  # each sorted item's node on the level above
    for level in range(length):
        differs[1:] |= codes[1:, level] != codes[:-1, level]
        bounds = np.append(np.flatnonzero(differs), n_items)
        starts, stops = bounds[:-1], bounds[1:]
        goes_on = codes[starts, level] >= 0
        starts, stops = starts[goes_on], stops[goes_on]
        if not len(starts):
            break
        # The running sum of the numbers of children of the level above is the next level's `first`.
        children = np.bincount(parent_of[starts], minlength=len(tokens[-1]))
        first.append(total + np.cumsum(children))
        total += len(starts)
        tokens.append(codes[starts, level])
        begin.append(starts)
        end.append(stops)
        parent_of[starts] = np.arange(len(starts))
        parent_of = np.repeat(parent_of[bounds[:-1]], np.diff(bounds))
    first.append(np.full(len(tokens[-1]), total))
    return [np.concatenate(parts, dtype=np.int32, casting="same_kind") for parts in (first, tokens, begin, end)]


def _check_tokens(codes: NDArray[np.integer], vocabulary: int) -> None:
    if codes.ndim != 2 or not codes.size:  # noqa: PLR2004 - items by tokens
        raise DataError(f"item codes {codes.shape} must be one row of tokens per item, at least one of each")
    used = codes >= 0
    wrong = (codes < NOWHERE) | (codes >= vocabulary)
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        raise DataError(f"the code of row {row} is {_show(codes[row])}; tokens must be 0 to {vocabulary - 1}")
    if not used[:, 0].all():
        raise DataError(f"the code of row {int(np.flatnonzero(~used[:, 0])[0])} is empty or begins with padding")
    gaps = (used[:, 1:] & ~used[:, :-1]).any(axis=1)
    if gaps.any():
        row = int(np.flatnonzero(gaps)[0])
        raise DataError(f"the code of row {row} is {_show(codes[row])}; padding (-1) is allowed at its end only")


def _check_prefix_free(codes: NDArray[np.integer], rows: Ints) -> None:
    """Check sorted codes: a prefix of another code is also a prefix of the next one, since padding sorts first."""
    begins = ((codes[:-1] == codes[1:]) | (codes[:-1] == NOWHERE)).all(axis=1)
    if begins.any():
        first = int(np.flatnonzero(begins)[0])
        short, long = _show(codes[first]), _show(codes[first + 1])
        what = "is also" if short == long else "begins"
        raise DataError(
            f"the code of row {rows[first]}, {short}, {what} the code of row {rows[first + 1]}, {long}; "
            "codes must be unique and none may be a prefix of another"
        )


def _show(code: NDArray[np.integer]) -> str:
    return str(code.tolist())
