"""``[languages]`` of a domain: what its things are called in languages other than that of ``domain.toml``."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from genre_gen.settings import NamesOrNone, Noun, Settings

LANGUAGE = r"^[a-z]{2}$"
"""A language by its two letters of ISO 639-1, which also name folders of templates."""

ENGLISH = "en"

LanguageCode: TypeAlias = Annotated[str, Field(pattern=LANGUAGE)]


class RelationWords(Settings):
    """What explanations call a relation of ``[knowledge]``; by default the plural is the singular."""

    singular: str
    plural: str | None = None


class DomainWords(Settings):
    """A domain's words in one language. Missing ones are as in ``domain.toml``.

    Attributes:
        noun, nouns: what an item is called, and its plural.
        fields: field name -> what people call it.
        labels: field name -> value of the data -> what people call it.
        relations: relation of ``[knowledge]`` -> what explanations call it.
        query: word or phrase of a request -> what it stands for, as in ``[query.words]``, whose words stay known.
    """

    noun: Noun | None = None
    nouns: Noun | None = None
    fields: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, dict[str, str]] = Field(default_factory=dict)
    relations: dict[str, RelationWords] = Field(default_factory=dict)
    query: dict[str, NamesOrNone] = Field(default_factory=dict)
