"""Requests in the order of English words, which :mod:`genre_gen.query.state` follows.

Chinese compares, denies and describes from behind: 1980年以后 is "1980 after", 恐怖片除外 "horror excepted".
The lists ``behind``, ``excluded``, ``attributive`` and ``ranged`` of a language name such words; a language without
them keeps its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from genre_gen.query.parsed import Term
from genre_gen.query.vocabulary import QueryVocabulary
from genre_gen.query.words import Token

NUMBERS = {"number", "decade"}


def in_english_order(tokens: Sequence[Token], vocabulary: QueryVocabulary) -> list[Token]:
    """Return the words of a request, those that stand behind what they lead put in front of it."""
    grammar, ordered = vocabulary.grammar, list(tokens)
    if not (grammar.behind or grammar.excluded or grammar.attributive or grammar.ranged):
        return ordered
    _Order(ordered, vocabulary).put()
    return ordered


class _Order:
    """The words of one request, which are put in order in place."""

    def __init__(self, tokens: list[Token], vocabulary: QueryVocabulary) -> None:
        self.tokens, self.vocabulary, self.grammar = tokens, vocabulary, vocabulary.grammar

    def put(self) -> None:
        for position in range(len(self.tokens)):
            text, before = self.tokens[position].text, self._number_before(position)
            if text in self.grammar.ranged and before is not None and self._kind(position + 1) in NUMBERS:
                self.tokens[position] = replace(self.tokens[position], kind="dash")
        for position in range(len(self.tokens)):
            text, before = self.tokens[position].text, self._number_before(position)
            if text in self.grammar.behind and before is not None:
                self._move(position, before)
            elif text in self.grammar.excluded:
                self._move(position, self._clause(position))
            elif text in self.grammar.than:
                self._compare(position)
            elif text in self.grammar.attributive:
                self._describe(position)

    def _compare(self, position: int) -> None:
        """Put "than 1990 newer" in order; words without meaning may be in between."""
        end = self._number_after(position + 1)
        while end is not None and self._sense(end)[0] == "stop_words":
            end += 1
        if end is not None and any(term.sense in {"low", "high"} for term in self._sense(end)[1]):
            self._move(end, position)

    def _describe(self, position: int) -> None:
        """Put "no of the 90s horror" in order, and end a denial of what describes: "not scary comedies"."""
        clause = self.tokens[self._clause(position) : position]
        if any(token.text in self.grammar.without for token in clause):
            self.tokens[position] = replace(self.tokens[position], text=self.grammar.scope_ends[0])
            return
        begin = self._number_before(position)
        if begin is None or position + 1 >= len(self.tokens):
            return
        kinds = {kind for words in ("below", "at_most", "above", "at_least") for kind in getattr(self.grammar, words)}
        begin -= begin > 0 and self.tokens[begin - 1].text in kinds
        denied = begin > 0 and self.tokens[begin - 1].text in self.grammar.negations
        if denied and self._sense(position + 1)[1]:
            phrase = self.tokens[begin:position]
            self.tokens[begin : position + 2] = [self.tokens[position + 1], self.tokens[position], *phrase]

    def _number_before(self, position: int) -> int | None:
        """Return where the number before a position begins; its unit and the other end of its range belong to it."""
        at = position - 1
        if at > 0 and self.vocabulary.unit(self.tokens[at].stem)[0]:
            at -= 1
        if at < 0 or self._kind(at) not in NUMBERS:
            return None
        if at > 1 and self._kind(at - 1) == "dash":
            return self._number_before(at - 1)
        return at

    def _number_after(self, position: int) -> int | None:
        """Return where the number that begins at a position ends, with its unit."""
        if self._kind(position) not in NUMBERS:
            return None
        end = position + 1
        return end + (end < len(self.tokens) and self.vocabulary.unit(self.tokens[end].stem)[0] != "")

    def _sense(self, position: int) -> tuple[str, tuple[Term, ...]]:
        """Return the grammatical kind of the word at a position, or what it stands for."""
        if position >= len(self.tokens):
            return "", ()
        _, kind, terms = self.vocabulary.lookup([self.tokens[position].stem])
        return kind, terms or ()

    def _clause(self, position: int) -> int:
        """Return where the clause of a position begins."""
        return next((at + 1 for at in range(position - 1, -1, -1) if self._kind(at) == "end"), 0)

    def _kind(self, position: int) -> str:
        return self.tokens[position].kind if position < len(self.tokens) else ""

    def _move(self, origin: int, target: int) -> None:
        self.tokens.insert(target, self.tokens.pop(origin))
