"""One request parsed from left to right: what is asked for, what is denied, and how far a denial reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from genre_gen.query.parsed import (
    ParsedQuery,
    Preference,
    Term,
    among,
    any_of,
    by_field,
    either,
    merge_by_field,
    shown,
)
from genre_gen.query.vocabulary import DENIALS, QueryVocabulary
from genre_gen.query.words import QUOTES, Token, stems_of

TOO = 0.75  # "not too long" takes out what is longer than this share of the catalog
MAX_TITLE = 24  # words and signs of a title that is looked for
SKIPPED = 3  # words such as "the film" between "like" and a title

Relation: TypeAlias = Literal["<", "<=", ">", ">="]
OPPOSITE: dict[Relation, Relation] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_RELATIONS: dict[str, Relation] = {"below": "<", "at_most": "<=", "above": ">", "at_least": ">="}
# Words that may stand before a title or between two.
_SILENT = {"stop_words", "conjunctions", "disjunctions", "between", "prepositions"}


class _Statement(NamedTuple):
    """What was said last: what led it ("before", "about", "like"), its field, whether it was denied.

    ``literal`` tells whether it was a value itself (horror) or a word that stands for one (scary); None for all else.
    """

    led: str = ""
    field: str = ""
    denied: bool = False
    literal: bool | None = None


@dataclass
class ParserState:
    """The state of parsing one request: the position, and the modifiers of the following words."""

    vocabulary: QueryVocabulary
    text: str
    tokens: list[Token]
    position: int = 0
    denial: str = ""  # the kind of denial that holds
    only: bool = False
    spoken: bool = False  # has anything been said under the denial or `only` that holds
    joint: str = ""  # `conjunctions` or `disjunctions`: the joining word since something was said
    led: str = ""  # the leading word since something was said: "before", "from", "about"
    last: _Statement = field(default_factory=_Statement)
    compared: Relation | None = None
    spoken_of: str = ""  # the number field that this clause has named: "price under", "longer than"
    denied_labels: tuple[Term, ...] = ()  # the labels that were denied last, which what follows may narrow
    conditions: list[list[str]] = field(default_factory=list)  # alternatives each
    ranges: dict[str, list[str]] = field(default_factory=dict)  # those of a field's ranges
    without: list[tuple[Term, ...]] = field(default_factory=list)
    within: list[tuple[Term, ...]] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def parse(self) -> ParsedQuery:
        """Parse the request to its end."""
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            if self._quoted(token) and self._title(self.position):
                continue
            if token.kind in {"number", "decade"}:
                self._number()
            elif token.kind == "word":
                self._phrase()
            else:
                self.position += 1
                if token.text == "," and self._listing():
                    self.joint = "disjunctions"
                elif token.kind == "end":
                    self._release()
        conditions = [
            *(among(name, "not in", values) for name, values in by_field(chain(*self.without)).items()),
            *map(any_of, merge_by_field(self.within)),
            *(either(alternatives) for alternatives in self.conditions),
        ]
        where = " and ".join(dict.fromkeys(conditions)) or None
        preferences, unknown = tuple(dict.fromkeys(self.preferences)), tuple(dict.fromkeys(self.unknown))
        return ParsedQuery(where, preferences, unknown, self.vocabulary.language)

    @property
    def denied(self) -> bool:
        """Tell whether what comes is denied."""
        return self.denial != ""

    def _release(self) -> None:
        """End what denials, `only` and comparisons reach to."""
        self.denial, self.only, self.spoken = "", False, False
        self.joint, self.led, self.denied_labels = "", "", ()
        self.compared, self.spoken_of = None, ""

    def _reach(self, name: str = "") -> None:
        """End a denial that does not reach to what is said now, of the field ``name``."""
        if not (self.denied and self.spoken) or self.joint == "disjunctions":
            return
        again = self.led == self.last.led or name == self.last.field != ""  # "before 1960 and after 1990"
        bound = self.last.led == "like" or (self.last.led != "" and self.last.field in self.vocabulary.numbers)
        apart = self.led != "" or (bound and self.joint == "conjunctions")
        loose = self.joint == "conjunctions" or self.denial == "without"
        if self.denial in {"not_too", "less"} or (loose and apart and not again):
            self.denial = ""

    def _listing(self) -> bool:
        """Tell whether a list of negated entries continues after a comma: "not scary, violent or sad".

        Its entries are bare, and all values themselves or none of them: in "no horror, funny or light" a wish follows.
        """
        if not (self.denied and self.spoken):
            return False
        literals, position, last = {self.last.literal}, self.position, False
        if self.vocabulary.lookup(self._stems_from(position))[1] == "disjunctions":
            return True
        while position < len(self.tokens):
            length, kind, terms = self.vocabulary.lookup(self._stems_from(position))
            if self.tokens[position].kind != "word" or kind:
                return False
            literals.add(self._is_literal(position, length, terms))
            position += length
            if last:
                return not {True, False} <= literals
            comma = position < len(self.tokens) and self.tokens[position].text == ","
            position += comma
            kind = self.vocabulary.lookup(self._stems_from(position))[1]
            joins = kind == "conjunctions" and False not in literals  # "not scary, funny and light" asks for light
            last = kind == "disjunctions" or joins
            if not (comma or last):
                return False
            position += last
        return False

    def _stems_from(self, position: int) -> list[str]:
        return [token.stem for token in self.tokens[position : position + self.vocabulary.longest]]

    def _is_literal(self, position: int, length: int, terms: tuple[Term, ...] | None) -> bool | None:
        """Tell whether a phrase is a value itself or stands for something else; None: it stands for nothing."""
        stems = tuple(self._stems_from(position)[:length])
        return any(term.sense == "is" and stems_of(str(term.value)) == stems for term in terms) if terms else None

    def _phrase(self) -> None:
        """Read the longest phrase from here."""
        length, kind, terms = self.vocabulary.lookup(self._stems_from(self.position))
        phrase = " ".join(token.text for token in self.tokens[self.position : self.position + length])
        self.position += length
        if kind:
            self._grammatical(kind, phrase.casefold())
        elif terms is not None:
            self._take_phrase(phrase, terms, self._is_literal(self.position - length, length, terms))
        elif (positive := self.vocabulary.positive(phrase)) is not None:
            self._take_phrase(phrase, self.vocabulary.lookup([positive])[2] or ())
        elif words := self.vocabulary.in_texts(phrase):
            self._prefer(phrase, words)
        else:
            self._reach()
            self.unknown.append(phrase + self.vocabulary.closest(phrase))
            self._note_statement()

    def _note_statement(self, name: str = "", literal: bool | None = None, held: tuple[Term, ...] = ()) -> None:
        """Note that something was said: a comparison does not reach over it, a denial may end after it."""
        self.last = _Statement(self.led, name, self.denied, literal)
        self.compared, self.spoken, self.joint, self.led, self.denied_labels = None, True, "", "", held

    def _grammatical(self, kind: str, phrase: str) -> None:
        if kind in DENIALS or kind == "only":
            twice = self.denied and not self.spoken
            self._release()
            self.only = kind == "only" or (kind == "exceptions" and twice)  # "no films except comedies"
            lifted = kind == "without" and twice  # "not without humour"
            self.denial = "" if self.only or lifted else kind
        elif kind == "scope_ends" and self.spoken and self.joint != "disjunctions":
            self._release()  # but "no horror or anything scary" continues the negation
        elif kind in {"conjunctions", "disjunctions"}:
            self.joint = kind
        elif kind == "similar":
            self._similar_title()
        elif kind in {"between", "prepositions", *_RELATIONS}:
            self.compared = _RELATIONS.get(kind, self.compared)
            self.led = self.led or phrase

    def _similar_title(self) -> None:
        """Take the title after "like", if any; words without meaning may be in between."""
        for position in range(self.position, min(self.position + SKIPPED + 1, len(self.tokens))):
            if self._title(position):
                self._further_titles()
                return
            _, kind, terms = self.vocabulary.lookup([self.tokens[position].stem])
            if kind not in _SILENT and terms != ():
                return

    def _further_titles(self) -> None:
        """Take titles that are joined to the last one by a comma or a word without meaning: "and", "or"."""
        while self.position + 1 < len(self.tokens):
            joint = self.tokens[self.position]
            strung = joint.text == "," or self.vocabulary.lookup([joint.stem])[1] in _SILENT
            self.joint = "disjunctions"  # a denial reaches to all of them
            if not strung or not self._title(self.position + 1):
                self.joint = ""
                return

    def _title(self, begin: int) -> bool:
        """Take the longest title that stands here as a preference for what is similar, if there is one."""
        quoted = self._quoted(self.tokens[begin])
        for end in range(min(begin + MAX_TITLE, len(self.tokens)), begin, -1):
            part = self.tokens[begin:end]
            # A mark in front may be an apostrophe of the title itself: 'Til There Was You.
            phrase = self.text[part[0].start - self.text[: part[0].start].endswith(("'", "’")) : part[-1].end]
            if quoted and self.text[part[-1].end : part[-1].end + 1] not in QUOTES:
                continue
            rows = self.vocabulary.named([token.text for token in part], phrase, quoted=quoted)
            if rows:
                titles = (self.vocabulary.catalog[row].title for row in rows)
                self.led = "like"
                self._prefer(phrase, tuple(Term("item", title) for title in titles))
                self.position = end
                return True
        return False

    def _quoted(self, token: Token) -> bool:
        """Tell whether a quotation mark opens before a token."""
        before = self.text[: token.start]
        bare = before.rstrip(QUOTES)
        return bare != before and bare[-1:].strip() == ""

    def _take_phrase(self, phrase: str, terms: tuple[Term, ...], literal: bool | None = False) -> None:
        """Take a phrase that stands for something."""
        ends = [term for term in terms if term.sense in {"low", "high"}]
        if ends and self._next_is("than"):  # "longer than 5"
            self.compared, self.spoken_of = (">" if ends[0].sense == "high" else "<"), ends[0].field
            self.led = self.led or phrase.casefold()
            return
        self.spoken_of = next((term.field for term in terms if term.sense == "near"), "")
        terms = tuple(term for term in terms if term.sense != "near")  # a unit has no meaning without its number
        if not terms:
            return
        self._reach(terms[0].field)
        labels = tuple(term for term in terms if term.sense == "is")
        if self.denied and self.denial != "less" and (labels or ends):
            self._deny(labels, ends, literal)
        elif self.only and labels:
            self.within.append(labels)
            self._note_statement(labels[0].field, literal)
        else:
            self._prefer(phrase, terms, literal)

    def _prefer(self, phrase: str, terms: tuple[Term, ...], literal: bool | None = None) -> None:
        self._reach(terms[0].field)
        self.preferences.append(Preference(phrase, terms, self.denied))
        self._note_statement(literal=literal)

    def _deny(self, labels: tuple[Term, ...], ends: Sequence[Term], literal: bool | None) -> None:
        """Take out what has labels, and the quarter of the catalog that is highest, or lowest, in a field."""
        for end in ends:
            bound = float(np.nanquantile(self.vocabulary.numbers[end.field], TOO if end.sense == "high" else 1 - TOO))
            self.conditions.append([f"{end.field} {'<=' if end.sense == 'high' else '>='} {shown(bound)}"])
        if labels and self._narrows(labels[0].field):
            self._narrow(any_of(labels))
        elif labels:
            self.without.append(labels)
            self._note_statement(labels[0].field, literal, held=labels)
            return
        self._note_statement((*labels, *ends)[0].field, literal, self.denied_labels)

    def _narrows(self, name: str) -> bool:
        """Tell whether what is denied now only narrows what was denied just before: "no horror before 1980"."""
        if not self.denied_labels or self.denial not in {"negations", "exceptions"}:
            return False
        # "no horror from the 80s or 90s"
        further = self.denied_labels not in self.without[-1:] and name == self.last.field
        return further or (self.led != "" and not self.joint)

    def _narrow(self, condition: str) -> None:
        """Take out what was denied just before where a condition holds too."""
        if self.denied_labels in self.without[-1:]:
            self.without.pop()
        self.conditions.append([f"not ({any_of(self.denied_labels)} and {condition})"])

    def _next_is(self, kind: str) -> bool:
        """Tell whether a word of this kind and a number come next, and step over the word."""
        here = self.tokens[self.position : self.position + 2]
        if len(here) == 2 and self.vocabulary.lookup([here[0].stem])[1] == kind and here[1].kind == "number":  # noqa: PLR2004
            self.position += 1
            return True
        return False

    def _number(self) -> None:
        """Read a number with its unit, a range or a decade."""
        begin = self.position
        first = self.tokens[begin]
        self.position += 1
        low = high = first.number
        if first.kind == "decade":
            low, high = self._decade(first.number)
        elif (other := self._range_to()) is not None:
            low, high = sorted((first.number, other))
        unit, many = self._unit(begin)
        unit, low, high = unit or self.spoken_of, low * many, high * many
        foreign = not unit and self._foreign_unit()
        phrase = " ".join(token.text for token in self.tokens[begin : self.position])
        bounded = self.compared is not None or low < high
        name = unit or (self.vocabulary.field_of(low, high) if bounded and not foreign else None)
        if name is not None and not np.isnan(low):
            self._numeric(phrase, name, low, high, decade=first.kind == "decade")
        elif not (bounded or foreign) and (words := self.vocabulary.in_texts(first.text)):
            self._prefer(first.text, words)
        else:
            self._reach()
            self.unknown.append(phrase)
            self._note_statement()
        self.spoken_of = ""

    def _numeric(self, phrase: str, name: str, low: float, high: float, *, decade: bool) -> None:
        """Take a number that a field is compared with."""
        self._reach(name)
        if self.compared is not None:
            bound = shown(low if self.compared in {"<", ">="} else (high - 1 if decade else high))
            self._bounded(name, f"{name} {self.compared} {bound}", f"{name} {OPPOSITE[self.compared]} {bound}")
        elif low < high:
            inside = f"{shown(low)} <= {name} {'<' if decade else '<='} {shown(high)}"
            self._bounded(name, inside, f"not {inside}", ranged=True)
        elif self.denied:
            self._bounded(name, f"{name} == {shown(low)}", f"{name} != {shown(low)}")
        else:
            self._prefer(phrase, (Term("near", low, name),))

    def _bounded(self, name: str, condition: str, otherwise: str, *, ranged: bool = False) -> None:
        """Take a condition on a number, or what holds otherwise where it is denied."""
        if self.denied and self._narrows(name):
            self._narrow(condition)
            self._note_statement(name, held=self.denied_labels)
            return
        joins = self.last.field == name and not self.last.denied and self.joint == "disjunctions"
        if self.denied:
            self.conditions.append([otherwise])
        elif joins:
            self.conditions[-1].append(condition)
        elif ranged and name in self.ranges:
            self.ranges[name].append(condition)
        else:
            self.conditions.append([condition])
            if ranged:
                self.ranges[name] = self.conditions[-1]
        self._note_statement(name)

    def _decade(self, year: float) -> tuple[float, float]:
        """Return the first year of a decade and of the next; of two digits, in the century with more such items."""
        if year >= 100:  # noqa: PLR2004 - its century is given
            return year, year + 10

        def held(first: float) -> int:
            columns = self.vocabulary.numbers.values()
            return max((int(((column >= first) & (column < first + 10)).sum()) for column in columns), default=0)

        first = max((1900 + year, 2000 + year, 1800 + year), key=held)
        return first, first + 10

    def _range_to(self) -> float | None:
        """Return the other end of a range, "80-90" or "between 80 and 90", and step over it; None if there is none."""
        joint = self.position + (self._unit_at(self.position)[0] != "")
        here = self.tokens[joint : joint + 2]
        if len(here) < 2 or here[1].kind != "number":  # noqa: PLR2004
            return None
        before = self.tokens[self.position - 2] if self.position > 1 else None
        opened = before is not None and before.text.casefold() in self.vocabulary.grammar.between
        if here[0].kind != "dash" and not (opened and here[0].kind == "word"):
            return None
        self.position = joint + 2
        return here[1].number

    def _unit(self, begin: int) -> tuple[str, float]:
        """Return the number field that the word behind the numbers from here names, or "", and how many of its units.

        Step over the word.
        """
        behind = self._unit_at(self.position)
        self.position += behind[0] != ""
        return behind if behind[0] else self._unit_at(begin + 1)

    def _foreign_unit(self) -> bool:
        """Tell whether a unit that no field is in comes next, and step over it."""
        here = self.tokens[self.position].stem if self.position < len(self.tokens) else ""
        foreign = here in self.vocabulary.quantities.units
        self.position += foreign
        return foreign

    def _unit_at(self, position: int) -> tuple[str, float]:
        token = self.tokens[position] if 0 <= position < len(self.tokens) else None
        return ("", 1.0) if token is None else self.vocabulary.unit(token.stem)
