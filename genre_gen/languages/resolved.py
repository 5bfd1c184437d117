"""DomainLanguage: a language's tables, and what a domain calls its things in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genre_gen.data.catalog import Value
from genre_gen.domain import Domain
from genre_gen.languages.language import Language
from genre_gen.languages.settings import DomainWords
from genre_gen.prompting.nouns import Noun
from genre_gen.query.settings import GrammarWords


def folders_of(domain: Domain) -> tuple[Path, ...]:
    """Return the folders in which a domain may have tables of languages, in addition to the usual ones."""
    return () if domain.is_saved else (domain.prompts_folder, domain.prompts_folder.parent)


@dataclass(frozen=True)
class DomainLanguage:
    """How a domain speaks in one language.

    Attributes:
        code: the language.
        tables: its tables.
        noun: what an item is called.
        fields: field name -> what people call it; itself where it is left out.
        labels: field name -> value -> what people call it; itself where it is left out.
        relations: relation of ``[knowledge]`` -> singular and plural.
        grammar: the words that hold a request together.
        query: what words of a request stand for.
        free_words: what a sentence of the free style may hold next to data and the words of the templates.
        units: number field -> its unit, where ``domain.toml`` gives one.

    Example:
        >>> DomainLanguage.of(Domain.load("movies"), "zh").label("genre", "Horror")
        '恐怖'
    """

    code: str
    tables: Language
    noun: Noun
    fields: Mapping[str, str]
    labels: Mapping[str, Mapping[str, str]]
    relations: Mapping[str, tuple[str, str]]
    grammar: GrammarWords
    query: Mapping[str, tuple[str, ...]]
    free_words: tuple[str, ...]
    units: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, domain: Domain, code: str | None = None) -> DomainLanguage:
        """Return how a domain speaks in a language; by default the one that people read (``domain.spoken``).

        Raises:
            ConfigError: no such language.
        """
        code = code or domain.spoken
        tables = domain.tables.get(code) or Language.load(code, folders_of(domain))
        own = domain.languages.get(code, DomainWords())
        noun, nouns = (own.noun, own.nouns) if own.noun else (domain.noun, domain.nouns)
        relations = {name: each.called(name) for name, each in domain.knowledge.relations.items()}
        relations |= {name: (each.singular, each.plural or each.singular) for name, each in own.relations.items()}
        return cls(
            code,
            tables,
            Noun(noun, nouns or "", inflected=tables.inflection == "english"),
            own.fields,
            own.labels,
            relations,
            domain.query.grammar(tables.query),
            {**domain.query.words, **own.query},
            tables.explain.words if domain.explain.words is None else domain.explain.words,
            {name: settings.unit for name, settings in domain.fields.items() if settings.unit},
        )

    def label(self, field: str, value: str) -> str:
        """Return what a value of a field is called."""
        return self.labels.get(field, {}).get(value, value)

    def field(self, name: str) -> str:
        """Return what a field is called."""
        return self.fields.get(name, name)

    def shown(self, field: str, value: Value) -> Value:
        """Return an attribute with its labels as people call them."""
        if isinstance(value, tuple):
            return tuple(self.label(field, label) for label in value)
        return self.label(field, value) if isinstance(value, str) else value
