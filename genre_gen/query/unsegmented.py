"""Text without spaces between its words, cut into those that a vocabulary knows.

A segmenter with a language's words would not help: words outside the vocabulary of the catalog have no meaning here
anyway, and words in it must not be split differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from genre_gen.query.words import Token

UNKNOWN = 2.5  # what a letter costs that belongs to no word; a known word costs 1,
IN_TEXTS = 2.0  # and one that only items' texts hold, this
LONGEST_IN_TEXTS = 6  # letters of such a word


class Segmenter:
    """Cuts words of scripts without spaces into known ones: as few as possible, and as few unknown letters."""

    def __init__(self, words: Iterable[str], in_texts: Callable[[str], bool]) -> None:
        """Hold the known words, and a function that tells whether a word occurs in the items' texts."""
        self._words, self._in_texts = {word.casefold() for word in words}, in_texts
        self._longest = max(map(len, self._words), default=1)

    def cut(self, token: Token) -> Iterator[Token]:
        """Yield the words of a token; unknown letters that stand together are one."""
        unknown = 0  # letters before this one
        begin = 0
        for length, known in self._best(token.text):
            if known and unknown:
                yield _part(token, begin - unknown, begin)
                unknown = 0
            if known:
                yield _part(token, begin, begin + length)
            else:
                unknown += length
            begin += length
        if unknown:
            yield _part(token, begin - unknown, begin)

    def _best(self, text: str) -> list[tuple[int, bool]]:
        """Return the cheapest cut of a text: lengths of its pieces and whether each is known; of equals, long first."""
        folded = text.casefold() if len(text.casefold()) == len(text) else text
        rest: list[tuple[float, list[tuple[int, bool]]]] = [(0.0, [])]  # of the text after each letter, last first
        for begin in range(len(folded) - 1, -1, -1):
            options = []
            for length in range(min(self._longest, len(folded) - begin), 0, -1):
                if folded[begin : begin + length] in self._words:
                    options.append((1.0, length, True))
            for length in range(min(LONGEST_IN_TEXTS, len(folded) - begin), 1, -1):
                if self._in_texts(folded[begin : begin + length]):
                    options.append((IN_TEXTS, length, True))
            options.append((UNKNOWN, 1, False))
            costs = [(cost + rest[-length][0], cost, length, known) for cost, length, known in options]
            total, _, length, known = min(costs, key=lambda option: option[0])
            rest.append((total, [(length, known), *rest[-length][1]]))
        return rest[-1][1]


def _part(token: Token, begin: int, end: int) -> Token:
    return replace(token, text=token.text[begin:end], start=token.start + begin, end=token.start + end)
