"""TitleIndex: find the item that a typed title means, or the closest ones."""

from __future__ import annotations

import difflib
import re
import unicodedata
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

from genre_gen.data.normal_form import folded

_YEAR = re.compile(r"\d{4}")
_ARTICLE_BEHIND = re.compile(
    r"^(.+), (the|an?|l[aeo]s?|l'|un|une|els?|il|gli|i|die|der|das|dem|den|eine?|de|det|het|een|as|os?)$", re.IGNORECASE
)
_ARTICLE_BEFORE = re.compile(r"^(the|an?) ")
_ACCENTS = re.compile("[\u0300-\u036f]")
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_CANDIDATES = 50  # titles that are compared by difflib: those with the most trigrams in common
_CLOSE = 0.5  # titles with at least this ratio of difflib are proposed
_MOST_BRACKETS = 8  # at the end of a title that are read; further ones stay part of the name
_COMPARED = 200  # characters of a title that are compared, which takes time in their square


class TitleIndex:
    """Finds items by title, tolerant of usual omissions and spellings.

    An exact title is found first, regardless of case. Otherwise a title matches without accents, without the year in
    brackets, without the second name in brackets or by that name alone, and with the article in front or left out:
    ``the godfather`` finds "Godfather, The (1972)", and ``Se7en (1995)`` finds "Seven (Se7en) (1995)".
    """

    def __init__(self, titles: Sequence[str]) -> None:
        """Index titles that differ in more than case; a title's position is its row."""
        self._titles = titles
        self._exact = {folded(title): row for row, title in enumerate(titles)}

    def changed(self, titles: Sequence[str], rows: Sequence[int]) -> TitleIndex:
        """Return the index of other titles, of which only those in some ``rows`` differ; rows behind the end are new.

        What was indexed already is copied, which takes a hundredth of the time of a new index.
        """
        other = TitleIndex(())
        other._titles = titles
        gone = {row: self._titles[row] for row in rows if row < len(self._titles)}
        other._exact = dict(self._exact)
        for title in gone.values():
            del other._exact[folded(title)]
        other._exact.update((folded(titles[row]), row) for row in rows)
        if "_named" in self.__dict__:
            names = _moved(self._named, gone, titles, rows, lambda title: set(_names(title)))
            other.__dict__["_named"] = names
        if "_with_trigram" in self.__dict__:
            found = _moved(self._with_trigram, gone, titles, rows, lambda title: _trigrams(_fold(title[:_COMPARED])))
            other.__dict__["_with_trigram"] = found
        return other

    def exact(self, text: str) -> tuple[int, ...]:
        """Return the row whose title equals the text regardless of case and form, or an empty tuple."""
        row = self._exact.get(folded(text.strip()))
        return () if row is None else (row,)

    def named(self, text: str) -> tuple[int, ...]:
        """Return the rows that a text names inexactly: none, one, or several if it is ambiguous."""
        return next((tuple(self._named[name]) for name in _names(text, whole=True) if name in self._named), ())

    def close(self, text: str, n: int = 3) -> list[int]:
        """Return the rows of at most ``n`` titles similar to a text, the closest first."""
        wanted = _fold(text[:_COMPARED])
        shared = Counter(row for trigram in _trigrams(wanted) for row in self._with_trigram.get(trigram, ()))
        scored = []
        for row, _ in shared.most_common(_CANDIDATES):
            title = _fold(self._titles[row][:_COMPARED])
            names = {title, *_names(title)}  # without this, a missing year would count against a short title
            ratio = max(difflib.SequenceMatcher(None, wanted, name).ratio() for name in names)
            inside = bool(wanted) and wanted in title
            if inside or ratio >= _CLOSE:
                scored.append((not inside, -ratio, row))
        return [row for _, _, row in sorted(scored)[:n]]

    @cached_property
    def _named(self) -> Mapping[str, Sequence[int]]:
        """Return the rows of each name that is not itself a title."""
        rows: dict[str, list[int]] = defaultdict(list)
        for row, title in enumerate(self._titles):
            for name in set(_names(title)):
                rows[name].append(row)
        return {name: tuple(named) for name, named in rows.items()}

    @cached_property
    def _with_trigram(self) -> Mapping[str, Sequence[int]]:
        """Return, for each trigram, the rows of the titles that contain it."""
        rows: dict[str, list[int]] = defaultdict(list)
        for row, title in enumerate(self._titles):
            for trigram in _trigrams(_fold(title[:_COMPARED])):
                rows[trigram].append(row)
        return rows


def _moved(
    index: Mapping[str, Sequence[int]],
    gone: Mapping[int, str],
    titles: Sequence[str],
    rows: Sequence[int],
    parts: Callable[[str], set[str]],
) -> dict[str, Sequence[int]]:
    """Return an index from parts of titles to ascending rows, without titles that are gone and with those of rows."""
    other = dict(index)
    for row, title in gone.items():
        for part in parts(title):
            left = [held for held in other[part] if held != row]
            if left:
                other[part] = left
            else:
                del other[part]
    for row in rows:
        for part in parts(titles[row]):
            held = list(other.get(part, ()))
            insort(held, row)
            other[part] = held
    return other


def article_first(title: str) -> str:
    """Move the article to the front: ``Godfather, The (1972)`` -> ``The Godfather (1972)``, also in brackets."""
    name, brackets = _without_brackets(title)
    return " ".join([_article_in_front(name), *(f"({_article_in_front(inside)})" for inside in brackets)])


def _without_brackets(title: str) -> tuple[str, list[str]]:
    """Return a title without the brackets at its end, and what is in them."""
    brackets: list[str] = []
    while title.endswith(")") and len(brackets) < _MOST_BRACKETS:
        before, opening, inside = title.rpartition("(")
        if not opening or ")" in inside[:-1]:
            break
        brackets.insert(0, inside[:-1])
        title = before.rstrip()
    return title, brackets


def _fold(text: str) -> str:
    """Return text without case, accents, typographic quotes and repeated spaces."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text.translate(_QUOTES)))
    return " ".join(unicodedata.normalize("NFC", plain).casefold().split())


def _names(title: str, whole: bool = False) -> Iterator[str]:
    """Yield the folded names of a title; if ``whole``, only names that leave nothing out."""
    title = _fold(title)
    yield title
    title, brackets = _without_brackets(title)
    years = [part for part in brackets if _YEAR.fullmatch(part)]
    others = [part for part in brackets if part not in years]
    year = f" ({years[0]})" if years else ""
    full = " ".join([title, *(f"({part})" for part in others)])
    moved = " ".join([_article_in_front(title), *(f"({part})" for part in others)])
    yield from (full + year, moved + year)
    if whole:
        return
    for name in (full, moved, title, *others):
        without = _ARTICLE_BEFORE.sub("", _ARTICLE_BEHIND.sub(r"\1", name))
        for form in (name, _article_in_front(name), without):
            if form:
                yield from (form, form + year)


def _article_in_front(name: str) -> str:
    parts = _ARTICLE_BEHIND.search(name)
    if not parts:
        return name
    return parts[2] + ("" if parts[2].endswith("'") else " ") + parts[1]


def _trigrams(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[start : start + 3] for start in range(len(padded) - 2)}
