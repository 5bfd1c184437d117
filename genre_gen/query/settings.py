"""``[query]`` of ``domain.toml``: what the words of requests in free text mean."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from genre_gen.settings import NamesOrNone, Settings

Words: TypeAlias = tuple[str, ...]


class GrammarWords(Settings):
    """The words that hold a request together, in one language; ``catalogs/README.md`` says what each list does.

    Those from ``behind`` on are for languages in which what compares, denies or describes stands elsewhere than in
    English, see :mod:`genre_gen.query.order`.
    """

    negations: Words
    without: Words
    exceptions: Words
    not_too: Words
    less: Words
    only: Words
    scope_ends: Words
    conjunctions: Words
    disjunctions: Words
    below: Words
    at_most: Words
    above: Words
    at_least: Words
    between: Words
    prepositions: Words
    than: Words
    similar: Words
    stop_words: Words
    behind: Words = ()
    excluded: Words = ()
    attributive: Words = ()
    decades: Words = ()
    centuries: Words = ()
    last_century: Words = ()
    counted: Words = ()
    ranged: Words = ()


class QuantityWords(Settings):
    """Words of quantities in one language; see :mod:`genre_gen.query.measures` for the names of units and kinds.

    Attributes:
        units: unit -> its words, such as ``hour = ["hour", "hr", "h"]``.
        numbers: words for 0, 1, 2 and so on.
        one, half: words that are 1 or a half in front of a unit.
        decades: words for the twenties, thirties and so on.
        low, high: kind of a field, such as price -> words for its ends, such as cheap.
    """

    units: dict[str, Words] = Field(default_factory=dict)
    numbers: Words = ()
    one: Words = ()
    half: Words = ()
    decades: Words = ()
    low: dict[str, Words] = Field(default_factory=dict)
    high: dict[str, Words] = Field(default_factory=dict)


class QuerySettings(Settings):
    """What the words of a request in free text mean, see :mod:`genre_gen.query`.

    ``words`` says what a word or phrase stands for: a value of a field, a number field (a unit: ``euros = "price"``),
    several of a unit (``hours = "60 minutes"``), the low or high end of one (``cheap = "-price"``), other words, or
    nothing (``[]``). The other lists are those of :class:`GrammarWords`; None for those of the domain's language.
    """

    weight: Annotated[float, Field(ge=0)] = 2.0
    words: dict[str, NamesOrNone] = Field(default_factory=dict)
    negations: Words | None = None
    without: Words | None = None
    exceptions: Words | None = None
    not_too: Words | None = None
    less: Words | None = None
    only: Words | None = None
    scope_ends: Words | None = None
    conjunctions: Words | None = None
    disjunctions: Words | None = None
    below: Words | None = None
    at_most: Words | None = None
    above: Words | None = None
    at_least: Words | None = None
    between: Words | None = None
    prepositions: Words | None = None
    than: Words | None = None
    similar: Words | None = None
    stop_words: Words | None = None
    behind: Words | None = None
    excluded: Words | None = None
    attributive: Words | None = None
    decades: Words | None = None
    centuries: Words | None = None
    last_century: Words | None = None
    counted: Words | None = None
    ranged: Words | None = None

    def grammar(self, usual: GrammarWords) -> GrammarWords:
        """Return a language's words, those replaced that are given here."""
        given = {name: getattr(self, name) for name in GrammarWords.model_fields}
        return usual.model_copy(update={name: words for name, words in given.items() if words is not None})
