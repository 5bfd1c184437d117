"""``[query]`` of ``domain.toml``: what the words of requests in free text mean."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genre_gen.settings import NamesOrNone, Settings


class QuerySettings(Settings):
    """What the words of a request in free text mean, see :mod:`genre_gen.query`; the defaults are English.

    ``words`` says what a word or phrase stands for: a value of a field, a number field (a unit: ``euros = "price"``),
    the low or high end of one (``cheap = "-price"``), other words, or nothing (``[]``). The other lists are the words
    that hold a request together.
    """

    weight: Annotated[float, Field(ge=0)] = 2.0
    words: dict[str, NamesOrNone] = Field(default_factory=dict)
    # fmt: off
    negations: tuple[str, ...] = (
        "no", "not", "nor", "nothing", "none", "never", "non", "neither", "don't", "dont", "doesn't", "isn't", "aren't",
        "can't", "cannot", "shouldn't", "avoid", "exclude", "i hate", "i dislike", "instead of", "rather than",
        "tired of", "sick of", "enough of", "not in the mood for", "don't care for", "no need for", "not up for",
    )
    without: tuple[str, ...] = ("without",)
    exceptions: tuple[str, ...] = (
        "except", "except for", "excluding", "other than", "apart from", "aside from", "anything but", "everything but",
        "all but",
    )
    not_too: tuple[str, ...] = (
        "not too", "not very", "not so", "not that", "not overly", "nothing too", "nothing very", "never too",
        "isn't too", "isn't very",
    )
    less: tuple[str, ...] = ("less", "fewer")
    only: tuple[str, ...] = ("only", "just", "must be", "nothing but", "none but")
    scope_ends: tuple[str, ...] = (
        "but", "instead", "rather", "with", "please", "something", "for", "more", "some", "want", "need",
        "give", "show", "prefer", "preferably", "ideally", "maybe", "perhaps", "though", "yet", "and is", "and are",
        "and has", "and have", "and that",
    )
    conjunctions: tuple[str, ...] = ("and", "as well as")
    disjunctions: tuple[str, ...] = ("or",)
    below: tuple[str, ...] = ("under", "below", "before", "less than", "fewer than", "earlier than")
    at_most: tuple[str, ...] = ("at most", "up to", "until", "no more than", "not more than", "maximum", "max")
    above: tuple[str, ...] = ("over", "above", "after", "more than", "later than")
    at_least: tuple[str, ...] = ("at least", "since", "no less than", "not less than", "minimum", "min")
    between: tuple[str, ...] = ("between", "from")
    prepositions: tuple[str, ...] = ("about", "around", "in", "on", "at", "by")
    than: tuple[str, ...] = ("than",)
    similar: tuple[str, ...] = ("like", "similar to", "in the style of", "in the vein of", "reminiscent of")
    stop_words: tuple[str, ...] = (
        "a", "an", "the", "this", "that", "these", "those", "it", "its", "is", "are", "be", "was", "were", "s", "t",
        "i", "me", "my", "mine", "we", "us", "our", "you", "your", "he", "she", "his", "her", "they", "them", "their",
        "of", "to", "as", "if", "so", "all", "any", "anything", "most", "very", "too", "really", "quite", "much", "bit",
        "little", "kind", "sort", "would", "would love", "find", "recommend", "suggest", "look", "can", "could",
        "should", "do", "does", "have", "has", "get", "one", "ones", "thing", "things", "looking", "not only",
        "not just", "not necessarily", "don't mind", "why not",
    )
    # fmt: on
