"""A request cut into words and numbers, and words brought to their stems."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from genre_gen.languages.scripts import UNSPACED, is_unspaced

MAX_DIGITS = 12
CURRENCIES = "$€£¥"
QUOTES = "\"'“”„‟‘’«»《》〈〉「」『』"
SIGNS = CURRENCIES + "、"  # signs that are words where a language or domain knows them

_TOKEN = re.compile(
    rf"""(?P<decade>\d0|\d{{3}}0)(?:['’]?s)\b | (?P<number>\d+(?:[.,]\d+)*)
      | (?P<word>[{UNSPACED}]+ | [^\W\d_{UNSPACED}]+(?:['’][^\W\d_{UNSPACED}]+)* | [{SIGNS}])
      | (?P<dash>[-–—~](?=\s*['’]?\d)) | (?P<end>[,.;:!?()\[\]\n。])""",
    re.VERBOSE,
)
_CURRENCY = re.compile(rf"([{CURRENCIES}])\s*(\d[\d.,]*)")  # written in front, read behind, where other units stand


@dataclass(frozen=True)
class Token:
    """A word, number, decade (its first year), dash or end of a clause, and its position in the text."""

    kind: str
    text: str
    start: int
    end: int
    number: float = float("nan")

    @property
    def stem(self) -> str:
        """Return the key of a look-up; empty, which matches nothing, unless it is a word."""
        return stem_of(self.text) if self.kind == "word" else ""


def normal(query: str) -> str:
    """Return a request with full-width and other compatible forms made plain, and currencies behind their numbers."""
    return _CURRENCY.sub(r"\2 \1", unicodedata.normalize("NFKC", query))


def tokens_of(text: str) -> Iterator[Token]:
    """Cut a request into words, numbers and ends of clauses; drop everything else."""
    for match in _TOKEN.finditer(text):
        kind, number = str(match.lastgroup), float("nan")
        if kind in {"number", "decade"}:
            digits = re.sub(r",(?=\d{3}\b)", "", match[kind]).replace(",", ".")
            if len(digits) <= MAX_DIGITS and digits.count(".") <= 1 and digits.isascii():
                number = float(digits)
        yield Token(kind, match[0], *match.span(), number)


def words_of(text: str) -> list[str]:
    """Return the words and numbers of a text, in lower case."""
    return [token.text.casefold() for token in tokens_of(normal(text)) if token.kind in {"word", "number", "decade"}]


def stems_of(text: str) -> tuple[str, ...]:
    """Return the stems of a text's words."""
    return tuple(stem_of(word) for word in words_of(text))


def index_terms(text: str) -> list[str]:
    """Return what a text is found by: the stems of its words; in scripts without spaces, letters two by two."""
    return [term for word in words_of(text) for term in (pairs_of(word) if is_unspaced(word) else [stem_of(word)])]


def pairs_of(word: str) -> list[str]:
    """Return the pairs of letters that stand together in a word; itself, where it has no two."""
    return [word[start : start + 2] for start in range(len(word) - 1)] or [word]


def stem_of(word: str) -> str:
    """Return a word without the ending of its plural (the S-stemmer of Harman 1991), in lower case.

    Its ``movies`` is ``movy``, so ``movie`` is that too.
    """
    word = word.casefold().replace("’", "'").removesuffix("'s")
    if len(word) > 4 and word.endswith("ies") and not word.endswith(("eies", "aies")):  # noqa: PLR2004
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("ie"):  # noqa: PLR2004
        return word[:-2] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):  # noqa: PLR2004
        return word[:-1]
    return word


def phrases(pairs: Iterable[tuple[str, Any]]) -> dict[tuple[str, ...], list[Any]]:
    """Return phrases by the stems of their words; those without a word are left out."""
    by_stems: dict[tuple[str, ...], list[Any]] = {}
    for phrase, meaning in pairs:
        if key := stems_of(phrase):
            by_stems.setdefault(key, []).append(meaning)
    return by_stems
