"""LiveTrie: the trie of a catalog that changes while it is in use.

Items added since the trie was built are in a small second trie, the *delta*; the positions of removed items are
never allowed. Both tries are read as one prefix tree: a node that the two share is one node, so a search finds exactly
the items that it would find in a trie built from the present items.

A change makes a new LiveTrie, which shares the large arrays with the old one. Running requests keep the old one, so
no lock is needed. When the delta reaches an eighth of the whole, both are rebuilt as one trie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.decoding.base import NOWHERE, ROOT, CatalogTrie, Ints, Subset
from genre_gen.decoding.trie import Trie
from genre_gen.errors import DataError, UsageError

_SMALL = 1024  # up to this number of items, the delta is not rebuilt
_SHARE = 8


@dataclass(frozen=True, eq=False)
class LiveTrie(CatalogTrie):
    """A trie, the items added since, and the positions of removed ones.

    Nodes of the base keep their numbers; nodes that only the delta has follow, in its order. Positions likewise.

    Attributes:
        base: the large trie.
        size: number of catalog rows, removed ones included.
        vocabulary: number of code tokens.
        delta: the trie of the items added later, None if there are none.
        removed: int64, sorted: positions of the base whose items were removed.
    """

    base: Trie
    size: int
    vocabulary: int
    delta: Trie | None = None
    removed: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @classmethod
    def of(cls, base: Trie) -> LiveTrie:
        """Return a LiveTrie of the items of ``base``."""
        return cls(base, base.size, base.vocabulary)

    def insert(self, codes: NDArray[np.integer], rows: Ints | None = None, vocabulary: int | None = None) -> LiveTrie:
        """Return the trie with more items.

        Args:
            codes: ``[n, length]``, padded with -1 at the end.
            rows: ``[n]``, their catalog rows: new ones, or rows whose item was removed; None appends to the catalog.
            vocabulary: the new number of code tokens; None without new tokens.

        Raises:
            DataError: a code is invalid, equals a code of the catalog, or one is a prefix of the other.
            UsageError: a row already has an item, or is repeated.
        """
        vocabulary = max(self.vocabulary, vocabulary or 0)
        rows = np.arange(self.size, self.size + len(codes)) if rows is None else np.asarray(rows, dtype=np.int64)
        self._check_free(rows, len(codes))
        size = max(self.size, int(rows.max(initial=-1)) + 1)
        new = Trie.build(codes, vocabulary, rows, size)
        if self.delta is not None:
            codes, rows = _joined((self.delta.codes(), self.delta.rows), (codes, rows))
            new = Trie.build(codes, vocabulary, rows, size)
        changed = replace(self, size=size, vocabulary=vocabulary, delta=new)
        if changed._conflicts():  # with a removed item's code, which must then be deleted
            return self._rebuilt([(codes, rows)], size, vocabulary)
        return changed.compact() if new.n_items > max(_SMALL, self.base.n_items // _SHARE) else changed

    def remove(self, rows: Ints) -> LiveTrie:
        """Return the trie without some items; their rows remain in the catalog, without an item.

        Raises:
            UsageError: a row has no item.
        """
        rows = self._check_rows(np.unique(rows))
        positions = self.position(rows)
        if (positions < 0).any():
            raise UsageError(f"row {rows[positions < 0][0]} has no item to remove")
        in_base = positions < self.base.n_positions
        removed = np.union1d(self.removed, positions[in_base])
        delta = self.delta
        if delta is not None and not in_base.all():
            codes, kept_rows = _kept(delta, positions[~in_base] - self.base.n_positions)
            delta = Trie.build(codes, self.vocabulary, kept_rows, self.size) if len(codes) else None
        return replace(self, delta=delta, removed=removed)

    def compact(self) -> LiveTrie:
        """Return the same catalog as a single trie without the removed items."""
        added = [] if self.delta is None else [(self.delta.codes(), self.delta.rows)]
        return self._rebuilt(added, self.size, self.vocabulary)

    @property
    def n_nodes(self) -> int:
        """Return the greatest node number plus one."""
        return self.base.n_nodes + (0 if self.delta is None else self.delta.n_nodes)

    @property
    def n_positions(self) -> int:
        """Return the number of positions, those of removed items included."""
        return self.base.n_positions + (0 if self.delta is None else self.delta.n_positions)

    @property
    def removed_positions(self) -> NDArray[np.int64]:
        """Return the positions of removed items, sorted."""
        return self.removed

    @property
    def is_flat(self) -> bool:
        """Tell whether every code is a single token, so that one forward pass scores all items."""
        return self.base.is_flat and (self.delta is None or self.delta.is_flat)

    def is_leaf(self, nodes: Ints) -> NDArray[np.bool_]:
        """Tell which nodes are items."""
        return self._ask(Trie.is_leaf, nodes)

    def row(self, leaves: Ints) -> NDArray[np.int64]:
        """Return the catalog row of each leaf."""
        return self._ask(Trie.row, leaves)

    def token(self, nodes: Ints) -> NDArray[np.int64]:
        """Return the code token that leads to each node, -1 for the root."""
        return self._ask(Trie.token, nodes)

    def expand(self, nodes: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all children of some nodes; see :meth:`CatalogTrie.expand`."""
        if self.delta is None:
            return self.base.expand(nodes)
        in_base = np.flatnonzero(self._in_base(nodes))
        owners, children = self.base.expand(nodes[in_base])
        delta_nodes = self._delta_nodes(nodes)
        in_delta = np.flatnonzero(delta_nodes >= 0)
        delta_owners, delta_children = self.delta.expand(delta_nodes[in_delta])
        new = self._base_nodes[delta_children] < 0  # the others are children in the base already
        owners = np.concatenate([in_base[owners], in_delta[delta_owners[new]]])
        children = np.concatenate([children, delta_children[new] + self.base.n_nodes])
        order = np.lexsort((self.token(children), owners))
        return owners[order], children[order]

    def find(self, nodes: Ints, tokens: Ints) -> NDArray[np.int64]:
        """Return the child of each node for each token; -1 if there is none or the node is -1."""
        children = self.base.find(np.where(self._in_base(nodes), nodes, NOWHERE), tokens)
        if self.delta is None:
            return children
        delta_children = self.delta.find(self._delta_nodes(nodes), tokens)
        return np.where((children < 0) & (delta_children >= 0), delta_children + self.base.n_nodes, children)

    def count(self, nodes: Ints, subset: Subset, users: Ints | int = 0) -> NDArray[np.int64]:
        """Return the number of items below each node that its user may get."""
        if self.delta is None:
            return self.base.count(nodes, subset, users)
        in_base, delta_nodes = self._in_base(nodes), self._delta_nodes(nodes)
        counts = self.base.count(nodes * in_base, subset, users) * in_base
        in_delta, delta_nodes = delta_nodes >= 0, np.maximum(delta_nodes, ROOT)
        begin, end = (ends[delta_nodes] + self.base.n_positions for ends in (self.delta.begin, self.delta.end))
        return counts + subset.count(begin, end, users) * in_delta

    def position(self, rows: Ints) -> NDArray[np.int64]:
        """Return the position of each catalog row's item, -1 if the trie has none."""
        rows = np.asarray(rows, dtype=np.int64)
        old = rows < self.base.size
        positions = np.where(old, self.base.position(rows * old), NOWHERE)
        positions[np.isin(positions, self.removed)] = NOWHERE
        if self.delta is not None:
            in_delta = self.delta.position(rows)
            positions = np.where(in_delta >= 0, in_delta + self.base.n_positions, positions)
        return positions

    def order(self) -> NDArray[np.int32]:
        """Return the catalog row at each position, ``[n_positions]``."""
        return self.base.rows if self.delta is None else np.concatenate([self.base.rows, self.delta.rows])

    @cached_property
    def _base_nodes(self) -> NDArray[np.int64]:
        """The base's node for each node of the delta; -1 if only the delta has it."""
        assert self.delta is not None  # noqa: S101 - callers check that it exists
        base_nodes = np.full(self.delta.n_nodes, NOWHERE)
        base_nodes[ROOT] = ROOT
        level = np.array([ROOT])
        while len(level):
            owners, children = self.delta.expand(level)
            base_nodes[children] = self.base.find(base_nodes[level[owners]], self.delta.token(children))
            level = children
        return base_nodes

    @cached_property
    def _shared(self) -> NDArray[np.int64]:
        """The delta's nodes that the base also has. Both tries use the same order, so the base's numbers increase."""
        return np.flatnonzero(self._base_nodes >= 0)

    def _in_base(self, nodes: Ints) -> NDArray[np.bool_]:
        """Tell which nodes are nodes of the base."""
        return nodes < self.base.n_nodes

    def _ask(self, question: Callable[[Trie, Ints], NDArray[Any]], nodes: Ints) -> NDArray[Any]:
        """Apply a function to each node in the trie that numbers it."""
        if self.delta is None:
            return question(self.base, nodes)
        in_base, in_delta = self._in_base(nodes), np.maximum(nodes - self.base.n_nodes, ROOT)
        return np.where(in_base, question(self.base, nodes * in_base), question(self.delta, in_delta))

    def _delta_nodes(self, nodes: Ints) -> NDArray[np.int64]:
        """Return the delta's number of each node, or -1."""
        base_nodes = self._base_nodes[self._shared]
        nearest = np.minimum(np.searchsorted(base_nodes, nodes), len(base_nodes) - 1)
        shared = np.where(base_nodes[nearest] == nodes, self._shared[nearest], NOWHERE)
        return np.where(self._in_base(nodes), shared, nodes - self.base.n_nodes)

    def _check_free(self, rows: Ints, n_codes: int) -> None:
        if rows.shape != (n_codes,) or len(np.unique(rows)) != n_codes or rows.min(initial=0) < 0:
            raise UsageError(f"{n_codes} codes need {n_codes} different rows, none negative")
        taken = rows[rows < self.size]
        taken = taken[self.position(taken) >= 0]
        if len(taken):
            raise UsageError(f"row {taken[0]} has an item; remove it first")

    def _conflicts(self) -> bool:
        """Tell whether a code of the delta and a removed code are equal, or one is a prefix of the other.

        Raises:
            DataError: the same is true of a code in use.
        """
        assert self.delta is not None  # noqa: S101 - callers check that it exists
        base_nodes = self._base_nodes[self._shared]
        clash = self.delta.is_leaf(self._shared) | self.base.is_leaf(base_nodes)
        used = self.base.count(base_nodes, Subset(self, None, self.removed, np.empty(0, np.int64))) > 0
        if (clash & used).any():
            node = self._shared[clash & used][0]
            below = self._base_nodes[node]
            present = np.setdiff1d(np.arange(self.base.begin[below], self.base.end[below]), self.removed)
            raise DataError(
                f"the code of new row {self.delta.rows[self.delta.begin[node]]} equals or begins the code of row "
                f"{self.base.rows[present[0]]}, or begins with it; codes must be unique, none a prefix of another"
            )
        return bool(clash.any())

    def _rebuilt(self, added: Sequence[tuple[NDArray[np.integer], Ints]], size: int, vocabulary: int) -> LiveTrie:
        """Return a single trie of the base's present items and added ones."""
        codes, rows = _joined(_kept(self.base, self.removed), *added)
        return LiveTrie.of(Trie.build(codes, vocabulary, rows, size)) if len(codes) else self


def _kept(trie: Trie, removed: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return codes and rows of a trie's items without those at some positions."""
    return np.delete(trie.codes(), removed, axis=0), np.delete(trie.rows, removed)


def _joined(*parts: tuple[NDArray[np.integer], Ints]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return codes of different lengths in one array, and their rows."""
    length = max(codes.shape[1] for codes, _ in parts)
    padded = [np.pad(codes, ((0, 0), (0, length - codes.shape[1])), constant_values=NOWHERE) for codes, _ in parts]
    return np.concatenate(padded).astype(np.int32), np.concatenate([rows for _, rows in parts]).astype(np.int32)
