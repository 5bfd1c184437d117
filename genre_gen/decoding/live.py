"""LiveTrie: the trie of a catalog that changes while it serves.

Items that have come since the trie was built lie in a small second trie, the *delta*; items that have left are
positions that nobody may get. Both are read as one prefix tree: a node that the two share is one node, so that a search
asks the model about each beginning once and finds exactly what it would find in a trie built anew.

A change gives a new LiveTrie, which shares the large arrays with the old one: requests under way go on with theirs, and
no lock is needed. It costs as much as the delta holds, until the delta is an eighth of the whole and both become one
trie; a service may choose a quiet moment for that instead (:meth:`LiveTrie.compact`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genre_gen.decoding.base import NOWHERE, ROOT, CatalogTrie, Ints, Subset
from genre_gen.decoding.trie import Trie
from genre_gen.errors import DataError, UsageError

_SMALL = 1024  # a delta of so many items is never worth a rebuild
_SHARE = 8


@dataclass(frozen=True, eq=False)
class LiveTrie(CatalogTrie):
    """A trie, the items that came since, and the positions of those that left.

    Nodes of the base keep their numbers; nodes that only the delta has follow, in its order. Positions likewise.

    Attributes:
        base: the large trie; may be memory-mapped.
        size: number of catalog rows, removed ones included.
        vocabulary: number of code tokens; new items may bring new ones.
        delta: the trie of the items that came later, None where there are none.
        removed: int64, sorted: positions of the base whose items have left.
    """

    base: Trie
    size: int
    vocabulary: int
    delta: Trie | None = None
    removed: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @classmethod
    def of(cls, base: Trie) -> LiveTrie:
        """Return a trie that can change, as it is now."""
        return cls(base, base.size, base.vocabulary)

    # Changes

    def insert(self, codes: NDArray[np.integer], rows: Ints | None = None, vocabulary: int | None = None) -> LiveTrie:
        """Return the trie with more items.

        Args:
            codes: ``[n, length]``, padded with -1 at the end; of any length.
            rows: ``[n]``, their catalog rows: new ones, or rows whose item was removed; None appends to the catalog.
            vocabulary: number of code tokens from now on; None for no new tokens.

        Raises:
            DataError: codes that are no codes, equal one of the catalog's, begin one, or are begun by one.
            UsageError: a row that has an item, or is given twice.
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
        if changed._conflicts():  # with a removed item's code: then that has to go for good
            return self._rebuilt(codes, rows, size, vocabulary)
        return changed.compact() if new.n_items > max(_SMALL, self.base.n_items // _SHARE) else changed

    def remove(self, rows: Ints) -> LiveTrie:
        """Return the trie without some items; their rows stay in the catalog, without an item.

        Raises:
            UsageError: a row without an item.
        """
        rows = self._known(np.unique(rows))
        at = self.position(rows)
        if (at < 0).any():
            raise UsageError(f"row {rows[at < 0][0]} has no item that could be removed")
        removed = np.union1d(self.removed, at[at < self.base.n_positions])
        delta, late = self.delta, at[at >= self.base.n_positions] - self.base.n_positions
        if delta is not None and len(late):
            stay = np.ones(delta.n_items, dtype=bool)
            stay[late] = False
            codes, own = delta.codes()[stay], delta.rows[stay]
            delta = Trie.build(codes, self.vocabulary, own, self.size) if len(codes) else None
        return replace(self, delta=delta, removed=removed)

    def compact(self) -> LiveTrie:
        """Return the same catalog as one trie, built anew without the removed items."""
        if self.delta is None:
            return self._rebuilt(np.empty((0, 1), np.int32), np.empty(0, np.int32), self.size, self.vocabulary)
        return self._rebuilt(self.delta.codes(), self.delta.rows, self.size, self.vocabulary)

    # What a search needs

    @property
    def n_nodes(self) -> int:
        """Return one more than the greatest node number; nodes that the two tries share are not counted twice."""
        return self.base.n_nodes + (0 if self.delta is None else self.delta.n_nodes)

    @property
    def n_positions(self) -> int:
        """Return the number of positions, those of removed items included."""
        return self.base.n_positions + (0 if self.delta is None else self.delta.n_positions)

    @property
    def gone(self) -> NDArray[np.int64]:
        """Return the positions whose items have left the catalog, sorted."""
        return self.removed

    @property
    def is_flat(self) -> bool:
        """Tell whether every code is a single token, so that one forward pass decides."""
        return self.base.is_flat and (self.delta is None or self.delta.is_flat)

    def is_leaf(self, nodes: Ints) -> NDArray[np.bool_]:
        """Tell which nodes are items."""
        if self.delta is None:
            return self.base.is_leaf(nodes)
        inside, own = self._inside(nodes), self._own(nodes)
        return np.where(inside, self.base.is_leaf(nodes * inside), self.delta.is_leaf(own))

    def row(self, leaves: Ints) -> NDArray[np.int64]:
        """Return the catalog row of each leaf."""
        if self.delta is None:
            return self.base.row(leaves)
        inside, own = self._inside(leaves), self._own(leaves)
        return np.where(inside, self.base.row(leaves * inside), self.delta.row(own))

    def token(self, nodes: Ints) -> NDArray[np.int64]:
        """Return the code token that leads to each node, -1 for the root."""
        if self.delta is None:
            return self.base.token(nodes)
        inside, own = self._inside(nodes), self._own(nodes)
        return np.where(inside, self.base.token(nodes * inside), self.delta.token(own))

    def expand(self, nodes: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all children of some nodes; see :meth:`CatalogTrie.expand`."""
        if self.delta is None:
            return self.base.expand(nodes)
        inside = np.flatnonzero(self._inside(nodes))
        owners, children = self.base.expand(nodes[inside])
        late = self._late(nodes)
        has = np.flatnonzero(late >= 0)
        late_owners, late_children = self.delta.expand(late[has])
        new = self._twins[late_children] < 0  # the others are children in the base already
        owners = np.concatenate([inside[owners], has[late_owners[new]]])
        children = np.concatenate([children, late_children[new] + self.base.n_nodes])
        order = np.lexsort((self.token(children), owners))
        return owners[order], children[order]

    def find(self, nodes: Ints, tokens: Ints) -> NDArray[np.int64]:
        """Return the child that each token leads to from each node, -1 where there is none (or from -1)."""
        found = self.base.find(np.where(self._inside(nodes), nodes, NOWHERE), tokens)
        if self.delta is None:
            return found
        late = self.delta.find(self._late(nodes), tokens)
        return np.where((found < 0) & (late >= 0), late + self.base.n_nodes, found)

    def count(self, nodes: Ints, subset: Subset, users: Ints | int = 0) -> NDArray[np.int64]:
        """Return how many items below each node its user may get."""
        if self.delta is None:
            return self.base.count(nodes, subset, users)
        inside, late, after = self._inside(nodes), self._late(nodes), self.base.n_positions
        counts = self.base.count(nodes * inside, subset, users) * inside
        has, late = late >= 0, np.maximum(late, ROOT)
        return counts + subset.count(self.delta.begin[late] + after, self.delta.end[late] + after, users) * has

    def position(self, rows: Ints) -> NDArray[np.int64]:
        """Return the position of each catalog row's item, -1 where the trie has none."""
        rows = np.asarray(rows, dtype=np.int64)
        old = rows < self.base.size
        at = np.where(old, self.base.position(rows * old), NOWHERE)
        at[np.isin(at, self.removed)] = NOWHERE
        if self.delta is not None:
            late = self.delta.position(rows)
            at = np.where(late >= 0, late + self.base.n_positions, at)
        return at

    def order(self) -> NDArray[np.int32]:
        """Return the catalog row at each position, ``[n_positions]``."""
        return self.base.rows if self.delta is None else np.concatenate([self.base.rows, self.delta.rows])

    # The two tries as one

    @cached_property
    def _twins(self) -> NDArray[np.int64]:
        """The base's node of each node of the delta, -1 where only the delta has it."""
        assert self.delta is not None  # noqa: S101 - asked for only where there is one
        twins = np.full(self.delta.n_nodes, NOWHERE)
        twins[ROOT] = ROOT
        level = np.array([ROOT])
        while len(level):
            owners, children = self.delta.expand(level)
            twins[children] = self.base.find(twins[level[owners]], self.delta.token(children))
            level = children
        return twins

    @cached_property
    def _shared(self) -> NDArray[np.int64]:
        """The delta's nodes that the base has too; both tries number alike, so their twins increase."""
        return np.flatnonzero(self._twins >= 0)

    def _inside(self, nodes: Ints) -> NDArray[np.bool_]:
        """Tell which nodes are nodes of the base."""
        return nodes < self.base.n_nodes

    def _own(self, nodes: Ints) -> NDArray[np.integer]:
        """Return the delta's numbers of nodes that only it has, the root for others."""
        return np.maximum(nodes - self.base.n_nodes, ROOT)

    def _late(self, nodes: Ints) -> NDArray[np.int64]:
        """Return the delta's number of each node, -1 where it has none."""
        twins = self._twins[self._shared]
        at = np.minimum(np.searchsorted(twins, nodes), len(twins) - 1)
        shared = np.where(twins[at] == nodes, self._shared[at], NOWHERE)
        return np.where(self._inside(nodes), shared, nodes - self.base.n_nodes)

    # Keeping the catalog sound

    def _check_free(self, rows: Ints, n_codes: int) -> None:
        if rows.shape != (n_codes,) or len(np.unique(rows)) != n_codes or rows.min(initial=0) < 0:
            raise UsageError(f"{n_codes} codes need as many different rows, none negative")
        taken = rows[rows < self.size]
        taken = taken[self.position(taken) >= 0]
        if len(taken):
            raise UsageError(f"row {taken[0]} has an item; remove it first")

    def _conflicts(self) -> bool:
        """Tell whether a code of the delta equals or begins a removed code, or the other way round.

        Raises:
            DataError: the same of a code that is in use.
        """
        assert self.delta is not None  # noqa: S101 - asked for only where there is one
        late = self._shared
        twins = self._twins[late]
        clash = self.delta.is_leaf(late) | self.base.is_leaf(twins)
        used = self.base.count(twins, Subset(self, None, self.removed, np.empty(0, np.int64))) > 0
        if (clash & used).any():
            node = late[clash & used][0]
            row, old = self.delta.rows[self.delta.begin[node]], self._used_below(self._twins[node])
            raise DataError(
                f"the code of new row {row} equals or begins the code of row {old}, or is begun by it; "
                "codes must be unique and none may begin another"
            )
        return bool(clash.any())

    def _used_below(self, node: int) -> int:
        positions = np.arange(self.base.begin[node], self.base.end[node])
        return int(self.base.rows[positions[~np.isin(positions, self.removed)][0]])

    def _rebuilt(self, codes: NDArray[np.integer], rows: Ints, size: int, vocabulary: int) -> LiveTrie:
        """Return one trie of the base's present items and some more."""
        stay = np.ones(self.base.n_positions, dtype=bool)
        stay[self.removed] = False
        codes, rows = _joined((self.base.codes()[stay], self.base.rows[stay]), (codes, rows))
        return LiveTrie.of(Trie.build(codes, vocabulary, rows, size)) if len(codes) else self


def _joined(*parts: tuple[NDArray[np.integer], Ints]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return codes of different lengths in one array, and their rows."""
    codes = np.full((sum(len(own) for own, _ in parts), max(own.shape[1] for own, _ in parts)), NOWHERE, np.int32)
    begin = 0
    for own, _ in parts:
        codes[begin : begin + len(own), : own.shape[1]] = own
        begin += len(own)
    return codes, np.concatenate([rows for _, rows in parts]).astype(np.int32)
