"""Reading of explanations, in any language: which titles, values, links and numbers each sentence of a text names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from genre_gen.data.catalog import Catalog
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.titles import article_first
from genre_gen.domain import Domain
from genre_gen.explain.facts import pairs_of
from genre_gen.explain.text import plain
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.languages.scripts import UNSPACED, WORD, is_unspaced, made_of

NUMBER = re.compile(rf"(?:(?<![^\W{UNSPACED}])-)?\d+(?:\.\d+)?")
NUMBER_BEFORE = re.compile(r"\d\s+$")
KEY = 3  # characters by which phrases are looked up
END = re.compile(r"[.!?](?=\s|$)|[。！？]")

Meaning = TypeVar("Meaning")
Pair: TypeAlias = tuple[str, str]
"""Attribute and value."""
Link: TypeAlias = tuple[str, bool]
"""Relation of ``[knowledge]``, and whether it is spoken of in the plural."""


@dataclass
class Sentence:
    """What one sentence names.

    Attributes:
        text: the sentence.
        rows: catalog rows of titles, in order.
        values: attribute values as written, and the pairs that each may be.
        links: links as written, what each may be, and the number before it.
        numbers: all others.
        words: the rest; in a script without spaces, letters that stand together are one.
        end_of_word: the end of the latest word.
    """

    text: str = ""
    rows: list[int] = field(default_factory=list)
    values: list[tuple[str, frozenset[Pair]]] = field(default_factory=list)
    links: list[tuple[str, frozenset[Link], float | None]] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    end_of_word: int = -1

    def take_word(self, word: str, position: int) -> int:
        """Note a word, or the next letter of one, at a position of the text; return its length."""
        if is_unspaced(word):
            word = word[0]  # data may begin behind it
        if is_unspaced(word) and self.end_of_word == position:
            self.words[-1] += word
        else:
            self.words.append(word)
        self.end_of_word = position + len(word) if is_unspaced(word) else -1
        return len(word)


class ExplanationReader:
    """Reads explanations about one catalog.

    Attributes:
        pairs: of each item, its attribute values.
        language: how the domain speaks; values and links are read as it calls them.
    """

    def __init__(self, catalog: Catalog, domain: Domain, knowledge: Knowledge | None) -> None:
        """Index titles, values and links."""
        self.language = DomainLanguage.of(domain)
        spoken = {plain(article_first(item.title)): row for row, item in enumerate(catalog)}
        written = {plain(item.title): row for row, item in enumerate(catalog)}
        self._titles = PhraseIndex({**spoken, **written}, exact=True)
        self.pairs = [frozenset(pairs_of(item)) for item in catalog]
        every = frozenset().union(*self.pairs)
        meanings: dict[str, set[Pair]] = defaultdict(set)  # values that differ in case alone are written alike
        called_of = {pair: plain(self.language.label(*pair)) for pair in every}
        for pair, name in called_of.items():
            meanings[name.casefold()].add(pair)
        values = set(called_of.values())
        self._values = PhraseIndex({value: frozenset(meanings[value.casefold()]) for value in values}, exact=False)
        called: dict[str, set[Link]] = defaultdict(set)
        for name in knowledge.relations if knowledge else ():
            singular, plural = self.language.relations[name]
            called[singular].add((name, False))
            called[plural].add((name, True))
        self._links = PhraseIndex({phrase: frozenset(links) for phrase, links in called.items()}, exact=False)

    def read(self, text: str, *, titles_first: bool, words: Collection[str] | None = None) -> Iterator[Sentence]:
        """Yield the sentences of a text, as what they name.

        Args:
            text: the explanation.
            titles_first: titles and values that consist of ``words`` are titles and values, and not words.
            words: everyday words, if any.
        """
        sentence, position, begin = Sentence(), 0, 0
        while position < len(text):
            end = END.match(text, position)
            length = self._take(sentence, text, position, None if titles_first else words)
            position += length or 1
            if end and not length:
                sentence.text, begin = text[begin:position].strip(), position
                yield sentence
                sentence = Sentence()
        sentence.text = text[begin:].strip()
        yield sentence

    def _take(self, sentence: Sentence, text: str, position: int, words: Collection[str] | None) -> int:
        """Record the title, value or number at a position of the text; return its length, 0 if there is nothing."""
        title, value = self._titles.at(text, position), self._values.at(text, position)
        if title and not _everyday(title[0], words):
            sentence.rows.append(title[1])
            return len(title[0])
        if value and not _everyday(value[0], words):
            sentence.values.append(value)
            return len(value[0])
        if link := self._links.at(text, position):
            counted = NUMBER_BEFORE.search(text, 0, position)
            sentence.links.append((*link, sentence.numbers.pop() if counted and sentence.numbers else None))
            return len(link[0])
        if number := NUMBER.match(text, position):
            sentence.numbers.append(float(number[0]))
            return len(number[0])
        if word := WORD.match(text, position):
            return sentence.take_word(word[0], position)
        return 0


def _everyday(phrase: str, words: Collection[str] | None) -> bool:
    """Tell whether a phrase may as well be the explanation's own words."""
    parts = WORD.findall(phrase)
    bare = not NUMBER.search(phrase)
    return bool(parts) and bare and words is not None and all(made_of(part, words) for part in parts)


class PhraseIndex(Generic[Meaning]):
    """Finds the longest of many phrases at a position in a text."""

    def __init__(self, phrases: Mapping[str, Meaning], *, exact: bool) -> None:
        """Index phrases by how they begin; ``exact`` tells upper from lower case."""
        self._fold: Callable[[str], str] = str if exact else str.casefold
        self._by_start: dict[str, list[tuple[int, str, Meaning]]] = {}
        for phrase in sorted(filter(None, phrases), key=len, reverse=True):
            entry = len(phrase), self._fold(phrase), phrases[phrase]
            self._by_start.setdefault(self._fold(phrase[:KEY]), []).append(entry)

    def at(self, text: str, position: int) -> tuple[str, Meaning] | None:
        """Return the longest phrase that stands here between word boundaries, as written, and what it means."""
        for length in range(KEY, 0, -1) if _boundary(text, position) else ():
            for size, folded, meaning in self._by_start.get(self._fold(text[position : position + length]), ()):
                end = position + size
                if self._fold(text[position:end]) == folded and _boundary(text, end):
                    return text[position:end], meaning
        return None


def _boundary(text: str, position: int) -> bool:
    """Tell whether no word extends across a position; scripts without case are written without spaces."""
    return not (0 < position < len(text) and _in_word(text[position - 1]) and _in_word(text[position]))


def _in_word(letter: str) -> bool:
    return letter.isdigit() or letter.lower() != letter.upper()
