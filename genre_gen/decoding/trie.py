"""Trie: all item codes as one prefix tree in flat arrays (CSR), over the local code vocabulary.

Nodes are numbered level by level, and within a level in the order of the sorted codes. Three things follow, and make
every operation a few NumPy calls whatever the catalog's size: the children of a node are consecutive nodes, in the
order of their tokens; the items below a node are a range of the sorted items; and the pairs (parent, token) increase
with the node, so that a child is found by binary search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.errors import CheckpointError, DataError, UsageError

Ints: TypeAlias = NDArray[np.integer]
"""Node numbers, code tokens or catalog rows."""

ROOT = 0
NOWHERE = -1


@dataclass(frozen=True, eq=False)
class Trie:
    """The prefix tree of a catalog's item codes; node 0 is the root, a leaf is an item.

    Attributes:
        first: int32 ``[n_nodes + 1]``, the first child of each node; node ``k``'s children are ``first[k]`` up to
            ``first[k + 1]``, none for a leaf.
        tokens: int32 ``[n_nodes]``, the code token that leads to each node; -1 for the root.
        begin: int32 ``[n_nodes]``, where in ``rows`` the items below each node begin.
        end: int32 ``[n_nodes]``, and where they end.
        rows: int32 ``[n_items]``, catalog rows in the order of their codes.
        vocabulary: number of code tokens.
    """

    first: NDArray[np.int32]
    tokens: NDArray[np.int32]
    begin: NDArray[np.int32]
    end: NDArray[np.int32]
    rows: NDArray[np.int32]
    vocabulary: int

    @classmethod
    def build(cls, codes: NDArray[np.integer], vocabulary: int) -> Trie:
        """Build the trie of ``codes``.

        Args:
            codes: ``[n_items, length]``, tokens ``0 .. vocabulary - 1``, shorter codes padded with -1 at the end.
            vocabulary: number of code tokens.

        Raises:
            DataError: a token out of range, an empty code, two equal codes, or a code that begins another.
        """
        _check_tokens(codes, vocabulary)
        order = np.lexsort(codes.T[::-1])
        codes = codes[order]
        _check_prefix_free(codes, order)
        n_items, length = codes.shape
        first, tokens = [np.array([1])], [np.array([NOWHERE])]
        begin, end = [np.array([0])], [np.array([n_items])]
        total = 1
        differs = np.zeros(n_items, dtype=bool)  # from the item before it, in the tokens up to this level
        differs[0] = True
        parent_at = np.zeros(n_items, dtype=np.int64)  # the node of the level above that holds each sorted item
        for level in range(length):
            differs[1:] |= codes[1:, level] != codes[:-1, level]
            bounds = np.append(np.flatnonzero(differs), n_items)
            starts, stops = bounds[:-1], bounds[1:]
            goes_on = codes[starts, level] >= 0
            starts, stops = starts[goes_on], stops[goes_on]
            if not len(starts):
                break
            # Every node of the level above gets its number of children: their running sum is the next level's `first`.
            children = np.bincount(parent_at[starts], minlength=len(tokens[-1]))
            first.append(total + np.cumsum(children))
            total += len(starts)
            tokens.append(codes[starts, level])
            begin.append(starts)
            end.append(stops)
            parent_at[starts] = np.arange(len(starts))
            parent_at = np.repeat(parent_at[bounds[:-1]], np.diff(bounds))
        first.append(np.full(len(tokens[-1]), total))
        return cls(_flat(first), _flat(tokens), _flat(begin), _flat(end), _flat([order]), vocabulary)

    @property
    def n_items(self) -> int:
        """Return the number of items, which are the leaves."""
        return len(self.rows)

    @property
    def n_nodes(self) -> int:
        """Return the number of nodes, root and leaves included."""
        return len(self.tokens)

    @property
    def is_flat(self) -> bool:
        """Tell whether every code is a single token, so that one forward pass decides."""
        return self.n_nodes == self.n_items + 1

    def is_leaf(self, nodes: Ints) -> NDArray[np.bool_]:
        """Tell which nodes are items."""
        return self.first[nodes] == self.first[nodes + 1]

    def row(self, leaves: Ints) -> NDArray[np.int64]:
        """Return the catalog row of each leaf."""
        return self.rows[self.begin[leaves]].astype(np.int64)

    def expand(self, nodes: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all children of some nodes.

        Returns:
            ``owners``, which of ``nodes`` (by position) each child belongs to, and ``children``, in the order of
            ``nodes`` and then of their tokens.
        """
        starts = self.first[nodes].astype(np.int64)
        sizes = self.first[nodes + 1] - starts
        owners = np.repeat(np.arange(len(starts)), sizes)
        before = np.cumsum(sizes) - sizes
        return owners, np.arange(len(owners)) + (starts - before)[owners]

    def find(self, nodes: Ints, tokens: Ints) -> NDArray[np.int64]:
        """Return the child that each token leads to from each node, -1 where there is none (or from -1)."""
        if self.n_nodes == 1:
            return np.full(len(nodes), NOWHERE)
        wanted = nodes.astype(np.int64) * self.vocabulary + tokens
        at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        valid = (nodes >= 0) & (tokens >= 0) & (tokens < self.vocabulary)
        return np.where(valid & (self._keys[at] == wanted), at + 1, NOWHERE)

    def walk(self, tokens: Ints) -> NDArray[np.int64]:
        """Return the node that each row of tokens ``[batch, steps]`` leads to from the root, -1 where none does.

        What follows a complete code is not read: a row stays at its leaf.
        """
        nodes = np.full(len(tokens), ROOT)
        for step in range(tokens.shape[1]):
            arrived = (nodes >= 0) & self.is_leaf(nodes)
            nodes = np.where(arrived, nodes, self.find(nodes, tokens[:, step]))
        return nodes

    def tally(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.int32]:
        """Return how many of the first ``k`` items, in the order of ``rows``, are allowed: int32 ``[n_items + 1]``.

        Args:
            allowed: bool ``[n_items]`` by catalog row; None allows all.

        Raises:
            UsageError: ``allowed`` is of another catalog.
        """
        if allowed is None:
            return np.arange(self.n_items + 1, dtype=np.int32)
        if allowed.shape != (self.n_items,) or allowed.dtype != np.bool_:
            raise UsageError(f"allowed is {allowed.dtype}{list(allowed.shape)}; bool[{self.n_items}] is needed")
        tally = np.zeros(self.n_items + 1, dtype=np.int32)
        np.cumsum(allowed[self.rows], out=tally[1:])
        return tally

    def below(self, nodes: Ints, tally: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return how many allowed items are below each node, from a request's :meth:`tally`."""
        return tally[self.end[nodes]] - tally[self.begin[nodes]]

    def counts(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.int32]:
        """Return how many allowed items are below every node, int32 ``[n_nodes]``."""
        return self.below(np.arange(self.n_nodes), self.tally(allowed))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what must be saved, ready for safetensors."""
        return {
            "first": self.first,
            "tokens": self.tokens,
            "begin": self.begin,
            "end": self.end,
            "rows": self.rows,
            "vocabulary": np.array([self.vocabulary], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Trie:
        """Restore what :meth:`arrays` returned; the arrays are used as they are, memory-mapped ones too.

        Raises:
            CheckpointError: arrays that are missing or do not form a trie.
        """
        try:
            size = int(arrays["vocabulary"][0])
            trie = cls(arrays["first"], arrays["tokens"], arrays["begin"], arrays["end"], arrays["rows"], size)
        except KeyError as missing:
            raise CheckpointError(f"the saved trie lacks {missing}; build it again from the item codes") from None
        if not trie._is_sound():
            raise CheckpointError("the saved trie is damaged; build it again from the item codes")
        return trie

    def _is_sound(self) -> bool:
        """Check that the arrays form a trie whose every leaf is one item, so that a damaged one cannot mislead."""
        n_nodes, n_items = self.n_nodes, self.n_items
        if not (len(self.first) == n_nodes + 1 and len(self.begin) == len(self.end) == n_nodes > 1):
            return False
        nodes = np.arange(n_nodes)
        rising = bool((np.diff(self.first) >= 0).all() and (self.first[:-1] > nodes).all())  # no node is its own child
        known = bool(((self.tokens[1:] >= 0) & (self.tokens[1:] < self.vocabulary)).all())
        if not (rising and known and (self.first[0], self.first[-1]) == (1, n_nodes)):
            return False
        if not (np.diff(self._keys) > 0).all():
            return False
        leaf = self.is_leaf(nodes)
        inner = nodes[~leaf]
        siblings = np.diff(self._keys // self.vocabulary) == 0  # node k + 1 and node k + 2 have the same parent
        return (
            np.array_equal(np.sort(self.rows), np.arange(n_items))
            and (self.begin[ROOT], self.end[ROOT]) == (0, n_items)
            and np.array_equal(self.end[leaf], self.begin[leaf] + 1)
            and np.array_equal(self.begin[inner], self.begin[self.first[inner]])
            and np.array_equal(self.end[inner], self.end[self.first[inner + 1] - 1])
            and np.array_equal(self.end[1:-1][siblings], self.begin[2:][siblings])
        )

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        """``parent * vocabulary + token`` of nodes ``1 .. n_nodes - 1``, increasing."""
        parents = np.repeat(np.arange(self.n_nodes, dtype=np.int64), np.diff(self.first))
        return parents * self.vocabulary + self.tokens[1:]


def _flat(parts: list[NDArray[np.integer]]) -> NDArray[np.int32]:
    return np.concatenate(parts).astype(np.int32)


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
        raise DataError(f"the code of row {row} is {_show(codes[row])}; padding (-1) may only stand at its end")


def _check_prefix_free(codes: NDArray[np.integer], order: Ints) -> None:
    """Check sorted codes: one that begins another begins its neighbour too, since padding sorts first."""
    begins = ((codes[:-1] == codes[1:]) | (codes[:-1] == NOWHERE)).all(axis=1)
    if begins.any():
        at = int(np.flatnonzero(begins)[0])
        short, long = _show(codes[at]), _show(codes[at + 1])
        what = "is also" if short == long else "begins"
        raise DataError(
            f"the code of row {order[at]}, {short}, {what} the code of row {order[at + 1]}, {long}; "
            "codes must be unique and none may begin another"
        )


def _show(code: NDArray[np.integer]) -> str:
    return str(code.tolist())
