"""Phrases found in a text: the longest of many at a position, between word boundaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

Meaning = TypeVar("Meaning")
KEY = 3  # characters by which phrases are looked up


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
    """Tell whether no word goes on across a position; scripts without case are written without spaces."""
    return not (0 < position < len(text) and _in_word(text[position - 1]) and _in_word(text[position]))


def _in_word(letter: str) -> bool:
    return letter.isdigit() or letter.lower() != letter.upper()
