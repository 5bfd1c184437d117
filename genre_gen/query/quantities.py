"""Quantities written in words or in several parts: two hours, 1h30, an hour and a half, the nineties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from genre_gen.query.measures import QuantityVocabulary
from genre_gen.query.words import Token


def in_figures(tokens: Sequence[Token], quantities: QuantityVocabulary, joins: Sequence[str]) -> list[Token]:
    """Return a request with each quantity as one number and its unit; ``joins`` are words for "and".

    A word counts as a number only in front of a unit, so titles such as Seven stay.
    """
    reader, found = _Quantities(list(tokens), quantities, joins), list[Token]()
    position = 0
    while position < len(tokens):
        taken, read = reader.read(position)
        found += read or [tokens[position]]
        position += taken or 1
    return found


class _Quantities:
    def __init__(self, tokens: list[Token], quantities: QuantityVocabulary, joins: Sequence[str]) -> None:
        self.tokens, self.quantities, self.joins = tokens, quantities, joins
        self.words = quantities.words

    def read(self, begin: int) -> tuple[int, list[Token]]:
        """Return how many tokens from here are a quantity, and what they are read as; 0 if they are none."""
        decade = self._decade(begin)
        if decade is not None:
            return 1, [decade]
        number, position = self._number(begin)
        unit = self._unit(position)
        if number is None or not unit:
            return 0, []
        behind = self.tokens[position]
        end, further = self._further(position + 1, behind)
        total = number + further
        if end == position + 1 and self.tokens[begin].kind == "number":
            return 0, []  # as it is written
        first, last = self.tokens[begin], self.tokens[end - 1]
        return end - begin, [
            Token("number", f"{total:g}", first.start, first.end, total), replace(behind, end=last.end),
        ]  # fmt: skip

    def _decade(self, position: int) -> Token | None:
        token = self.tokens[position]
        word = token.text.casefold()
        if token.kind != "word" or word not in self.words.decades:
            return None
        return replace(token, kind="decade", number=20.0 + 10 * self.words.decades.index(word))

    def _number(self, begin: int) -> tuple[float | None, int]:
        """Return the number that begins here, and the position behind it; None if there is none."""
        token = self.tokens[begin]
        word, following = token.text.casefold(), begin + 1
        if token.kind == "number":
            return token.number, following
        if word in self.words.half:  # half an hour
            return 0.5, following + (self._text(following) in self.words.one)
        if word in self.words.one and self.quantities.seconds(self._stem(following)):
            return 1.0, following
        if word in self.words.numbers:
            return float(self.words.numbers.index(word)), following
        return None, begin

    def _unit(self, position: int) -> bool:
        return self._stem(position) in self.quantities.units

    def _further(self, position: int, unit: Token) -> tuple[int, float]:
        """Return the end of a quantity of time, and what follows its unit, in that unit: 1 h 30, an hour and a half."""
        whole = self.quantities.seconds(unit.stem)
        if whole is None:
            return position, 0.0
        after = position + (self._text(position) in self.joins)
        if after > position and self._text(after) in self.words.one and self._text(after + 1) in self.words.half:
            return after + 2, 0.5
        if after >= len(self.tokens) or self.tokens[after].kind != "number":
            return position, 0.0
        part = self.quantities.seconds(self._stem(after + 1))
        if part is not None and part < whole:
            return after + 2, self.tokens[after].number * part / whole
        adjacent = self.tokens[after].start == unit.end  # 1h30
        return (after + 1, self.tokens[after].number / 60) if adjacent and after == position else (position, 0.0)

    def _text(self, position: int) -> str:
        return self.tokens[position].text.casefold() if position < len(self.tokens) else ""

    def _stem(self, position: int) -> str:
        return self.tokens[position].stem if position < len(self.tokens) else ""
