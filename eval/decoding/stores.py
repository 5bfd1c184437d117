"""Ways to store item codes that ``eval.decoding.speed`` compares, including ours.

A store returns the tokens that may follow given prefixes of codes; it needs no model. Peers are written as usual in
the field, after GENRE (De Cao et al. 2021) and MiniOneRec.
"""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
from numpy.typing import NDArray

from genre_gen.decoding.trie import Trie

VOCABULARY = 1024  # number of code tokens of all catalogs with codes of several tokens
Codes = NDArray[np.int32]


def code_names(size: int) -> list[str]:
    """Return the text form of each code token."""
    return [f"<code_{token}>" for token in range(size)]


def vocabulary(codes: Codes) -> int:
    """Return the number of code tokens."""
    return max(VOCABULARY, int(codes.max()) + 1)


class Store(ABC):
    """Item codes, indexed by prefix."""

    def __init__(self, file: Path) -> None:
        """Read the codes ``[n_items, length]`` and build; remembers seconds and bytes."""
        self.codes: Codes = np.load(file)
        gc.collect()
        before, begin = psutil.Process().memory_info().rss, time.perf_counter()
        self.build()
        self.seconds = time.perf_counter() - begin
        gc.collect()
        self.bytes = psutil.Process().memory_info().rss - before

    @classmethod
    def of(cls, codes: Codes) -> Self:
        """Return a store of codes in memory, built without measuring."""
        store = cls.__new__(cls)
        store.codes = codes
        store.build()
        return store

    @abstractmethod
    def build(self) -> None:
        """Build from ``self.codes``."""

    def prepare(self, prefixes: Codes) -> Any:
        """Return the state of the search for prefixes ``[beams, steps]`` between two steps."""
        return prefixes.tolist()

    @abstractmethod
    def follow(self, prepared: Any) -> int:
        """Find the tokens that may follow each prefix; return their total number."""

    def built(self) -> dict[str, float]:
        """Return seconds and bytes of the build."""
        return {"build_seconds": self.seconds, "bytes": float(self.bytes)}

    def step(self, beams: int, seed: int) -> tuple[float, int]:
        """Return the microseconds of one step for prefixes of random items, and the number of tokens found."""
        random = np.random.default_rng(seed)
        items = self.codes[random.integers(len(self.codes), size=beams)]
        seconds, tokens = 0.0, 0
        for steps in range(1, items.shape[1]):
            prepared = self.prepare(items[:, :steps])
            begin = time.perf_counter()
            tokens += self.follow(prepared)
            seconds += time.perf_counter() - begin
        return 1e6 * seconds / (items.shape[1] - 1), tokens


class SearchTrie(Store):
    """Ours, as the search uses it: it keeps nodes, and counts the allowed items below each child."""

    def build(self) -> None:
        """Build the trie."""
        self.trie = Trie.build(self.codes, VOCABULARY)

    def built(self) -> dict[str, float]:
        """Return seconds and bytes, including the arrays that are made on first use."""
        self.subset = self.trie.subset(None, [np.arange(min(50, len(self.codes)))])  # as a history is excluded
        return {"build_seconds": self.seconds, "bytes": float(self.trie.nbytes)}

    def prepare(self, prefixes: Codes) -> Any:
        """Return nodes."""
        return self.trie.walk(prefixes)

    def follow(self, prepared: Any) -> int:
        """Expand nodes."""
        _, children = self.trie.expand(prepared)
        alive = self.trie.count(children, self.subset) > 0
        return len(self.trie.token(children[alive]))


class ProcessorTrie(SearchTrie):
    """Ours, as the adapters for ``generate`` use it: it walks from the root at each step."""

    def prepare(self, prefixes: Codes) -> Any:
        """Return the tokens unchanged."""
        return prefixes

    def follow(self, prepared: Any) -> int:
        """Walk and expand."""
        return super().follow(self.trie.walk(prepared))


class NestedDicts(Store):
    """The trie of GENRE: a dictionary per node."""

    def build(self) -> None:
        """Insert code by code."""
        self.root: dict[int, Any] = {}
        for code in self.codes.tolist():
            node = self.root
            for token in code:
                node = node.setdefault(token, {})

    def follow(self, prepared: Any) -> int:
        """Walk prefix by prefix."""
        return sum(len(self.get(prefix)) for prefix in prepared)

    def get(self, prefix: Sequence[int]) -> list[int]:
        """Return the tokens that may follow."""
        node = self.root
        for token in prefix:
            node = node.get(token, {})
        return list(node)


class PrefixHash(Store):
    """One dictionary from prefixes to next tokens, as in MiniOneRec."""

    def build(self) -> None:
        """Insert each prefix of each code."""
        self.table: dict[tuple[int, ...], set[int]] = {}
        for code in map(tuple, self.codes.tolist()):
            for steps in range(len(code)):
                self.table.setdefault(code[:steps], set()).add(code[steps])

    def follow(self, prepared: Any) -> int:
        """Look up prefix by prefix."""
        return sum(len(self.get(prefix)) for prefix in prepared)

    def get(self, prefix: Sequence[int]) -> list[int]:
        """Return the tokens that may follow."""
        return list(self.table.get(tuple(prefix), ()))


class SortedArray(Store):
    """The sorted codes only: a prefix is a range, found by bisection."""

    def build(self) -> None:
        """Pack codes into numbers and sort."""
        self.width = VOCABULARY.bit_length()
        self.length = self.codes.shape[1]
        self.keys = np.sort(self._packed(self.codes))

    def follow(self, prepared: Any) -> int:
        """Bisect prefix by prefix, and collect the next tokens of the range."""
        tokens = 0
        for prefix in prepared:
            shift = self.width * (self.length - len(prefix))
            low = self._packed(np.array([prefix]))[0] << shift
            begin, end = np.searchsorted(self.keys, [low, low + (1 << shift)])
            following = self.keys[begin:end] >> (shift - self.width)
            tokens += len(np.unique(following))
        return tokens

    def _packed(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        packed = np.zeros(len(codes), dtype=np.int64)
        for column in codes.T:
            packed = (packed << self.width) + column
        return packed


STORES: dict[str, type[Store]] = {
    "ours, in the search": SearchTrie,
    "ours, in a processor": ProcessorTrie,
    "nested dicts (GENRE)": NestedDicts,
    "hash of prefixes (MiniOneRec)": PrefixHash,
    "sorted array, bisection": SortedArray,
}
