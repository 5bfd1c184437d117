"""Facts, of which explanations consist, and the reasons that group them to sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from genre_gen.data.catalog import Catalog, Item
from genre_gen.languages.language import Language
from genre_gen.languages.resolved import DomainLanguage

Relation: TypeAlias = Literal[
    "rated", "had", "shares", "followed_by", "linked", "liked_too", "weighed", "liked", "often", "predicted", "average",
    "had_by",
]  # fmt: skip
Kind: TypeAlias = Literal["anchor", "linked", "similar", "weighed", "liked", "often", "predicted", "average", "popular"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One triple that anyone can check against the data.

    | subject, relation | object | numbers, values |
    |---|---|---|
    | user ``rated`` | history item | its rating |
    | user ``had`` | history item | (not rated) |
    | pick ``shares`` | history item | the values of ``field`` that both have |
    | item ``followed_by`` | pick | people who had the pick after the item, people who had the item |
    | pick ``linked`` | history item | entities of the relation ``field`` that both have; none for a sequel |
    | item ``liked_too`` | pick | people who liked both, people who liked the item and rated the pick |
    | item ``weighed`` | pick | of how many items that were left out this changed the score most |
    | user ``liked`` | (items with values) | how many the user liked, of how many the user rated |
    | user ``often`` | (items with values) | how many of the history, of how many in all |
    | user ``predicted`` | pick | the model's rating, the user's mean rating |
    | pick ``average`` |  | mean of people's latest ratings, people who rated it |
    | pick ``had_by`` |  | people who had it, people in all |

    Attributes:
        subject: catalog row, or None for the user.
        relation: see above.
        object: catalog row, or None.
        field: the attribute that ``values`` are of, or the relation of ``[knowledge]``.
        values: attribute values.
        numbers: counts are whole; ratings other than the user's own are rounded to one decimal.
    """

    subject: int | None
    relation: Relation
    object: int | None = None
    field: str = ""
    values: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()

    def text(self, catalog: Catalog, language: DomainLanguage | None = None) -> str:
        """Return the triple for people: ``Aliens (1986) | shares genre Action | Alien (1979)``; by default in English.

        Fields, values and relations are as ``language`` calls them.
        """
        words, field, values = Language.load().facts, self.field, self.values
        if language is not None:
            words, values = language.tables.facts, tuple(language.label(self.field, value) for value in self.values)
            linked = self.relation == "linked" and self.field in language.relations
            field = language.relations[self.field][0] if linked else language.field(self.field)
        subject = words.user if self.subject is None else catalog[self.subject].title
        what = " ".join(filter(None, [getattr(words, self.relation), field, words.list.join(values)]))
        numbers = words.of.join(f"{number:g}" for number in self.numbers)
        right = [] if self.object is None else [catalog[self.object].title]
        return " | ".join([subject, what, *right, *([numbers] if numbers else [])])


@dataclass(frozen=True, slots=True)
class Reason:
    """The facts of one sentence.

    Attributes:
        kind: what sort of sentence, which templates ask for.
        facts: all of them are said.
        weight: usefulness, 0 or more; comparable within one pick only.
        anchor: catalog row of the history item it rests on, if any.
    """

    kind: Kind
    facts: tuple[Fact, ...]
    weight: float
    anchor: int | None = None

    def fact(self, *relations: Relation) -> Fact | None:
        """Return the first fact of one of these relations, or None."""
        return next((fact for fact in self.facts if fact.relation in relations), None)

    @property
    def values(self) -> tuple[str, ...]:
        """Return the attribute values it rests on."""
        return next((fact.values for fact in self.facts if fact.values), ())


def labels(item: Item) -> dict[str, tuple[str, ...]]:
    """Return an item's attributes that are words: field -> values. Numbers (years, prices) are not labels."""
    attributes = {field: (value,) if isinstance(value, str) else value for field, value in item.attributes.items()}
    return {
        field: tuple(dict.fromkeys(value))
        for field, value in attributes.items()
        if isinstance(value, tuple) and any(value)
    }


def pairs_of(item: Item) -> tuple[tuple[str, str], ...]:
    """Return an item's (field, label) pairs."""
    return tuple((field, value) for field, values in labels(item).items() for value in values)


def named(item: Item) -> dict[str, str]:
    """Return what an item is called, ready for JSON."""
    return {"id": item.id, "title": item.title}
