"""What the words of a catalog and of its domain stand for, and how far items are what is meant."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.filter_expression import MAX_COMPARED
from genre_gen.domain import QuerySettings
from genre_gen.errors import UsageError
from genre_gen.query.reading import GRAMMAR, QUOTES, Reading
from genre_gen.query.understood import Meaning, ParsedQuery
from genre_gen.query.words import CURRENCIES, normal, phrases, stem_of, stems_of, tokens_of, words_of

MAX_LENGTH = 500
CLOSE = 0.8  # likeness from which a known word is offered for an unknown one

# word endings of comparatives and superlatives, and what the plain word has instead
_DEGREES = (("ier", "y"), ("iest", "y"), ("er", ""), ("est", ""), ("er", "e"), ("est", "e"))


class QueryReader:
    """Reads requests about one catalog. What is costly is done once."""

    def __init__(
        self,
        catalog: Catalog,
        settings: QuerySettings | None = None,
        likeness: Callable[[int], NDArray[np.floating[Any]]] | None = None,
    ) -> None:
        """Collect the words.

        Args:
            catalog: the items.
            settings: ``[query]`` of the domain.
            likeness: from a catalog row to how near every item is to that one, ``[n_items]``, 0 to 1, where something
                else than texts can tell.
        """
        self.catalog, self.settings, self._likeness = catalog, settings or QuerySettings(), likeness
        self.near = lru_cache(64)(self._near)
        self.numbers = {name: column for name in catalog.fields if (column := _numbers(catalog, name)) is not None}
        own = phrases((phrase, None) for phrase in self.settings.words)
        grammar = phrases((phrase, kind) for kind in GRAMMAR for phrase in getattr(self.settings, kind))
        self._grammar = {phrase: kinds[0] for phrase, kinds in grammar.items() if phrase not in own}
        self._meant = self._vocabulary()
        self.longest = max(map(len, (*self._grammar, *self._meant)), default=1)

    def understand(self, query: str) -> ParsedQuery:
        """Read a request.

        Raises:
            UsageError: it is empty, or longer than ``MAX_LENGTH`` characters.
        """
        if not query.strip():
            raise UsageError("the query is empty; say what it should be like, or leave it out")
        if len(query) > MAX_LENGTH:
            raise UsageError(f"the query has {len(query):,} characters; at most {MAX_LENGTH} are read; shorten it")
        text = normal(query)
        known = [token for token in tokens_of(text) if token.text not in CURRENCIES or (token.text,) in self._meant]
        return Reading(self, text, known).result()

    def score(self, understood: ParsedQuery) -> NDArray[np.float32] | None:
        """Return how far items fulfil the soft wishes, float32 ``[n_items]`` up to 1; None where there are none."""
        if not understood.wishes:
            return None
        total = np.zeros(len(self.catalog))
        for wish in understood.wishes:
            total += (-1 if wish.denied else 1) * np.max([self.degree(one) for one in wish.meanings], axis=0)
        return (total / len(understood.wishes)).astype(np.float32)

    def degree(self, meaning: Meaning) -> NDArray[np.float64]:
        """Return how far each item is what is meant: ``[n_items]``, 0 to 1; 0 where it is not known."""
        if meaning.sense == "word":
            vectorizer, vectors = self._texts
            column = vectors[:, [vectorizer.vocabulary_[stem_of(str(meaning.value))]]].toarray().ravel()
            return column / column.max()
        if meaning.sense == "item":
            return self.near(self.catalog.named(str(meaning.value))[0])
        if meaning.sense == "is":
            return self.catalog.where(f"{meaning.field} == {meaning.value!r}").astype(np.float64)
        values = self.numbers[meaning.field]
        known = np.sort(values[~np.isnan(values)])
        rank = _rank(known, values)
        if meaning.sense == "near":
            fulfilled = 1 - np.abs(rank - _rank(known, np.array([float(meaning.value)])))
        else:
            fulfilled = rank if meaning.sense == "high" else 1 - rank
        return np.where(np.isnan(values), 0.0, fulfilled)

    def _near(self, row: int) -> NDArray[np.float64]:
        """Return how near items are to the one in ``row``: ``[n_items]``, 0 to 1 for the nearest, and 1 for itself."""
        vectors = self._worded
        parts = [np.asarray((vectors @ vectors[[row]].T).todense(), np.float64).ravel()]
        if self._likeness is not None:
            parts.append(np.asarray(self._likeness(row), np.float64))
        total = np.zeros(len(self.catalog))
        for part in parts:
            others = np.delete(part, row)
            total += part / max(float(others.max(initial=0.0)), 1e-12)
        total[row] = 0.0
        total /= max(float(total.max()), 1e-12)
        total[row] = 1.0
        return total

    def named(self, words: Sequence[str], title: str, *, quoted: bool) -> tuple[int, ...]:
        """Return the rows that a title means; none where its words mean something else and it is not quoted."""
        stems = tuple(map(stem_of, words))
        own = stems in self._meant or all((stem,) in self._grammar for stem in stems)
        if own and not quoted:
            return ()
        return self.catalog.named(title.strip(QUOTES + " ")) or self.catalog.named(title)  # it may begin with a mark

    def positive(self, word: str) -> str | None:
        """Return what a word is the comparative or superlative of, where that means something: funnier, funny."""
        for ending, instead in _DEGREES:
            stem = word.casefold().removesuffix(ending) + instead
            if word.casefold().endswith(ending) and (stem,) in self._meant:
                return stem
        return None

    def knows(self, word: str) -> bool:
        """Tell whether a word stands in any item's text."""
        return stem_of(word) in self._texts[0].vocabulary_

    def closest(self, word: str) -> str:
        """Return the closest phrase that stands for something, in brackets; empty where none is close."""
        known = self._written if len(self._meant) <= MAX_COMPARED else {}
        close = difflib.get_close_matches(stem_of(word), known, n=1, cutoff=CLOSE)
        return f" ({known[close[0]]}?)" if close else ""

    def lookup(self, words: Sequence[str]) -> tuple[int, str, tuple[Meaning, ...] | None]:
        """Return the longest phrase that words begin with: its length, its grammatical kind or "", its meanings.

        No phrase: (1, "", None).
        """
        for length in range(min(self.longest, len(words)), 0, -1):
            phrase = tuple(words[:length])
            if phrase in self._grammar:
                return length, self._grammar[phrase], None
            if phrase in self._meant:
                return length, "", tuple(self._meant[phrase])
        return 1, "", None

    def field_of(self, low: float, high: float) -> str | None:
        """Return the number field that numbers without a unit are of; None where that is not clear.

        Args:
            low: of what is asked for.
            high: of what is asked for; the same for one number.
        """
        held = {name: int(((column >= low) & (column <= high)).sum()) for name, column in self.numbers.items()}
        spans = [
            name for name, column in self.numbers.items() if low <= np.nanmax(column) and high >= np.nanmin(column)
        ]
        if len(spans) > 1 and low < high:
            spans = [max(spans, key=held.__getitem__)]
        return spans[0] if len(spans) == 1 else None

    @cached_property
    def _written(self) -> dict[str, str]:
        """Return what stands for something as people write it, by that and by its stems."""
        labels = (value for name in self.catalog.fields for value in _labels(self.catalog, name))
        said = sorted((*labels, *self.numbers, *self.settings.words))
        written = {stems_of(phrase): " ".join(words_of(phrase)) for phrase in said}
        known = {stems: words for stems, words in written.items() if stems in self._meant}
        return {form: words for stems, words in known.items() for form in (words, " ".join(stems))}

    def _vocabulary(self) -> dict[tuple[str, ...], list[Meaning]]:
        """Return what phrases stand for: values of fields, number fields by their names, and the domain's words."""
        labels = phrases(
            (value, Meaning("is", value, name))
            for name in self.catalog.fields
            for value in sorted(_labels(self.catalog, name))
        )
        known = {key: list(meanings) for key, meanings in labels.items()}
        for name in self.numbers:
            known.setdefault(stems_of(name), []).append(Meaning("near", "", name))
        for phrase, meanings in self.settings.words.items():
            found = [one for text in meanings for one in self._meanings(text, labels)]
            if found or not meanings:  # what stands for nothing that this catalog has is not understood
                known[stems_of(phrase)] = found
        known.pop((), None)
        return known

    def _meanings(self, text: str, labels: Mapping[tuple[str, ...], list[Meaning]]) -> Iterator[Meaning]:
        """Yield what a meaning of the domain's words is: a field's end, a unit, a value, or words that texts hold."""
        if text[1:] in self.numbers and text[0] in "+-":
            yield Meaning("high" if text[0] == "+" else "low", "", text[1:])
        elif text in self.numbers:
            yield Meaning("near", "", text)
        elif stems_of(text) in labels:
            yield from labels[stems_of(text)]
        else:
            yield from (Meaning("word", word) for word in words_of(text) if self.knows(word))

    @cached_property
    def _worded(self) -> Any:
        """Return the TF-IDF vectors without numbers: of one year, two items are not more alike."""
        from sklearn.preprocessing import normalize

        vectorizer, vectors = self._texts
        words = [column for word, column in vectorizer.vocabulary_.items() if not word.isdigit()]
        worded = vectors[:, sorted(words)]
        return normalize(worded) if words else worded  # scikit-learn refuses a matrix without columns

    @cached_property
    def _texts(self) -> tuple[Any, Any]:
        """Return a fitted vectorizer and the items' TF-IDF vectors."""
        from scipy import sparse
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(analyzer=stems_of, sublinear_tf=True)
        try:
            return vectorizer, vectorizer.fit_transform([_text(self.catalog, row) for row in range(len(self.catalog))])
        except ValueError:  # no text has a word
            vectorizer.vocabulary_ = {}
            return vectorizer, sparse.csr_matrix((len(self.catalog), 0))


def _numbers(catalog: Catalog, name: str) -> NDArray[np.float64] | None:
    """Return a field's numbers ``[n_items]``, NaN where not known; None where it holds others or none at all."""
    values = [item.attributes[name] for item in catalog]
    if any(value is not None and not isinstance(value, (int, float)) for value in values):
        return None
    column = np.array([np.nan if value is None else value for value in values], np.float64)
    return None if np.isnan(column).all() else column


def _labels(catalog: Catalog, name: str) -> set[str]:
    values = (item.attributes[name] for item in catalog)
    return {
        label
        for value in values
        for label in (value if isinstance(value, tuple) else (value,))
        if isinstance(label, str)
    }


def _text(catalog: Catalog, row: int) -> str:
    """Return all that is said of an item, without the names of the fields, which all items share."""
    item = catalog[row]
    values = [", ".join(value) if isinstance(value, tuple) else value for value in item.attributes.values()]
    return " | ".join(map(str, (item.title, *(value for value in values if value is not None), item.text)))


def _rank(known: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of the known numbers is smaller, those equal counting half."""
    left, right = (np.searchsorted(known, values, side) for side in ("left", "right"))  # type: ignore[call-overload]
    return (left + right) / (2 * len(known))
