"""Codes for items that came after training: those of the other items stay as they are, and so does their vocabulary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.codes.base import Codes
from genre_gen.codes.schemes import END, pieces_of
from genre_gen.data.catalog import Item
from genre_gen.errors import ConfigError


@dataclass(frozen=True)
class NewToken:
    """A code token that the vocabulary lacks, and which of its tokens it is most like.

    Attributes:
        name: its text form.
        like: int64 ``[n]``, trained tokens; none where nothing is known of it.
        weights: float32 ``[n]``, how much it is like each, above 0.
    """

    name: str
    like: NDArray[np.int64]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class LateCodes:
    """The codes of late items, ``[n_late, length of the trained codes]``, and the tokens that are new in them."""

    codes: NDArray[np.int64]
    tokens: tuple[NewToken, ...]


def late_codes(trained: Codes, items: Sequence[Item], near: sparse.csr_matrix, earlier: LateCodes) -> LateCodes:
    """Give each late item a code, in order: the code of an item depends on none that comes later.

    Where items have a token each, a new item gets a new one. Where codes are titles, it gets its title's words, with
    new tokens for new words. Semantic codes share tokens: it gets a free code next to those of the items that are
    described most like it, and a new last token only if none is free there.

    Args:
        trained: the codes of the trained items.
        items: the late items, with the titles that they came with.
        near: squared similarities of the trained items that are described most like each, ``[n_late, trained items]``.
        earlier: what this returned for the first of them.

    Raises:
        ConfigError: codes of another scheme with several tokens.
    """
    if trained.codes.shape[1] == 1:
        make: _Maker = _OwnTokens(trained, earlier)
    elif trained.name in _MAKERS:
        make = _MAKERS[trained.name](trained, earlier)
    else:
        raise ConfigError(
            f"items cannot be added while codes are of the scheme {trained.name!r}: it makes codes for a whole catalog "
            'at once; train with codes.scheme = "atomic", or train again with the new items'
        )
    begin = len(earlier.codes)
    new = [make.code(item, *_row(near, begin + place)) for place, item in enumerate(items[begin:])]
    added = np.full((len(new), trained.codes.shape[1]), -1, np.int64)
    for row, code in enumerate(new):
        added[row, : len(code)] = code
    return LateCodes(np.concatenate([earlier.codes, added]), (*earlier.tokens, *make.tokens))


def no_codes(trained: Codes) -> LateCodes:
    """Return the codes of no late items."""
    return LateCodes(np.zeros((0, trained.codes.shape[1]), np.int64), ())


def _row(near: sparse.csr_matrix, row: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    part = slice(near.indptr[row], near.indptr[row + 1])
    return near.indices[part].astype(np.int64), near.data[part]


class _Maker(ABC):
    """Makes codes; ``tokens`` are the new ones since it was made."""

    def __init__(self, trained: Codes, earlier: LateCodes) -> None:
        self.trained, self.tokens = trained, list[NewToken]()
        self._next = trained.vocabulary + len(earlier.tokens)

    @abstractmethod
    def code(self, item: Item, rows: NDArray[np.int64], weights: NDArray[np.float32]) -> Sequence[int]: ...

    def _new(self, name: str, like: NDArray[np.int64], weights: NDArray[np.float32]) -> int:
        self.tokens.append(NewToken(name, like, weights))
        self._next += 1
        return self._next - 1


class _OwnTokens(_Maker):
    """A token for each item."""

    def code(self, item: Item, rows: NDArray[np.int64], weights: NDArray[np.float32]) -> Sequence[int]:
        return [self._new(f"<item_{self._next}>", self.trained.codes[rows, 0], weights)]


class _Titles(_Maker):
    """The words of titles; a code that is taken, or is longer than the trained ones, ends with a token of its own."""

    def __init__(self, trained: Codes, earlier: LateCodes) -> None:
        super().__init__(trained, earlier)
        names = (*trained.names, *(token.name for token in earlier.tokens))
        self._token = {name: token for token, name in enumerate(names)}
        self._taken = _tuples(trained.codes) | _tuples(earlier.codes)

    def code(self, item: Item, rows: NDArray[np.int64], weights: NDArray[np.float32]) -> Sequence[int]:
        length = self.trained.codes.shape[1]
        words = [f"<word_{piece}>" for piece in pieces_of(item.title.strip() or f"item {item.id}")]
        if len(words) < length:
            known = tuple(self._token.get(word, -1) for word in (*words, END))
            if -1 in known or known not in self._taken:
                return self._as_tokens([*words, END])
        return self._as_tokens([*words[: length - 2], f"<word_[{item.id}]>", END])

    def _as_tokens(self, words: Iterable[str]) -> Sequence[int]:
        nothing = np.zeros(0, np.int64), np.zeros(0, np.float32)
        tokens = []
        for word in words:
            if word not in self._token:
                self._token[word] = self._new(word, *nothing)
            tokens.append(self._token[word])
        self._taken.add(tuple(tokens))
        return tokens


class _Semantic(_Maker):
    """Clusters from coarse to fine; the last token tells the items of a cluster apart."""

    def __init__(self, trained: Codes, earlier: LateCodes) -> None:
        super().__init__(trained, earlier)
        self._codes = [tuple(code) for code in trained.codes.tolist()]
        self._taken = {*self._codes} | _tuples(earlier.codes)
        self._last = np.unique(trained.codes[:, -1]).tolist()
        self._late = [trained.vocabulary + place for place in range(len(earlier.tokens))]
        self._common = [prefix for prefix, _ in Counter(code[:-1] for code in self._codes).most_common()]

    def code(self, item: Item, rows: NDArray[np.int64], weights: NDArray[np.float32]) -> Sequence[int]:
        prefixes, lasts = Counter[Any](), Counter[int]()
        for row, weight in zip(rows.tolist(), weights.tolist(), strict=True):
            prefixes[self._codes[row][:-1]] += weight
            lasts[self._codes[row][-1]] += weight
        # Equal weights go to lower tokens: the order in which items were counted must not decide.
        wanted = sorted(prefixes, key=lambda prefix: (-prefixes[prefix], prefix)) or self._common
        order = sorted([*self._last, *self._late], key=lambda token: (-lasts[token], token))
        for code in self._free(wanted, order):
            self._taken.add(code)
            return code
        like = np.array(sorted(lasts), np.int64)
        letter = self.trained.names[self._last[0]].split("_")[0]
        name = f"{letter}_{len(self._last) + len(self._late)}>"
        token = self._new(name, like, np.array([lasts[each] for each in like.tolist()], np.float32))
        self._late.append(token)
        self._taken.add((*wanted[0], token))
        return (*wanted[0], token)

    def _free(self, prefixes: Iterable[tuple[int, ...]], order: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """Yield the codes that no item has, the most wanted first."""
        codes = ((*prefix, token) for prefix in prefixes for token in order)
        return (code for code in codes if code not in self._taken)


_MAKERS: dict[str, type[_Titles] | type[_Semantic]] = {"title": _Titles, "semantic": _Semantic}


def _tuples(codes: NDArray[np.int64]) -> set[tuple[int, ...]]:
    """Return codes without their padding."""
    return {tuple(token for token in code if token >= 0) for code in codes.tolist()}
