"""What a request was parsed to: terms, preferences, and conditions of :mod:`genre_gen.data.filter_expression`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, TypeAlias

from genre_gen.languages.language import Language, ParsedWords, put
from genre_gen.languages.resolved import DomainLanguage

Sense: TypeAlias = Literal["is", "low", "high", "near", "word", "item"]


@dataclass(frozen=True)
class Term:
    """What a word stands for.

    Attributes:
        sense: the field ``is`` the value (or holds it), its number is ``low``, ``high`` or ``near`` the value; or a
            ``word`` to look for in the item's text; or it is similar to the ``item``.
        value: label, number, word or title.
        field: empty for a word and an item.
    """

    sense: Sense
    value: str | float = ""
    field: str = ""

    def __str__(self) -> str:
        """Return it for people, in English."""
        return self.said()

    def said(self, language: DomainLanguage | None = None) -> str:
        """Return it for people; by default in English."""
        words, field = _words(language), self.field
        value = f"{self.value:g}" if isinstance(self.value, float) else self.value
        if language is not None:
            field, value = language.field(self.field), language.label(self.field, value)
        if self.sense == "item":
            return put(words.like, value)
        sense = getattr(words, self.sense) if self.sense in {"low", "high", "near"} else ""
        return " ".join(part for part in (field, sense, value) if part)


@dataclass(frozen=True)
class Preference:
    """Something soft: items that match it score higher.

    Attributes:
        words: the request's own words.
        terms: an item matches any of them.
        denied: items that match score lower instead.
    """

    words: str
    terms: tuple[Term, ...]
    denied: bool = False

    def __str__(self) -> str:
        """Return it for people, in English."""
        return self.said()

    def said(self, language: DomainLanguage | None = None) -> str:
        """Return it for people; by default in English."""
        how = _words(language)
        words = [str(term.value) for term in self.terms if term.sense == "word"]
        shown = [term.said(language) for term in self.terms if term.sense != "word"]
        shown += [put(how.words if len(words) > 1 else how.word, how.list.join(words))] if words else []
        text = how.either.join(shown)
        text = text if self.words.casefold() in text.casefold() else text + put(how.asked, self.words)
        return put(how.denied, text) if self.denied else text


@dataclass(frozen=True)
class ParsedQuery:
    """What a request was parsed to.

    Attributes:
        where: hard conditions, an expression of :mod:`genre_gen.data.filter_expression`; None without conditions.
        preferences: soft ones, in order.
        unknown: words that mean nothing here, with the closest known one.
        language: in which it is told back; None for English.
    """

    where: str | None = None
    preferences: tuple[Preference, ...] = ()
    unknown: tuple[str, ...] = ()
    language: DomainLanguage | None = field(default=None, compare=False, repr=False)

    @property
    def items(self) -> tuple[str, ...]:
        """Return the titles of the items that were named, which are known to the user and so not asked for."""
        titles = [
            str(term.value) for preference in self.preferences for term in preference.terms if term.sense == "item"
        ]
        return tuple(dict.fromkeys(titles))

    def __bool__(self) -> bool:
        """Tell whether anything was understood."""
        return self.where is not None or bool(self.preferences)

    def __str__(self) -> str:
        """Return it for people, in one line."""
        how = _words(self.language)
        told = how.list.join(preference.said(self.language) for preference in self.preferences)
        parts = [
            put(how.only, self.where) if self.where else "",
            put(how.rather, told) if self.preferences else "",
            put(how.unknown, how.list.join(self.unknown)) if self.unknown else "",
        ]
        return how.parts.join(part for part in parts if part) or how.nothing

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        return {
            "where": self.where,
            "preferences": [preference.said(self.language) for preference in self.preferences],
            "unknown": list(self.unknown),
        }


def _words(language: DomainLanguage | None) -> ParsedWords:
    return (Language.load() if language is None else language.tables).parsed


def by_field(labels: Iterable[Term]) -> dict[str, list[str]]:
    """Return values by field, each once."""
    values: dict[str, list[str]] = {}
    for term in dict.fromkeys(labels):
        values.setdefault(term.field, []).append(str(term.value))
    return values


def merge_by_field(phrases: Iterable[tuple[Term, ...]]) -> list[list[Term]]:
    """Return the labels of phrases, those that have a field in common as one list: "only comedies or war"."""
    groups: list[list[Term]] = []
    for labels in phrases:
        names = {term.field for term in labels}
        joined = [group for group in groups if names & {term.field for term in group}]
        groups = [group for group in groups if group not in joined] + [[*chain(*joined), *labels]]
    return groups


def any_of(labels: Iterable[Term]) -> str:
    """Return the condition that an item has any of the labels."""
    return either([among(name, "in", values) for name, values in by_field(labels).items()])


def either(conditions: Sequence[str]) -> str:
    """Return the condition that any of some holds."""
    return conditions[0] if len(conditions) == 1 else f"({' or '.join(conditions)})"


def among(name: str, how: Literal["in", "not in"], values: list[str]) -> str:
    """Return the condition that a field is among values."""
    if len(values) == 1:
        return f"{name} {'==' if how == 'in' else '!='} {values[0]!r}"
    return f"{name} {how} [{', '.join(map(repr, values))}]"


def shown(number: float) -> str:
    """Return a number as an expression has it."""
    return f"{number:.15g}"
