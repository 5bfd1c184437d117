"""The parser of requests about one catalog."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.errors import UsageError
from genre_gen.query.matching import Similarity, TermMatcher
from genre_gen.query.parsed import ParsedQuery
from genre_gen.query.settings import QuerySettings
from genre_gen.query.state import ParserState
from genre_gen.query.vocabulary import QueryVocabulary
from genre_gen.query.words import CURRENCIES, normal, tokens_of

MAX_LENGTH = 500


class QueryParser:
    """Parses requests about one catalog, and scores items by what they ask for.

    Attributes:
        vocabulary: the words that it knows.
        matcher: matches items with terms.
    """

    def __init__(
        self, catalog: Catalog, settings: QuerySettings | None = None, similarity: Similarity | None = None
    ) -> None:
        """Collect the words of the catalog and of ``[query]``; ``similarity`` tells more of it than texts can."""
        self.vocabulary = QueryVocabulary(catalog, settings or QuerySettings())
        self.matcher = TermMatcher(self.vocabulary, similarity)

    def parse(self, query: str) -> ParsedQuery:
        """Return what a request asks for.

        Raises:
            UsageError: it is empty, or longer than ``MAX_LENGTH`` characters.
        """
        if not query.strip():
            raise UsageError("the query is empty; say what it should be like, or leave it out")
        if len(query) > MAX_LENGTH:
            raise UsageError(f"the query has {len(query):,} characters; at most {MAX_LENGTH} are read; shorten it")
        text = normal(query)
        tokens = [
            token for token in tokens_of(text) if token.text not in CURRENCIES or (token.text,) in self.vocabulary
        ]
        return ParserState(self.vocabulary, text, tokens).parse()

    def score(self, parsed: ParsedQuery) -> NDArray[np.float32] | None:
        """Return how well items match the preferences; see :meth:`TermMatcher.score`."""
        return self.matcher.score(parsed)
