"""The parser of requests about one catalog, and how well items match what they ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.data.catalog import Catalog
from genre_gen.data.tf_idf import unit_rows
from genre_gen.errors import UsageError
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.query.numerals import in_digits
from genre_gen.query.order import in_english_order
from genre_gen.query.parsed import ParsedQuery, Term
from genre_gen.query.quantities import in_figures
from genre_gen.query.settings import QuerySettings
from genre_gen.query.state import ParserState
from genre_gen.query.vocabulary import QueryVocabulary
from genre_gen.query.words import SIGNS, normal, stem_of, tokens_of

MAX_LENGTH = 500

Similarity = Callable[[int], NDArray[np.floating[Any]]]
"""From a catalog row to how similar every item is to that one: ``[n_items]``, 0 to 1."""


class QueryParser:
    """Parses requests about one catalog, and scores items by what they ask for.

    Attributes:
        vocabulary: the words that it knows.
        matcher: matches items with terms.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: QuerySettings | None = None,
        similarity: Similarity | None = None,
        language: DomainLanguage | None = None,
        earlier: QueryParser | None = None,
    ) -> None:
        """Collect the words of the catalog and of ``[query]``; ``similarity`` tells more of it than texts can.

        Without a domain's ``language``, the words are those of ``settings`` and of English. ``earlier`` is the parser
        of a catalog of which most items are in this one, in the same rows.
        """
        known = None if earlier is None else earlier.vocabulary
        self.vocabulary: QueryVocabulary = QueryVocabulary(catalog, settings or QuerySettings(), language, known)
        self.matcher = TermMatcher(self.vocabulary, similarity)

    def parse(self, query: str) -> ParsedQuery:
        """Return what a request asks for.

        Raises:
            UsageError: it is empty, or longer than ``MAX_LENGTH`` characters.
        """
        if not query.strip():
            raise UsageError("the query is empty; describe the items, or omit it")
        if len(query) > MAX_LENGTH:
            raise UsageError(f"the query has {len(query):,} characters; at most {MAX_LENGTH} are read; shorten it")
        vocabulary = self.vocabulary
        text = in_digits(normal(query), vocabulary.grammar)
        words = (word for token in tokens_of(text) for word in vocabulary.cut(token))
        tokens = [token for token in words if token.text not in SIGNS or vocabulary.knows(token.text)]
        tokens = in_figures(tokens, vocabulary.quantities, vocabulary.grammar.conjunctions)
        return ParserState(vocabulary, text, in_english_order(tokens, vocabulary)).parse()

    def score(self, parsed: ParsedQuery) -> NDArray[np.float32] | None:
        """Return how well items match the preferences; see :meth:`TermMatcher.score`."""
        return self.matcher.score(parsed)


class TermMatcher:
    """Matches items with terms."""

    def __init__(self, vocabulary: QueryVocabulary, similarity: Similarity | None = None) -> None:
        """Hold the vocabulary and, where something else than texts can tell, what tells which items are similar."""
        self._vocabulary, self._catalog, self._similarity = vocabulary, vocabulary.catalog, similarity
        self.similar_to = lru_cache(64)(self._compute_similar)

    def score(self, parsed: ParsedQuery) -> NDArray[np.float32] | None:
        """Return how well items match the preferences, float32 ``[n_items]`` up to 1; None without preferences."""
        if not parsed.preferences:
            return None
        total = np.zeros(len(self._catalog))
        for preference in parsed.preferences:
            matches = np.max([self.match(term) for term in preference.terms], axis=0)
            total += -matches if preference.denied else matches
        return (total / len(parsed.preferences)).astype(np.float32)

    def match(self, term: Term) -> NDArray[np.float64]:
        """Return how well each item matches a term: ``[n_items]``, 0 to 1; 0 where that is not known."""
        if term.sense == "word":
            words, vectors = self._vocabulary.texts
            column = vectors[:, [words[stem_of(str(term.value))]]].toarray().ravel()
            return column / column.max()
        if term.sense == "item":
            return self.similar_to(self._catalog.named(str(term.value))[0])
        if term.sense == "is":
            return self._catalog.where(f"{term.field} == {term.value!r}").astype(np.float64)
        values = self._vocabulary.numbers[term.field]
        ascending = np.sort(values[~np.isnan(values)])
        rank = _rank(ascending, values)
        if term.sense == "near":
            matches = 1 - np.abs(rank - _rank(ascending, np.array([float(term.value)])))
        else:
            matches = rank if term.sense == "high" else 1 - rank
        return np.where(np.isnan(values), 0.0, matches)

    def _compute_similar(self, row: int) -> NDArray[np.float64]:
        """Return how similar items are to the one in ``row``: ``[n_items]``, 1 for the most similar and for itself."""
        vectors = self._word_vectors
        parts = [np.asarray((vectors @ vectors[[row]].T).todense(), np.float64).ravel()]
        if self._similarity is not None:
            parts.append(np.asarray(self._similarity(row), np.float64))
        total = np.zeros(len(self._catalog))
        for part in parts:
            others = np.delete(part, row)
            total += part / max(float(others.max(initial=0.0)), 1e-12)
        total[row] = 0.0
        total /= max(float(total.max()), 1e-12)
        total[row] = 1.0
        return total

    @cached_property
    def _word_vectors(self) -> sparse.csr_matrix:
        """Return the TF-IDF vectors without numbers: two items of one year are not more similar for that."""
        words, vectors = self._vocabulary.texts
        return unit_rows(vectors[:, sorted(column for word, column in words.items() if not word.isdigit())])


def _rank(ascending: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of the sorted numbers is smaller, those equal counting half."""
    left, right = (np.searchsorted(ascending, values, side) for side in ("left", "right"))  # type: ignore[call-overload]
    return (left + right) / (2 * len(ascending))
