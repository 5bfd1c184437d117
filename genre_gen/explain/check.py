"""Check: reads an explanation as a text, and compares everything it names with the data.

Nothing is taken from the code that wrote it: titles, attribute values and numbers are found in the text, and what is
true of them is counted anew, in the plainest way. The reading does not depend on the language: within a sentence, every
number must belong to something that is true of the items and values that the sentence names.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeAlias, TypeVar

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import History, Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.titles import article_first
from genre_gen.domain import Domain
from genre_gen.explain.evidence import Fact, labels
from genre_gen.explain.wording import WORD, plain

NUMBER = re.compile(r"(?:(?<!\w)-)?\d+(?:\.\d+)?")
NUMBER_BEFORE = re.compile(r"\d\s+$")
END = re.compile(r"[.!?](?=\s|$)|[。！？]")
ROUNDED = 0.05 + 1e-6  # how far a number shown with one decimal may be from the true one
EXACT = 1e-3
HUNDREDTH = 0.005 + 1e-6  # the same for two decimals
KEY = 3  # characters by which phrases are looked up

Claim: TypeAlias = tuple[tuple[float, float], ...]
"""Numbers that are true together, each with its tolerance; a sentence may give them in any order."""


class Ordered(tuple[tuple[float, float], ...]):
    """A claim whose numbers a sentence gives in this order."""


Pair: TypeAlias = tuple[str, str]
"""Attribute and value."""
Meaning = TypeVar("Meaning")
_Link: TypeAlias = tuple[str, bool]
"""Relation of ``[knowledge]``, and whether it is spoken of in the plural."""


@dataclass(frozen=True)
class CheckReport:
    """What an explanation names, and what of it is not so.

    Attributes:
        problems: one line for each thing that the data does not bear out.
        items: titles named.
        values: attribute values named.
        numbers: numbers named.
    """

    problems: tuple[str, ...]
    items: int
    values: int
    numbers: int

    @property
    def ok(self) -> bool:
        """Tell whether everything is true."""
        return not self.problems


@dataclass(frozen=True)
class Measured:
    """What was measured by scoring again, with which sentences about it are compared.

    Attributes:
        claims: catalog rows of history items -> the numbers that may be said where these items are named and no others.
        other: catalog row of the item that the pick is compared with: a sentence names both, the pick first.
    """

    claims: Mapping[frozenset[int], tuple[Ordered, ...]]
    other: int | None = None

    @classmethod
    def of_effects(cls, effects: Mapping[int, float]) -> Measured:
        """Return that the item with the greatest effect weighed most of as many as were left out."""
        most = max(effects, key=lambda row: effects[row], default=None)
        return cls({} if most is None else {frozenset([most]): (Ordered([(len(effects), EXACT)]),)})


@dataclass
class _Sentence:
    """What one sentence names."""

    text: str = ""
    rows: list[int] = field(default_factory=list)
    values: list[tuple[str, frozenset[Pair]]] = field(default_factory=list)  # as written; what it may be
    links: list[tuple[str, frozenset[_Link], float | None]] = field(default_factory=list)  # with the number before it
    numbers: list[float] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Case:
    """Whom and what an explanation is about."""

    history: History
    row: int
    predicted: float | None
    ratings: dict[int, float | None]  # of each history item, the latest; None where there is none
    measured: Measured = Measured({})
    words: Collection[str] | None = None


class Checker:
    """Checks explanations. Build it once for a catalog and the interactions that explanations count in."""

    def __init__(
        self,
        catalog: Catalog,
        interactions: Interactions,
        domain: Domain,
        words: Collection[str] | None = None,
        knowledge: Knowledge | None = None,
    ) -> None:
        """Index the catalog.

        Args:
            catalog: the items.
            interactions: the training data.
            domain: says which ratings count as liked.
            words: all words an explanation may consist of beside data (see ``wording.vocabulary``), so that an invented
                title or attribute is noticed; None allows any.
            knowledge: the triples that may be cited.
        """
        self.catalog, self.interactions, self.domain, self.words = catalog, interactions, domain, words
        spoken = {plain(article_first(item.title)): row for row, item in enumerate(catalog)}
        written = {plain(item.title): row for row, item in enumerate(catalog)}
        self._titles = _Phrases({**spoken, **written}, exact=True)
        self._pairs = [
            frozenset((name, value) for name, values in labels(item).items() for value in values) for item in catalog
        ]
        every = frozenset().union(*self._pairs)
        meanings: dict[str, set[Pair]] = defaultdict(set)  # values that differ in case alone are written alike
        for pair in every:
            meanings[plain(pair[1]).casefold()].add(pair)
        values = {plain(value) for _, value in every}
        self._values = _Phrases({value: frozenset(meanings[value.casefold()]) for value in values}, exact=False)
        self.knowledge = knowledge
        called: dict[str, set[_Link]] = defaultdict(set)
        for name in knowledge.relations if knowledge else ():
            one, many = domain.knowledge.relations[name].called(name)
            called[one].add((name, False))
            called[many].add((name, True))
        self._links = _Phrases({phrase: frozenset(links) for phrase, links in called.items()}, exact=False)

    def check(
        self,
        text: str,
        history: History,
        row: int,
        predicted: float | None = None,
        measured: Measured | None = None,
        words: Collection[str] | None = None,
    ) -> CheckReport:
        """Compare a text about the pick in ``row`` with the data.

        Args:
            text: the explanation.
            history: what the user had.
            row: catalog row of the pick.
            predicted: the rating that was expected of this user, if it may be named.
            measured: what was measured by scoring again; None where nothing may be said of that.
            words: all words that this text may consist of beside data; None for those of the checker.
        """
        words = self.words if words is None else words
        case = _Case(history, row, predicted, _ratings(history), measured or Measured({}), words)
        # A title may consist of everyday words ("It"): read it as words, and as a title if that does not work out.
        reports = (self._report(text, case, titles_first) for titles_first in (False, True))
        first = next(reports)
        return first if first.ok else next((report for report in reports if report.ok), first)

    def sentences(self, text: str) -> list[str]:
        """Cut a text into sentences; the points of titles end none."""
        return [one.text for one in self._read(text, titles_first=True) if WORD.search(one.text)]

    def words_of(self, text: str) -> set[str]:
        """Return the words (lower case) of a text that are not data."""
        return {word.casefold() for one in self._read(text, titles_first=True) for word in one.words}

    def says(self, fact: Fact, text: str) -> bool:
        """Tell whether a sentence names all that a fact is about, but for the pick; whether it is so is not asked."""
        called = self.domain.knowledge.relations.get(fact.field) if fact.relation == "linked" else None
        anchor = fact.subject if fact.relation in ("followed_by", "liked_too", "weighed") else fact.object
        anchors = set() if anchor is None or fact.relation == "predicted" else {anchor}
        for one in (sentence for first in (False, True) for sentence in self._read(text, first)):
            numbers = [*one.numbers, *(number for *_, number in one.links if number is not None)]
            if called is not None and fact.numbers == (1,):  # in words
                numbers.append(1)
            values = {pair for _, pairs in one.values for pair in pairs}
            linked = {name for _, links, _ in one.links for name, _ in links}
            if (
                anchors <= {*one.rows}
                and {(fact.field, value) for value in fact.values} <= values
                and set(fact.numbers) <= {*numbers}
                and (fact.relation != "linked" or fact.field in linked)
            ):
                return True
        return False

    def holds(
        self,
        fact: Fact,
        history: History,
        row: int,
        predicted: float | None = None,
        measured: Measured | None = None,
    ) -> bool:
        """Tell whether a fact about the pick in ``row`` is true; see :meth:`check`."""
        case = _Case(history, row, predicted, _ratings(history), measured or Measured({}))
        if fact.relation == "weighed":
            known = case.measured.claims.get(frozenset([] if fact.subject is None else [fact.subject]), ())
            return fact.object == row and fact.subject in case.ratings and _agree(fact.numbers, known)
        if fact.relation in ("rated", "had", "shares", "followed_by", "linked", "liked_too"):
            return self._holds_of_anchor(fact, case)
        if fact.relation in ("liked", "often"):
            pairs = {(fact.field, value) for value in fact.values} & self._pairs[row]
            claims = (claim for pair in pairs for claim in self._taste(case, pair, fact.relation))
            return len(fact.values) == 1 and _agree(fact.numbers, claims)
        ends = (None, row) if fact.relation == "predicted" else (row, None)
        return (fact.subject, fact.object) == ends and _agree(fact.numbers, self._of_pick(case, fact.relation))

    def _holds_of_anchor(self, fact: Fact, case: _Case) -> bool:
        leads = fact.relation in ("followed_by", "liked_too")
        anchor, other = (fact.subject, fact.object) if leads else (fact.object, fact.subject)
        if anchor is None or anchor not in case.ratings:
            return False
        if fact.relation in ("rated", "had"):
            rating = case.ratings[anchor]
            return other is None and fact.numbers == (() if rating is None else (rating,))
        if fact.relation == "shares":
            pairs = {(fact.field, value) for value in fact.values}
            return other == case.row and bool(pairs) and pairs <= self._pairs[case.row] & self._pairs[anchor]
        if fact.relation == "linked":
            return other == case.row and _agree(fact.numbers, self._linked(fact.field, case.row, anchor))
        claims = self._liked_too if fact.relation == "liked_too" else self._followed
        return other == case.row and _agree(fact.numbers, claims(anchor, case.row))

    def _report(self, text: str, case: _Case, titles_first: bool) -> CheckReport:
        sentences = list(self._read(text, titles_first, case.words))
        problems = tuple(problem for sentence in sentences for problem in self._problems(sentence, case))
        counts = [sum(len(getattr(one, name)) for one in sentences) for name in ("rows", "values", "numbers")]
        return CheckReport(problems, *counts)

    def _read(self, text: str, titles_first: bool, words: Collection[str] | None = None) -> Iterator[_Sentence]:
        """Yield the sentences of a text, as what they name; a title that consists of ``words`` may be no title."""
        words = self.words if words is None else words
        sentence, place, begin = _Sentence(), 0, 0
        while place < len(text):
            title, value = self._titles.at(text, place), self._values.at(text, place)
            link = self._links.at(text, place)
            number, word, end = NUMBER.match(text, place), WORD.match(text, place), END.match(text, place)
            if title and (titles_first or not _everyday(title[0], words)):
                sentence.rows.append(title[1])
                place += len(title[0])
            elif value and (titles_first or not _everyday(value[0], words)):
                sentence.values.append(value)
                place += len(value[0])
            elif link:
                counted = NUMBER_BEFORE.search(text, 0, place)
                sentence.links.append((*link, sentence.numbers.pop() if counted and sentence.numbers else None))
                place += len(link[0])
            elif number:
                sentence.numbers.append(float(number[0]))
                place = number.end()
            elif word:
                sentence.words.append(word[0])
                place = word.end()
            else:
                place += 1
                if end:
                    sentence.text, begin = text[begin:place].strip(), place
                    yield sentence
                    sentence = _Sentence()
        sentence.text = text[begin:].strip()
        yield sentence

    def _problems(self, sentence: _Sentence, case: _Case) -> Iterator[str]:
        for word in sentence.words:
            if case.words is not None and word.casefold() not in case.words:
                yield f"{word!r} is neither data nor one of the domain's words"
        anchors = {*sentence.rows} - {case.row, case.measured.other}
        compared = [row for row in sentence.rows if row in (case.row, case.measured.other)]
        if case.measured.other is not None and compared[:1] == [case.measured.other]:
            yield "the pick is not named before the item that it is compared with"
        for row in anchors - case.ratings.keys():
            yield f"{self.catalog[row].title!r} is neither the pick nor in the history"
        for written, pairs in sentence.values:
            if not any(all(pair in self._pairs[row] for row in {case.row, *anchors}) for pair in pairs):
                yield f"{written!r} is not true of every item that the sentence is about"
        for written, links, number in sentence.links:
            if not anchors or not any(self._tied(link, number, row, case) for link in links for row in anchors):
                yield f"{written!r} is not what ties the pick to an item that the sentence names"
        claims = list(self._claims(sentence, anchors & case.ratings.keys(), case))
        if not _covered(tuple(sentence.numbers), claims):
            shown = ", ".join(f"{number:g}" for number in sentence.numbers)
            yield f"the numbers {shown} are not what the data says about what the sentence names"

    def _tied(self, link: _Link, number: float | None, anchor: int, case: _Case) -> bool:
        """Tell whether a graph ties pick and anchor so: by one where the singular is used, else by so many."""
        name, several = link
        claims = list(self._linked(name, case.row, anchor))
        if claims == [()]:
            return number is None
        return _agree([1 if number is None else number], claims) and several == (number not in (None, 1))

    def _linked(self, name: str, row: int, anchor: int) -> Iterator[Claim]:
        """Yield how many entities of a relation two items share; no number where the one leads to the other."""
        graph = self.knowledge
        if graph is None or name not in graph.relations:
            return
        place = graph.relations.index(name)
        if graph.to_items[place]:
            if anchor in self._known[row, place]:
                yield ()
        elif both := self._known[row, place] & self._known[anchor, place]:
            yield ((len(both), EXACT),)

    def _liked_too(self, anchor: int, row: int) -> Iterator[Claim]:
        """Yield how many who liked the anchor liked the pick, of those who liked the anchor and rated the pick."""
        least, theirs, mine = self.domain.liked_from, self._stars[anchor], self._stars[row]
        if least is not None:
            ratings = [mine[user] for user, rating in theirs.items() if rating >= least and user in mine]
            yield from _counts(sum(1 for rating in ratings if rating >= least), len(ratings))

    def _claims(self, sentence: _Sentence, anchors: Collection[int], case: _Case) -> Iterator[Claim]:
        """Yield what numbers may be said of the things that a sentence names.

        How many went on from one item to another may be said where the one is named first: reversed, it is not so.
        """
        if case.measured.other is None or {case.row, case.measured.other} <= {*sentence.rows}:
            yield from case.measured.claims.get(frozenset(anchors), ())
        for row in anchors:
            rating = case.ratings[row]
            if rating is not None:
                yield ((rating, EXACT),)
            if case.row not in sentence.rows or sentence.rows.index(row) < sentence.rows.index(case.row):
                yield from self._followed(row, case.row)
                yield from self._liked_too(row, case.row)
        for pair in {pair for _, pairs in sentence.values for pair in pairs} & self._pairs[case.row]:
            yield from self._taste(case, pair, "often")
            yield from ((*claim, (self.domain.liked_from or 0, EXACT)) for claim in self._taste(case, pair, "liked"))
        for relation in ("predicted", "average", "had_by"):
            yield from self._of_pick(case, relation)

    def _followed(self, anchor: int, row: int) -> Iterator[Claim]:
        """Yield how many people had the anchor and later the pick, of how many who had the anchor."""
        before, after = self._moments[anchor], self._moments[row]
        count = sum(1 for user, (first, _) in before.items() if user in after and first < after[user][1])
        yield from _counts(count, len(before))

    def _taste(self, case: _Case, pair: Pair, relation: str) -> Iterator[Claim]:
        """Yield how many items with a value the user liked, of those rated; or how many the user had, of all."""
        having = [row for row in case.ratings if row != case.row and pair in self._pairs[row]]
        if relation == "often":
            yield from _counts(len(having), len(case.ratings))
        elif self.domain.liked_from is not None:
            ratings = [rating for row in having if (rating := case.ratings[row]) is not None]
            yield from _counts(sum(1 for rating in ratings if rating >= self.domain.liked_from), len(ratings))

    def _of_pick(self, case: _Case, relation: str) -> Iterator[Claim]:
        """Yield the predicted rating and the user's mean, the mean rating of how many, or how many had the pick."""
        own = [rating for rating in case.ratings.values() if rating is not None]
        rated = self._stars[case.row].values()
        if relation == "predicted" and case.predicted is not None and own:
            yield ((case.predicted, ROUNDED), (sum(own) / len(own), ROUNDED))
        elif relation == "average" and rated:
            yield ((sum(rated) / len(rated), ROUNDED), (len(rated), EXACT))
        elif relation == "had_by":
            yield from _counts(len(self._moments[case.row]), len(self.interactions.users))

    @cached_property
    def _moments(self) -> dict[int, dict[int, tuple[float, float]]]:
        """Return item -> user -> first and last moment (time, or place in the history where there are no times)."""
        moments: dict[int, dict[int, tuple[float, float]]] = defaultdict(dict)
        for user, history in enumerate(self.interactions.histories()):
            times = range(len(history)) if history.times is None else history.times.tolist()
            for row, time in zip(history.rows.tolist(), times, strict=True):
                first, last = moments[row].get(user, (time, time))
                moments[row][user] = (min(first, time), max(last, time))
        return moments

    @cached_property
    def _known(self) -> dict[tuple[int, int], set[int]]:
        """Return (item, relation) -> what the graph's triples lead to."""
        known: dict[tuple[int, int], set[int]] = defaultdict(set)
        for row, relation, tail in self.knowledge.triples.tolist() if self.knowledge else ():
            known[row, relation].add(tail)
        return known

    @cached_property
    def _stars(self) -> dict[int, dict[int, float]]:
        """Return item -> user -> latest rating."""
        stars: dict[int, dict[int, float]] = defaultdict(dict)
        for user, history in enumerate(self.interactions.histories()):
            if history.ratings is not None:
                pairs = zip(history.rows.tolist(), history.ratings.tolist(), strict=True)
                for row, rating in ((row, rating) for row, rating in pairs if not math.isnan(rating)):
                    stars[row][user] = rating
        return stars


class _Phrases(Generic[Meaning]):
    """Finds the longest of many phrases at a place in a text."""

    def __init__(self, phrases: Mapping[str, Meaning], exact: bool) -> None:
        """Index phrases by how they begin; ``exact`` tells upper from lower case."""
        self._fold: Callable[[str], str] = str if exact else str.casefold
        self._by_start: dict[str, list[tuple[int, str, Meaning]]] = defaultdict(list)
        for phrase in sorted(filter(None, phrases), key=len, reverse=True):
            self._by_start[self._fold(phrase[:KEY])].append((len(phrase), self._fold(phrase), phrases[phrase]))

    def at(self, text: str, place: int) -> tuple[str, Meaning] | None:
        """Return the longest phrase that stands here between word boundaries, as written, and what it means."""
        for length in range(KEY, 0, -1) if _boundary(text, place) else ():
            for size, folded, meaning in self._by_start.get(self._fold(text[place : place + length]), ()):
                end = place + size
                if self._fold(text[place:end]) == folded and _boundary(text, end):
                    return text[place:end], meaning
        return None


def _boundary(text: str, place: int) -> bool:
    """Tell whether no word goes on across a place; scripts without case are written without spaces."""
    return not (0 < place < len(text) and _in_word(text[place - 1]) and _in_word(text[place]))


def _in_word(letter: str) -> bool:
    return letter.isdigit() or letter.lower() != letter.upper()


def _everyday(phrase: str, words: Collection[str] | None) -> bool:
    """Tell whether a phrase may as well be the explanation's own words."""
    own = WORD.findall(phrase)
    bare = not NUMBER.search(phrase)
    return bool(own) and bare and words is not None and all(word.casefold() in words for word in own)


def _ratings(history: History) -> dict[int, float | None]:
    """Return each item of a history with its latest rating."""
    if history.ratings is None:
        return dict.fromkeys(history.rows.tolist())
    pairs = zip(history.rows.tolist(), history.ratings.tolist(), strict=True)
    return {row: None if math.isnan(rating) else rating for row, rating in pairs}


def _counts(part: int, whole: int) -> Iterator[Claim]:
    """Yield a claim of two counts; where the part is all or nothing, the whole may stand alone."""
    yield ((part, EXACT), (whole, EXACT))
    if part in (0, whole):
        yield ((whole, EXACT),)


def _agree(numbers: Sequence[float], claims: Iterable[Claim]) -> bool:
    """Tell whether numbers are those of one of the claims."""
    return any(
        len(numbers) == len(claim)
        and all(abs(number - true) <= tolerance for number, (true, tolerance) in zip(numbers, claim, strict=True))
        for claim in claims
    )


def _covered(numbers: Sequence[float], claims: Sequence[Claim]) -> bool:
    """Tell whether numbers, in their order, are claims one after the other, each at most once."""
    if not numbers:
        return True
    return any(
        _agree(numbers[: len(claim)], [claim] if isinstance(claim, Ordered) else itertools.permutations(claim))
        and _covered(numbers[len(claim) :], [*claims[:place], *claims[place + 1 :]])
        for place, claim in enumerate(claims)
    )
