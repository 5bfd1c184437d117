"""What the words of a catalog and of its domain stand for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre_gen.data.catalog import Catalog
from genre_gen.data.filter_expression import MAX_COMPARED
from genre_gen.data.tf_idf import TfIdf
from genre_gen.languages.language import Language
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.languages.scripts import is_unspaced
from genre_gen.query.measures import QuantityVocabulary
from genre_gen.query.parsed import Term
from genre_gen.query.settings import QuerySettings
from genre_gen.query.unsegmented import Segmenter
from genre_gen.query.words import QUOTES, Token, index_terms, pairs_of, phrases, stem_of, stems_of, words_of

CLOSE = 0.8  # similarity from which a known word is offered for an unknown one
DENIALS = ("negations", "without", "exceptions", "not_too", "less")
# The keys of [query] that are lists of words; a word of several kinds is of the first.
LISTS = (
    "similar", "scope_ends", "only", *DENIALS, "conjunctions", "disjunctions", "below", "at_most", "above", "at_least",
    "between", "prepositions", "than", "stop_words",
)  # fmt: skip

_SEVERAL = re.compile(r"(?P<many>\d+(?:\.\d+)?) (?P<unit>\w+)")  # such as 60 minutes

# word endings of comparatives and superlatives, and what the plain word has instead
_DEGREES = (("ier", "y"), ("iest", "y"), ("er", ""), ("est", ""), ("er", "e"), ("est", "e"))


class QueryVocabulary:
    """The words that requests about one catalog may use. What is costly is computed once.

    Attributes:
        catalog: the items.
        grammar: the words that hold requests together.
        language: how the domain speaks; None where it is not known.
        numbers: number field -> its values ``[n_items]``, NaN where not known.
        quantities: the units of these fields.
        longest: words of the longest known phrase.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: QuerySettings,
        language: DomainLanguage | None = None,
        earlier: QueryVocabulary | None = None,
    ) -> None:
        """Collect the words: those of ``[query]`` and English, or those of a domain's language.

        ``earlier`` is the vocabulary of a catalog of which most items are in this one, in the same rows.
        """
        self.catalog, self.language, self._earlier = catalog, language, earlier
        tables = Language.load() if language is None else language.tables
        self.grammar = settings.grammar(tables.query) if language is None else language.grammar
        self._declared_words = settings.words if language is None else language.query
        self.numbers = {name: column for name in catalog.fields if (column := _numbers(catalog, name)) is not None}
        self.quantities = QuantityVocabulary(
            self.numbers, {} if language is None else language.units, tables.quantities
        )
        declared = phrases((phrase, None) for phrase in self._declared_words)
        grammar = phrases((phrase, kind) for kind in LISTS for phrase in getattr(self.grammar, kind))
        self._grammar = {phrase: kinds[0] for phrase, kinds in grammar.items() if phrase not in declared}
        self._terms = self._collect_terms()
        self.longest = max(map(len, (*self._grammar, *self._terms)), default=1)

    def knows(self, word: str) -> bool:
        """Tell whether a word or sign has a meaning."""
        return (word,) in self._terms or (word,) in self._grammar or word in self.quantities.units

    def named(self, words: Sequence[str], title: str, *, quoted: bool) -> tuple[int, ...]:
        """Return the rows that a title means; none where its words mean something else and it is not quoted."""
        stems = tuple(map(stem_of, words))
        taken = stems in self._terms or all((stem,) in self._grammar for stem in stems)
        if taken and not quoted:
            return ()
        return self.catalog.named(title.strip(QUOTES + " ")) or self.catalog.named(title)  # it may begin with a mark

    def positive(self, word: str) -> str | None:
        """Return what a word is the comparative or superlative of, where that means something: funnier, funny."""
        inflected = self.language is None or self.language.tables.inflection == "english"
        for ending, instead in _DEGREES if inflected else ():
            stem = word.casefold().removesuffix(ending) + instead
            if word.casefold().endswith(ending) and (stem,) in self._terms:
                return stem
        return None

    def in_texts(self, word: str) -> tuple[Term, ...]:
        """Return the terms by which a word is found in items' texts; () if it occurs in no text."""
        known = self.texts[0]
        if is_unspaced(word):
            pairs = pairs_of(word.casefold())
            return tuple(Term("word", pair) for pair in pairs) if all(pair in known for pair in pairs) else ()
        return (Term("word", word.casefold()),) if stem_of(word) in known else ()

    def cut(self, token: Token) -> Iterator[Token]:
        """Yield the words of a token of a script without spaces; other tokens are one."""
        return self._segmenter.cut(token) if token.kind == "word" and is_unspaced(token.text) else iter((token,))

    @cached_property
    def _segmenter(self) -> Segmenter:
        """Return what cuts text without spaces into the words that are known here."""
        names = {word for word, *others in (*self._grammar, *self._terms) if not others}
        titles = {word for item in self.catalog for word in words_of(item.title)}
        return Segmenter(filter(is_unspaced, names | titles), lambda word: bool(self.in_texts(word)))

    def closest(self, word: str) -> str:
        """Return the closest phrase that stands for something, in brackets; empty where none is close."""
        written = self._written if len(self._terms) <= MAX_COMPARED else {}
        close = difflib.get_close_matches(stem_of(word), written, n=1, cutoff=CLOSE)
        return f" ({written[close[0]]}?)" if close else ""

    def lookup(self, words: Sequence[str]) -> tuple[int, str, tuple[Term, ...] | None]:
        """Return the longest phrase that words begin with: its length, its grammatical kind or "", its terms.

        No phrase: (1, "", None).
        """
        for length in range(min(self.longest, len(words)), 0, -1):
            phrase = tuple(words[:length])
            if phrase in self._grammar:
                return length, self._grammar[phrase], None
            if phrase in self._terms:
                return length, "", tuple(self._terms[phrase])
        return 1, "", None

    def unit(self, word: str) -> tuple[str, float]:
        """Return the number field that a word is the unit of, or "", and how many units of the field it is."""
        terms = self.lookup([word])[2] or ()
        declared = ((term.field, float(term.value or 1)) for term in terms if term.sense == "near")
        return next(declared, None) or self.quantities.field(word)

    def field_of(self, low: float, high: float) -> str | None:
        """Return the number field of a range (or of one number, twice) without a unit; None where that is not clear."""
        spans = [
            name for name, column in self.numbers.items() if low <= np.nanmax(column) and high >= np.nanmin(column)
        ]
        if len(spans) > 1 and low < high:
            held = {name: ((self.numbers[name] >= low) & (self.numbers[name] <= high)).sum() for name in spans}
            return max(spans, key=held.__getitem__)
        return spans[0] if len(spans) == 1 else None

    @cached_property
    def texts(self) -> tuple[dict[str, int], sparse.csr_matrix]:
        """Return the words with their columns, and the items' TF-IDF vectors."""
        return self._terms_of_texts.columns, self._terms_of_texts.vectors

    @cached_property
    def _terms_of_texts(self) -> TfIdf:
        if self._earlier is None:
            return TfIdf(index_terms(_text(self.catalog, row)) for row in range(len(self.catalog)))
        pairs = enumerate(zip_longest(self._earlier.catalog, self.catalog))
        changed = [row for row, (before, after) in pairs if before is not after]
        return self._earlier._terms_of_texts.changed({row: index_terms(_text(self.catalog, row)) for row in changed})

    @cached_property
    def _written(self) -> dict[str, str]:
        """Return all phrases with a meaning, as people write them, by the phrase and by its stems."""
        labels = (form for name in self.catalog.fields for _, form in self._called(name))
        written = {
            stems_of(phrase): words_of(phrase) for phrase in sorted((*labels, *self.numbers, *self._declared_words))
        }
        taken = {stems: " ".join(words) for stems, words in written.items() if stems in self._terms}
        return {form: words for stems, words in taken.items() for form in (words, " ".join(stems))}

    def _collect_terms(self) -> dict[tuple[str, ...], list[Term]]:
        """Return what phrases stand for: values of fields, number fields by their names, and the domain's words."""
        labels = phrases(
            (form, Term("is", value, name)) for name in self.catalog.fields for value, form in self._called(name)
        )
        terms = {key: list(dict.fromkeys(each)) for key, each in labels.items()}
        for name in self.numbers:
            for called in dict.fromkeys((name, name if self.language is None else self.language.field(name))):
                terms.setdefault(stems_of(called), []).append(Term("near", "", name))
        for phrase, meanings in self._declared_words.items():
            declared = [term for text in meanings for term in self._declared(text, labels)]
            if declared or not meanings:  # a phrase for values that this catalog lacks is not understood
                terms[stems_of(phrase)] = declared
        for word, end, name in self.quantities.ends():
            if stems_of(word) not in self._grammar:
                terms.setdefault(stems_of(word), [Term("low" if end == "low" else "high", "", name)])
        terms.pop((), None)
        return terms

    def _called(self, name: str) -> list[tuple[str, str]]:
        """Return a field's values, each with what it may be called: as in the data, and as in the language."""
        values = sorted(_labels(self.catalog, name))
        spoken = [] if self.language is None else [(value, self.language.label(name, value)) for value in values]
        return list(dict.fromkeys([*((value, value) for value in values), *spoken]))

    def _declared(self, text: str, labels: Mapping[tuple[str, ...], list[Term]]) -> Iterator[Term]:
        """Yield what the domain declares a word to be: a field's end, a unit, a value, or words that texts hold."""
        if text[1:] in self.numbers and text[0] in "+-":
            yield Term("high" if text[0] == "+" else "low", "", text[1:])
        elif text in self.numbers:
            yield Term("near", "", text)
        elif (several := _SEVERAL.fullmatch(text)) and several["unit"] in self.numbers:
            yield Term("near", float(several["many"]), several["unit"])
        elif stems_of(text) in labels:
            yield from labels[stems_of(text)]
        else:
            yield from (term for word in words_of(text) for term in self.in_texts(word))


def _numbers(catalog: Catalog, name: str) -> NDArray[np.float64] | None:
    """Return a field's numbers ``[n_items]``, NaN where not known; None where it holds others or none at all."""
    values = [item.attributes[name] for item in catalog]
    if any(value is not None and not isinstance(value, (int, float)) for value in values):
        return None
    column = np.array([np.nan if value is None else value for value in values], np.float64)
    return None if np.isnan(column).all() else column


def _labels(catalog: Catalog, name: str) -> set[str]:
    values = (item.attributes[name] for item in catalog)
    labels = (value if isinstance(value, tuple) else (value,) for value in values)
    return {label for label in chain.from_iterable(labels) if isinstance(label, str)}


def _text(catalog: Catalog, row: int) -> str:
    """Return all that is known of an item, without the names of the fields, which all items share."""
    item = catalog[row]
    values = [", ".join(value) if isinstance(value, tuple) else value for value in item.attributes.values()]
    return " | ".join(map(str, (item.title, *(value for value in values if value is not None), item.text)))
