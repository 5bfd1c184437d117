"""One request read from left to right: what is asked for, what is denied, and how far a denial reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from genre_gen.query.conditions import among, any_of, by_field, either, shown, together
from genre_gen.query.understood import Meaning, ParsedQuery, Wish
from genre_gen.query.words import Token, stems_of

if TYPE_CHECKING:
    from genre_gen.query.reader import QueryReader

TOO = 0.75  # "not too long" takes out what is longer than this share of the catalog
MAX_TITLE = 24  # words and signs of a title that is looked for
SKIPPED = 3  # words such as "the film" between "like" and a title
QUOTES = "\"'“”„‟‘’«»"

Relation: TypeAlias = Literal["<", "<=", ">", ">="]
OPPOSITE: dict[Relation, Relation] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_DENIALS = ("no", "without", "besides", "not_too", "less")
# a word of several kinds is of the first
GRAMMAR = (
    "like", "but", "only", *_DENIALS, "both", "either", "below", "at_most", "above", "at_least", "between", "leads",
    "than", "ignored",
)  # fmt: skip
_RELATIONS: dict[str, Relation] = {"below": "<", "at_most": "<=", "above": ">", "at_least": ">="}
_SILENT = {"ignored", "both", "either", "between", "leads"}  # may stand before a title or between two


class _Said(NamedTuple):
    """What was said last: what led it ("before", "about", "like"), its field, whether it was denied.

    ``own`` tells whether it was a value's own name (horror) or a word that stands for one (scary); None for all else.
    """

    led: str = ""
    field: str = ""
    denied: bool = False
    own: bool | None = None


@dataclass
class Reading:
    """One request on its way through: where we are, and what holds from here on."""

    reader: QueryReader
    text: str
    tokens: list[Token]
    place: int = 0
    denial: str = ""  # the kind of denial that holds
    only: bool = False
    spoken: bool = False  # has anything been said under the denial or `only` that holds
    joint: str = ""  # `both` or `either`: the joining word since something was said
    led: str = ""  # the leading word since something was said: "before", "from", "about"
    before: _Said = field(default_factory=_Said)
    compared: Relation | None = None
    spoken_of: str = ""  # the number field that this clause has named: "price under", "longer than"
    held: tuple[Meaning, ...] = ()  # the labels that were denied last, which what follows may narrow
    conditions: list[list[str]] = field(default_factory=list)  # alternatives each
    ranges: dict[str, list[str]] = field(default_factory=dict)  # those of a field's ranges
    without: list[tuple[Meaning, ...]] = field(default_factory=list)
    within: list[tuple[Meaning, ...]] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def result(self) -> ParsedQuery:
        """Read to the end."""
        while self.place < len(self.tokens):
            token = self.tokens[self.place]
            if self._quoted(token) and self._title(self.place):
                continue
            if token.kind in {"number", "decade"}:
                self._number()
            elif token.kind == "word":
                self._phrase()
            else:
                self.place += 1
                if token.text == "," and self._listing():
                    self.joint = "either"
                elif token.kind == "end":
                    self._release()
        conditions = [
            *(among(name, "not in", values) for name, values in by_field(chain(*self.without)).items()),
            *map(any_of, together(self.within)),
            *(either(one) for one in self.conditions),
        ]
        where = " and ".join(dict.fromkeys(conditions)) or None
        return ParsedQuery(where, tuple(dict.fromkeys(self.wishes)), tuple(dict.fromkeys(self.unknown)))

    @property
    def denied(self) -> bool:
        """Tell whether what comes is denied."""
        return self.denial != ""

    def _release(self) -> None:
        """End what denials, `only` and comparisons reach to."""
        self.denial, self.only, self.spoken = "", False, False
        self.joint, self.led, self.held = "", "", ()
        self.compared, self.spoken_of = None, ""

    def _reach(self, name: str = "") -> None:
        """End a denial that does not reach to what is said now, of the field ``name``."""
        if not (self.denied and self.spoken) or self.joint == "either":
            return
        again = self.led == self.before.led or name == self.before.field != ""  # "before 1960 and after 1990"
        bound = self.before.led == "like" or (self.before.led != "" and self.before.field in self.reader.numbers)
        apart = self.led != "" or (bound and self.joint == "both")
        loose = self.joint == "both" or self.denial == "without"
        if self.denial in {"not_too", "less"} or (loose and apart and not again):
            self.denial = ""

    def _listing(self) -> bool:
        """Tell whether a list of what is denied goes on behind a comma: "not scary, violent or sad".

        Its entries are bare, and all values' own names or none: in "no horror, funny or light" a wish follows.
        """
        if not (self.denied and self.spoken):
            return False
        owns, place, last = {self.before.own}, self.place, False
        if self.reader.lookup(self._stems_from(place))[1] == "either":
            return True
        while place < len(self.tokens):
            length, kind, meanings = self.reader.lookup(self._stems_from(place))
            if self.tokens[place].kind != "word" or kind:
                return False
            owns.add(self._own(place, length, meanings))
            place += length
            if last:
                return not {True, False} <= owns
            comma = place < len(self.tokens) and self.tokens[place].text == ","
            place += comma
            kind = self.reader.lookup(self._stems_from(place))[1]
            last = kind == "either" or (kind == "both" and False not in owns)  # "not scary, funny and light" wishes
            if not (comma or last):
                return False
            place += last
        return False

    def _stems_from(self, place: int) -> list[str]:
        return [token.stem for token in self.tokens[place : place + self.reader.longest]]

    def _own(self, place: int, length: int, meanings: tuple[Meaning, ...] | None) -> bool | None:
        """Tell whether a phrase is a value's own name or stands for something else; None: it stands for nothing."""
        stems = tuple(self._stems_from(place)[:length])
        return any(one.sense == "is" and stems_of(str(one.value)) == stems for one in meanings) if meanings else None

    def _phrase(self) -> None:
        """Read the longest phrase from here."""
        length, kind, meanings = self.reader.lookup(self._stems_from(self.place))
        said = " ".join(token.text for token in self.tokens[self.place : self.place + length])
        self.place += length
        if kind:
            self._grammatical(kind, said.casefold())
        elif meanings is not None:
            self._meant(said, meanings, self._own(self.place - length, length, meanings))
        elif (positive := self.reader.positive(said)) is not None:
            self._meant(said, self.reader.lookup([positive])[2] or ())
        elif self.reader.knows(said):
            self._soft(said, (Meaning("word", said.casefold()),))
        else:
            self._reach()
            self.unknown.append(said + self.reader.closest(said))
            self._content()

    def _content(self, name: str = "", own: bool | None = None, held: tuple[Meaning, ...] = ()) -> None:
        """Note that something was said: a comparison does not reach over it, a denial may end after it."""
        self.before = _Said(self.led, name, self.denied, own)
        self.compared, self.spoken, self.joint, self.led, self.held = None, True, "", "", held

    def _grammatical(self, kind: str, said: str) -> None:
        if kind in _DENIALS or kind == "only":
            twice = self.denied and not self.spoken
            self._release()
            self.only = kind == "only" or (kind == "besides" and twice)  # "no films except comedies"
            lifted = kind == "without" and twice  # "not without humour"
            self.denial = "" if self.only or lifted else kind
        elif kind == "but" and self.spoken and self.joint != "either":  # "no horror or anything scary" goes on
            self._release()
        elif kind in {"both", "either"}:
            self.joint = kind
        elif kind == "like":
            self._liken()
        elif kind in {"between", "leads", *_RELATIONS}:
            self.compared = _RELATIONS.get(kind, self.compared)
            self.led = self.led or said

    def _liken(self) -> None:
        """Take the title that stands behind "like", or none; words that say nothing may stand between."""
        for place in range(self.place, min(self.place + SKIPPED + 1, len(self.tokens))):
            if self._title(place):
                self._further_titles()
                return
            _, kind, meanings = self.reader.lookup([self.tokens[place].stem])
            if kind not in _SILENT and meanings != ():
                return

    def _further_titles(self) -> None:
        """Take titles that are strung to the last one by a comma or a word that says nothing: "and", "or"."""
        while self.place + 1 < len(self.tokens):
            joint = self.tokens[self.place]
            strung = joint.text == "," or self.reader.lookup([joint.stem])[1] in _SILENT
            self.joint = "either"  # a denial reaches to all of them
            if not strung or not self._title(self.place + 1):
                self.joint = ""
                return

    def _title(self, begin: int) -> bool:
        """Take the longest title that stands here as a wish for what is near it, if there is one."""
        quoted = self._quoted(self.tokens[begin])
        for end in range(min(begin + MAX_TITLE, len(self.tokens)), begin, -1):
            part = self.tokens[begin:end]
            # A mark in front may be an apostrophe of the title's own: 'Til There Was You.
            said = self.text[part[0].start - self.text[: part[0].start].endswith(("'", "’")) : part[-1].end]
            if quoted and self.text[part[-1].end : part[-1].end + 1] not in QUOTES:
                continue
            rows = self.reader.named([token.text for token in part], said, quoted=quoted)
            if rows:
                titles = (self.reader.catalog[row].title for row in rows)
                self.led = "like"
                self._soft(said, tuple(Meaning("item", title) for title in titles))
                self.place = end
                return True
        return False

    def _quoted(self, token: Token) -> bool:
        """Tell whether a quotation mark opens before a token."""
        before = self.text[: token.start]
        bare = before.rstrip(QUOTES)
        return bare != before and bare[-1:].strip() == ""

    def _meant(self, said: str, meanings: tuple[Meaning, ...], own: bool | None = False) -> None:
        """Take a phrase that stands for something."""
        ends = [one for one in meanings if one.sense in {"low", "high"}]
        if ends and self._next_is("than"):  # "longer than 5"
            self.compared, self.spoken_of = (">" if ends[0].sense == "high" else "<"), ends[0].field
            self.led = self.led or said.casefold()
            return
        self.spoken_of = next((one.field for one in meanings if one.sense == "near"), "")
        meanings = tuple(one for one in meanings if one.sense != "near")  # a unit says nothing without its number
        if not meanings:
            return
        self._reach(meanings[0].field)
        labels = tuple(one for one in meanings if one.sense == "is")
        if self.denied and self.denial != "less" and (labels or ends):
            self._deny(labels, ends, own)
        elif self.only and labels:
            self.within.append(labels)
            self._content(labels[0].field, own)
        else:
            self._soft(said, meanings, own)

    def _soft(self, said: str, meanings: tuple[Meaning, ...], own: bool | None = None) -> None:
        self._reach(meanings[0].field)
        self.wishes.append(Wish(said, meanings, self.denied))
        self._content(own=own)

    def _deny(self, labels: tuple[Meaning, ...], ends: Sequence[Meaning], own: bool | None) -> None:
        """Take out what has labels, and the quarter of the catalog that is highest, or lowest, in a field."""
        for end in ends:
            bound = float(np.nanquantile(self.reader.numbers[end.field], TOO if end.sense == "high" else 1 - TOO))
            self.conditions.append([f"{end.field} {'<=' if end.sense == 'high' else '>='} {shown(bound)}"])
        if labels and self._narrows(labels[0].field):
            self._narrow(any_of(labels))
        elif labels:
            self.without.append(labels)
            self._content(labels[0].field, own, held=labels)
            return
        self._content((*labels, *ends)[0].field, own, self.held)

    def _narrows(self, name: str) -> bool:
        """Tell whether what is denied now only narrows what was denied just before: "no horror before 1980"."""
        if not self.held or self.denial not in {"no", "besides"}:
            return False
        further = self.held not in self.without[-1:] and name == self.before.field  # "no horror from the 80s or 90s"
        return further or (self.led != "" and not self.joint)

    def _narrow(self, condition: str) -> None:
        """Take out what was denied just before where a condition holds too."""
        if self.held in self.without[-1:]:
            self.without.pop()
        self.conditions.append([f"not ({any_of(self.held)} and {condition})"])

    def _next_is(self, kind: str) -> bool:
        """Tell whether a word of this kind and a number come next, and step over the word."""
        here = self.tokens[self.place : self.place + 2]
        if len(here) == 2 and self.reader.lookup([here[0].stem])[1] == kind and here[1].kind == "number":  # noqa: PLR2004
            self.place += 1
            return True
        return False

    def _number(self) -> None:
        """Read a number with its unit, a range or a decade."""
        begin = self.place
        first = self.tokens[begin]
        self.place += 1
        low = high = first.number
        if first.kind == "decade":
            low, high = self._decade(first.number)
        elif (other := self._range_to()) is not None:
            low, high = sorted((first.number, other))
        unit = self._unit(begin) or self.spoken_of
        said = " ".join(token.text for token in self.tokens[begin : self.place])
        name = unit or (self.reader.field_of(low, high) if self.compared or low < high else None)
        if name is not None and not np.isnan(low):
            self._numeric(said, name, low, high, decade=first.kind == "decade")
        elif self.reader.knows(first.text):
            self._soft(first.text, (Meaning("word", first.text),))
        else:
            self._reach()
            self.unknown.append(said)
            self._content()
        self.spoken_of = ""

    def _numeric(self, said: str, name: str, low: float, high: float, *, decade: bool) -> None:
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
            self._soft(said, (Meaning("near", low, name),))

    def _bounded(self, name: str, condition: str, otherwise: str, *, ranged: bool = False) -> None:
        """Take a condition on a number, or what holds otherwise where it is denied."""
        if self.denied and self._narrows(name):
            self._narrow(condition)
            self._content(name, held=self.held)
            return
        last = self.before.field == name and not self.before.denied and self.joint == "either"
        if self.denied:
            self.conditions.append([otherwise])
        elif last:
            self.conditions[-1].append(condition)
        elif ranged and name in self.ranges:
            self.ranges[name].append(condition)
        else:
            self.conditions.append([condition])
            if ranged:
                self.ranges[name] = self.conditions[-1]
        self._content(name)

    def _decade(self, year: float) -> tuple[float, float]:
        """Return the first year of a decade and of the next; of two digits, in the century with more such items."""
        if year >= 100:  # noqa: PLR2004 - its century is given
            return year, year + 10

        def held(first: float) -> int:
            return max(
                (int(((column >= first) & (column < first + 10)).sum()) for column in self.reader.numbers.values()),
                default=0,
            )

        first = max((1900 + year, 2000 + year, 1800 + year), key=held)
        return first, first + 10

    def _range_to(self) -> float | None:
        """Return the other end of a range, "80-90" or "between 80 and 90", and step over it; None where it is none."""
        joint = self.place + (self._unit_at(self.place) != "")
        here = self.tokens[joint : joint + 2]
        if len(here) < 2 or here[1].kind != "number":  # noqa: PLR2004
            return None
        before = self.tokens[self.place - 2] if self.place > 1 else None
        opened = before is not None and before.text.casefold() in self.reader.settings.between
        if here[0].kind != "dash" and not (opened and here[0].kind == "word"):
            return None
        self.place = joint + 2
        return here[1].number

    def _unit(self, begin: int) -> str:
        """Return the number field that the word behind the numbers from here names, or ""; step over it."""
        behind = self._unit_at(self.place)
        self.place += behind != ""
        return behind or self._unit_at(begin + 1)

    def _unit_at(self, place: int) -> str:
        if not 0 <= place < len(self.tokens):
            return ""
        meanings = self.reader.lookup([self.tokens[place].stem])[2] or ()
        return next((one.field for one in meanings if one.sense == "near"), "")
