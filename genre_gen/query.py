"""Requests in free text: ``something light about space for kids, no horror, from the 90s``.

A request is read by the catalog's own words, without a model, so that the same text always means the same:

- **Values of fields** are found by their words, in any number (comedies, Sci-Fi, sci fi); ``[query] words`` of
  ``domain.toml`` says what other words stand for (scary: Horror, cheap: a low price, euros: the unit of price).
- **Hard wishes** become a filter in the language of :mod:`genre_gen.where`: values, ranges, numbers with a unit and
  ends of numbers that are denied (no horror, no 80s, not too long); numbers that are compared or ranged (under 20
  euros, before 1980, the 90s); values behind ``only``. Comparisons of one field that "or" joins are alternatives, and
  so are its ranges; all else holds together.
- **Soft wishes** become a score: how far an item fulfils each, from 0 to 1, on average; what is denied counts against
  it. A value is fulfilled or not; a low or high number by its rank in the catalog; any other word by its TF-IDF in
  title, attributes and description, as a share of the best item's. Soft are also other words and titles that are
  denied (no alien, nothing like Alien), values that there shall be less of (less horror), and ends behind ``only``
  (only new films).
- **A denial reaches** to the end of its clause, or to a word such as ``but`` or ``for``. "or" goes on denying; "and"
  too (no horror and comedy), but not what a word leads (no horror and after 1980, no horror and about dogs), nor a word
  behind a number or title (not before 1980 and funny). A comma ends a clause, but not within a list (not scary, violent
  or sad). What is led and not joined narrows the denial (no horror before 1980: other horror may come); behind
  ``without`` it is asked for (films without horror from the 90s). ``not too`` and ``less`` deny one thing, and what
  "or" adds to it.
- **Titles** behind ``like`` and its kin, or in quotes, are wishes for what is near that item: by the texts, and by what
  people have beside it where a recommender lends its models. The item itself is what is known already.
- **What is left** is said to be unknown.

A request is data: it is cut into words, looked up, and rendered nowhere.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.catalog import Catalog
from genre_gen.domain import QuerySettings
from genre_gen.errors import UsageError
from genre_gen.where import MAX_COMPARED

MAX_LENGTH = 500
MAX_DIGITS = 12
TOO = 0.75  # "not too long" takes out what is longer than this share of the catalog
CURRENCIES = "$€£¥"
CLOSE = 0.8  # likeness from which a known word is offered for an unknown one

MAX_TITLE = 24  # words and signs of a title that is looked for
SKIPPED = 3  # words such as "the film" between "like" and a title
QUOTES = "\"'“”„‟‘’«»"

Sense: TypeAlias = Literal["is", "low", "high", "near", "word", "item"]
Relation: TypeAlias = Literal["<", "<=", ">", ">="]
OPPOSITE: dict[Relation, Relation] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}

_TOKEN = re.compile(
    rf"""(?P<decade>\d0|\d{{3}}0)(?:['’]?s)\b | (?P<number>\d+(?:[.,]\d+)*)
      | (?P<word>[^\W\d_]+(?:['’][^\W\d_]+)* | [{CURRENCIES}])
      | (?P<dash>[-–—](?=\s*['’]?\d)) | (?P<end>[,.;:!?()\[\]\n])""",
    re.VERBOSE,
)
_CURRENCY = re.compile(rf"([{CURRENCIES}])\s*(\d[\d.,]*)")  # written in front, read behind, where other units stand


@dataclass(frozen=True)
class Meaning:
    """What a word stands for.

    Attributes:
        sense: the field ``is`` the value (or holds it), its number is ``low``, ``high`` or ``near`` the value; or a
            ``word`` to look for in the item's text; or it is like the ``item``.
        value: label, number, word or title.
        field: empty for a word and an item.
    """

    sense: Sense
    value: str | float = ""
    field: str = ""

    def __str__(self) -> str:
        """Return it for people."""
        value = f"{self.value:g}" if isinstance(self.value, float) else self.value
        if self.sense == "item":
            return f"like {value}"
        return " ".join(part for part in (self.field, self.sense if self.sense != "is" else "", value) if part)


@dataclass(frozen=True)
class Wish:
    """Something soft: items that fulfil it score higher.

    Attributes:
        said: the request's own words.
        meanings: any of them fulfils it.
        denied: items that fulfil it score lower instead.
    """

    said: str
    meanings: tuple[Meaning, ...]
    denied: bool = False

    def __str__(self) -> str:
        """Return it for people."""
        words = [str(one.value) for one in self.meanings if one.sense == "word"]
        told = [str(one) for one in self.meanings if one.sense != "word"]
        told += [f"the word{'s' * (len(words) > 1)} {', '.join(words)}"] if words else []
        meant = " or ".join(told)
        meant = meant if self.said.casefold() in meant.casefold() else f"{meant} ({self.said})"
        return f"not {meant}" if self.denied else meant


@dataclass(frozen=True)
class Understood:
    """What was made of a request.

    Attributes:
        where: hard wishes, an expression of :mod:`genre_gen.where`; None where there are none.
        wishes: soft wishes, in order.
        unknown: words that mean nothing here, with the closest known one.
    """

    where: str | None = None
    wishes: tuple[Wish, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """Return the titles of the items that were named, which are known and so not asked for."""
        named = [str(one.value) for wish in self.wishes for one in wish.meanings if one.sense == "item"]
        return tuple(dict.fromkeys(named))

    def __bool__(self) -> bool:
        """Tell whether anything was understood."""
        return self.where is not None or bool(self.wishes)

    def __str__(self) -> str:
        """Return it for people, in one line."""
        parts = [
            f"only {self.where}" if self.where else "",
            f"rather {', '.join(map(str, self.wishes))}" if self.wishes else "",
            f"not understood: {', '.join(self.unknown)}" if self.unknown else "",
        ]
        return "; ".join(part for part in parts if part) or "nothing"

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        return {"where": self.where, "wishes": [str(wish) for wish in self.wishes], "unknown": list(self.unknown)}


class QueryReader:
    """Reads requests about one catalog. What is costly is done once."""

    def __init__(
        self,
        catalog: Catalog,
        settings: QuerySettings | None = None,
        likeness: Callable[[int], NDArray[np.floating[Any]]] | None = None,
    ) -> None:
        """Collect the words.

        Args:
            catalog: the items.
            settings: ``[query]`` of the domain.
            likeness: from a catalog row to how near every item is to that one, ``[n_items]``, 0 to 1, where something
                else than texts can tell.
        """
        self.catalog, self.settings, self._likeness = catalog, settings or QuerySettings(), likeness
        self.near = lru_cache(64)(self._near)
        self.numbers = {name: column for name in catalog.fields if (column := _numbers(catalog, name)) is not None}
        own = _phrases((phrase, None) for phrase in self.settings.words)
        grammar = _phrases((phrase, kind) for kind in _GRAMMAR for phrase in getattr(self.settings, kind))
        self._grammar = {phrase: kinds[0] for phrase, kinds in grammar.items() if phrase not in own}
        self._meant = self._vocabulary()
        self.longest = max(map(len, (*self._grammar, *self._meant)), default=1)

    def understand(self, query: str) -> Understood:
        """Read a request.

        Raises:
            UsageError: it is empty, or longer than ``MAX_LENGTH`` characters.
        """
        if not query.strip():
            raise UsageError("the query is empty; say what it should be like, or leave it out")
        if len(query) > MAX_LENGTH:
            raise UsageError(f"the query has {len(query):,} characters; at most {MAX_LENGTH} are read; shorten it")
        text = _normal(query)
        known = [token for token in _tokens(text) if token.text not in CURRENCIES or (token.text,) in self._meant]
        return _Reading(self, text, known).result()

    def score(self, understood: Understood) -> NDArray[np.float32] | None:
        """Return how far items fulfil the soft wishes, float32 ``[n_items]`` up to 1; None where there are none."""
        if not understood.wishes:
            return None
        total = np.zeros(len(self.catalog))
        for wish in understood.wishes:
            total += (-1 if wish.denied else 1) * np.max([self.degree(one) for one in wish.meanings], axis=0)
        return (total / len(understood.wishes)).astype(np.float32)

    def degree(self, meaning: Meaning) -> NDArray[np.float64]:
        """Return how far each item is what is meant: ``[n_items]``, 0 to 1; 0 where it is not known."""
        if meaning.sense == "word":
            vectorizer, vectors = self._texts
            column = vectors[:, [vectorizer.vocabulary_[_stem(str(meaning.value))]]].toarray().ravel()
            return column / column.max()
        if meaning.sense == "item":
            return self.near(self.catalog.named(str(meaning.value))[0])
        if meaning.sense == "is":
            return self.catalog.where(f"{meaning.field} == {meaning.value!r}").astype(np.float64)
        values = self.numbers[meaning.field]
        known = np.sort(values[~np.isnan(values)])
        rank = _rank(known, values)
        if meaning.sense == "near":
            fulfilled = 1 - np.abs(rank - _rank(known, np.array([float(meaning.value)])))
        else:
            fulfilled = rank if meaning.sense == "high" else 1 - rank
        return np.where(np.isnan(values), 0.0, fulfilled)

    def _near(self, row: int) -> NDArray[np.float64]:
        """Return how near items are to the one in ``row``: ``[n_items]``, 0 to 1 for the nearest, and 1 for itself."""
        vectors = self._worded
        parts = [np.asarray((vectors @ vectors[[row]].T).todense(), np.float64).ravel()]
        if self._likeness is not None:
            parts.append(np.asarray(self._likeness(row), np.float64))
        total = np.zeros(len(self.catalog))
        for part in parts:
            others = np.delete(part, row)
            total += part / max(float(others.max(initial=0.0)), 1e-12)
        total[row] = 0.0
        total /= max(float(total.max()), 1e-12)
        total[row] = 1.0
        return total

    def named(self, words: Sequence[str], title: str, *, quoted: bool) -> tuple[int, ...]:
        """Return the rows that a title means; none where its words mean something else and it is not quoted."""
        stems = tuple(map(_stem, words))
        own = stems in self._meant or all((stem,) in self._grammar for stem in stems)
        if own and not quoted:
            return ()
        return self.catalog.named(title.strip(QUOTES + " ")) or self.catalog.named(title)  # it may begin with a mark

    def positive(self, word: str) -> str | None:
        """Return what a word is the comparative or superlative of, where that means something: funnier, funny."""
        for ending, instead in _DEGREES:
            stem = word.casefold().removesuffix(ending) + instead
            if word.casefold().endswith(ending) and (stem,) in self._meant:
                return stem
        return None

    def knows(self, word: str) -> bool:
        """Tell whether a word stands in any item's text."""
        return _stem(word) in self._texts[0].vocabulary_

    def closest(self, word: str) -> str:
        """Return the closest phrase that stands for something, in brackets; empty where none is close."""
        known = [" ".join(phrase) for phrase in self._meant] if len(self._meant) <= MAX_COMPARED else ()
        close = difflib.get_close_matches(_stem(word), known, n=1, cutoff=CLOSE)
        return f" ({close[0]}?)" if close else ""

    def lookup(self, words: Sequence[str]) -> tuple[int, str, tuple[Meaning, ...] | None]:
        """Return the longest phrase that words begin with: its length, its grammatical kind or "", its meanings.

        No phrase: (1, "", None).
        """
        for length in range(min(self.longest, len(words)), 0, -1):
            phrase = tuple(words[:length])
            if phrase in self._grammar:
                return length, self._grammar[phrase], None
            if phrase in self._meant:
                return length, "", tuple(self._meant[phrase])
        return 1, "", None

    def field_of(self, low: float, high: float) -> str | None:
        """Return the number field that numbers without a unit are of; None where that is not clear.

        Args:
            low: of what is asked for.
            high: of what is asked for; the same for one number.
        """
        held = {name: int(((column >= low) & (column <= high)).sum()) for name, column in self.numbers.items()}
        spans = [
            name for name, column in self.numbers.items() if low <= np.nanmax(column) and high >= np.nanmin(column)
        ]
        if len(spans) > 1 and low < high:
            spans = [max(spans, key=held.__getitem__)]
        return spans[0] if len(spans) == 1 else None

    def _vocabulary(self) -> dict[tuple[str, ...], list[Meaning]]:
        """Return what phrases stand for: values of fields, number fields by their names, and the domain's words."""
        labels = _phrases(
            (value, Meaning("is", value, name))
            for name in self.catalog.fields
            for value in sorted(_labels(self.catalog, name))
        )
        known = {key: list(meanings) for key, meanings in labels.items()}
        for name in self.numbers:
            known.setdefault(_stems(name), []).append(Meaning("near", "", name))
        for phrase, meanings in self.settings.words.items():
            found = [one for text in meanings for one in self._meanings(text, labels)]
            if found or not meanings:  # what stands for nothing that this catalog has is not understood
                known[_stems(phrase)] = found
        known.pop((), None)
        return known

    def _meanings(self, text: str, labels: Mapping[tuple[str, ...], list[Meaning]]) -> Iterator[Meaning]:
        """Yield what a meaning of the domain's words is: a field's end, a unit, a value, or words that texts hold."""
        if text[1:] in self.numbers and text[0] in "+-":
            yield Meaning("high" if text[0] == "+" else "low", "", text[1:])
        elif text in self.numbers:
            yield Meaning("near", "", text)
        elif _stems(text) in labels:
            yield from labels[_stems(text)]
        else:
            yield from (Meaning("word", word) for word in _words(text) if self.knows(word))

    @cached_property
    def _worded(self) -> Any:
        """Return the TF-IDF vectors without numbers: of one year, two items are not more alike."""
        from sklearn.preprocessing import normalize

        vectorizer, vectors = self._texts
        words = [column for word, column in vectorizer.vocabulary_.items() if not word.isdigit()]
        worded = vectors[:, sorted(words)]
        return normalize(worded) if words else worded  # scikit-learn refuses a matrix without columns

    @cached_property
    def _texts(self) -> tuple[Any, Any]:
        """Return a fitted vectorizer and the items' TF-IDF vectors."""
        from scipy import sparse
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(analyzer=_stems, sublinear_tf=True)
        try:
            return vectorizer, vectorizer.fit_transform([_text(self.catalog, row) for row in range(len(self.catalog))])
        except ValueError:  # no text has a word
            vectorizer.vocabulary_ = {}
            return vectorizer, sparse.csr_matrix((len(self.catalog), 0))


# word endings of comparatives and superlatives, and what the plain word has instead
_DEGREES = (("ier", "y"), ("iest", "y"), ("er", ""), ("est", ""), ("er", "e"), ("est", "e"))
_DENIALS = ("no", "without", "besides", "not_too", "less")
# a word of several kinds is of the first
_GRAMMAR = (
    "like", "but", "only", *_DENIALS, "both", "either", "below", "at_most", "above", "at_least", "between", "leads",
    "than", "ignored",
)  # fmt: skip
_RELATIONS: dict[str, Relation] = {"below": "<", "at_most": "<=", "above": ">", "at_least": ">="}
_SILENT = {"ignored", "both", "either", "between", "leads"}  # may stand before a title or between two


@dataclass(frozen=True)
class _Token:
    """A word, number, decade (its first year), dash or end of a clause, and where it stands in the text."""

    kind: str
    text: str
    start: int
    end: int
    number: float = float("nan")

    @property
    def stem(self) -> str:
        """Return what it is looked up by; nothing matches what is no word."""
        return _stem(self.text) if self.kind == "word" else ""


class _Said(NamedTuple):
    """What was said last: what led it ("before", "about", "like"), its field, whether it was denied.

    ``own`` tells whether it was a value's own name (horror) or a word that stands for one (scary); None for all else.
    """

    led: str = ""
    field: str = ""
    denied: bool = False
    own: bool | None = None


@dataclass
class _Reading:
    """One request on its way through: where we are, and what holds from here on."""

    reader: QueryReader
    text: str
    tokens: list[_Token]
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

    def result(self) -> Understood:
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
            *(_among(name, "not in", values) for name, values in _by_field(chain(*self.without)).items()),
            *map(_any_of, _together(self.within)),
            *(_either(one) for one in self.conditions),
        ]
        where = " and ".join(dict.fromkeys(conditions)) or None
        return Understood(where, tuple(dict.fromkeys(self.wishes)), tuple(dict.fromkeys(self.unknown)))

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
        return any(one.sense == "is" and _stems(str(one.value)) == stems for one in meanings) if meanings else None

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

    def _quoted(self, token: _Token) -> bool:
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
            self.conditions.append([f"{end.field} {'<=' if end.sense == 'high' else '>='} {_shown(bound)}"])
        if labels and self._narrows(labels[0].field):
            self._narrow(_any_of(labels))
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
        self.conditions.append([f"not ({_any_of(self.held)} and {condition})"])

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
            bound = _shown(low if self.compared in {"<", ">="} else (high - 1 if decade else high))
            self._bounded(name, f"{name} {self.compared} {bound}", f"{name} {OPPOSITE[self.compared]} {bound}")
        elif low < high:
            inside = f"{_shown(low)} <= {name} {'<' if decade else '<='} {_shown(high)}"
            self._bounded(name, inside, f"not {inside}", ranged=True)
        elif self.denied:
            self._bounded(name, f"{name} == {_shown(low)}", f"{name} != {_shown(low)}")
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


def _normal(query: str) -> str:
    """Return a request with full-width and other compatible forms made plain, and currencies behind their numbers."""
    return _CURRENCY.sub(r"\2 \1", unicodedata.normalize("NFKC", query))


def _tokens(text: str) -> Iterator[_Token]:
    """Cut a request into words, numbers and ends of clauses; drop everything else."""
    for match in _TOKEN.finditer(text):
        kind, said = str(match.lastgroup), match[0]
        if kind == "word":
            yield _Token(kind, said, *match.span())
        elif kind in {"number", "decade"}:
            digits = re.sub(r",(?=\d{3}\b)", "", match[kind]).replace(",", ".")
            readable = len(digits) <= MAX_DIGITS and digits.count(".") <= 1 and digits.isascii()
            yield _Token(kind, said, *match.span(), float(digits) if readable else float("nan"))
        else:
            yield _Token(kind, said, *match.span())


def _words(text: str) -> list[str]:
    """Return the words and numbers of a text, in lower case."""
    return [token.text.casefold() for token in _tokens(_normal(text)) if token.kind in {"word", "number", "decade"}]


def _stems(text: str) -> tuple[str, ...]:
    """Return the stems of a text's words."""
    return tuple(_stem(word) for word in _words(text))


def _stem(word: str) -> str:
    """Return a word without the ending of its plural (the S-stemmer of Harman 1991), in lower case."""
    word = word.casefold().replace("’", "'").removesuffix("'s")
    if len(word) > 4 and word.endswith("ies") and not word.endswith(("eies", "aies")):  # noqa: PLR2004
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):  # noqa: PLR2004
        return word[:-1]
    return word


def _phrases(pairs: Iterable[tuple[str, Any]]) -> dict[tuple[str, ...], list[Any]]:
    """Return phrases by the stems of their words; those without a word are left out."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for phrase, meaning in pairs:
        if key := _stems(phrase):
            found.setdefault(key, []).append(meaning)
    return found


def _numbers(catalog: Catalog, name: str) -> NDArray[np.float64] | None:
    """Return a field's numbers ``[n_items]``, NaN where not known; None where it holds others or none at all."""
    values = [item.attributes[name] for item in catalog]
    if any(value is not None and not isinstance(value, (int, float)) for value in values):
        return None
    column = np.array([np.nan if value is None else value for value in values], np.float64)
    return None if np.isnan(column).all() else column


def _labels(catalog: Catalog, name: str) -> set[str]:
    values = (item.attributes[name] for item in catalog)
    return {
        label
        for value in values
        for label in (value if isinstance(value, tuple) else (value,))
        if isinstance(label, str)
    }


def _text(catalog: Catalog, row: int) -> str:
    """Return all that is said of an item, without the names of the fields, which all items share."""
    item = catalog[row]
    values = [", ".join(value) if isinstance(value, tuple) else value for value in item.attributes.values()]
    return " | ".join(map(str, (item.title, *(value for value in values if value is not None), item.text)))


def _rank(known: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of the known numbers is smaller, those equal counting half."""
    left, right = (np.searchsorted(known, values, side) for side in ("left", "right"))  # type: ignore[call-overload]
    return (left + right) / (2 * len(known))


def _by_field(labels: Iterable[Meaning]) -> dict[str, list[str]]:
    """Return values by field, each once."""
    found: dict[str, dict[str, None]] = {}
    for one in labels:
        found.setdefault(one.field, {})[str(one.value)] = None
    return {name: list(values) for name, values in found.items()}


def _together(phrases: Iterable[tuple[Meaning, ...]]) -> list[list[Meaning]]:
    """Return the labels of phrases, those that have a field in common as one list: "only comedies or war"."""
    groups: list[list[Meaning]] = []
    for labels in phrases:
        names = {one.field for one in labels}
        joined = [group for group in groups if names & {one.field for one in group}]
        groups = [group for group in groups if group not in joined] + [[*chain(*joined), *labels]]
    return groups


def _any_of(labels: Iterable[Meaning]) -> str:
    """Return the condition that an item has any of the labels."""
    return _either([_among(name, "in", values) for name, values in _by_field(labels).items()])


def _either(conditions: Sequence[str]) -> str:
    return conditions[0] if len(conditions) == 1 else f"({' or '.join(conditions)})"


def _among(name: str, how: Literal["in", "not in"], values: list[str]) -> str:
    if len(values) == 1:
        return f"{name} {'==' if how == 'in' else '!='} {values[0]!r}"
    return f"{name} {how} [{', '.join(map(repr, values))}]"


def _shown(number: float) -> str:
    return f"{number:.15g}"
