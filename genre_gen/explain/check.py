"""Check: reads an explanation as a text, and compares everything it names with the data.

Nothing is taken from the code that wrote it: titles, attribute values and numbers are found in the text, and what is
true of them is counted again. Within a sentence, every number must belong to something that is true of the items and
values that the sentence names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from genre_gen.data.catalog import Catalog
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.domain import Domain
from genre_gen.explain.claims import EXACT, ROUNDED, Claim, Recount, ScoreClaims, agree, covered, every_rating, part_of
from genre_gen.explain.facts import Fact
from genre_gen.explain.reading import ExplanationReader, Link, Pair, Sentence
from genre_gen.explain.shared_counts import SharedCounts, SharedRecount
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.languages.scripts import WORD, made_of


@dataclass(frozen=True)
class CheckReport:
    """How many titles, attribute values and numbers an explanation names, and what of it is not so.

    ``problems`` has one line for each thing that the data does not bear out.
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
class _Case:
    """Whom and what an explanation is about."""

    row: int
    predicted: float | None
    ratings: Mapping[int, float | None]  # of each history item, the latest; None without a rating
    scores: ScoreClaims
    words: Collection[str] | None = None


class Checker:
    """Checks explanations. Build it once for a catalog and the interactions that explanations count in."""

    def __init__(
        self,
        catalog: Catalog,
        interactions: Interactions | SharedCounts,
        domain: Domain,
        words: Collection[str] | None = None,
        knowledge: Knowledge | None = None,
    ) -> None:
        """Index the catalog, the training data and the triples that may be cited.

        ``words`` are all that an explanation may consist of next to data (see ``wording.vocabulary``), so that an
        invented title or attribute is noticed; None allows any.
        """
        self.catalog, self.domain, self.words = catalog, domain, words
        self._reader = ExplanationReader(catalog, domain, knowledge)
        self._recount: Recount | SharedRecount = (
            SharedRecount(interactions, knowledge)
            if isinstance(interactions, SharedCounts)
            else Recount(interactions, domain.liked_from, knowledge)
        )

    @property
    def language(self) -> DomainLanguage:
        """Return the language that is read."""
        return self._reader.language

    def check(
        self,
        text: str,
        history: History,
        row: int,
        predicted: float | None = None,
        scores: ScoreClaims | None = None,
        words: Collection[str] | None = None,
    ) -> CheckReport:
        """Compare a text for the user with a history, about the pick in ``row``, with the data.

        It may name the rating that was ``predicted``, and what was measured by scoring again. ``words`` are all that it
        may consist of next to data; None for those of the checker.
        """
        words = self.words if words is None else words
        case = _Case(row, predicted, dict(every_rating(history)), scores or ScoreClaims({}), words)
        # A title may consist of everyday words ("It"): read it as words, and as a title if that does not work out.
        as_words = self._report(text, case, titles_first=False)
        if as_words.ok:
            return as_words
        as_titles = self._report(text, case, titles_first=True)
        return as_titles if as_titles.ok else as_words

    def sentences(self, text: str) -> list[str]:
        """Cut a text into sentences; the points of titles end none."""
        return [part.text for part in self._reader.read(text, titles_first=True) if WORD.search(part.text)]

    def words_of(self, text: str) -> set[str]:
        """Return the words (lower case) of a text that are not data."""
        return {word.casefold() for part in self._reader.read(text, titles_first=True) for word in part.words}

    def says(self, fact: Fact, text: str) -> bool:
        """Tell whether a sentence names all parts of a fact, except for the pick; its truth is not checked."""
        called = self.domain.knowledge.relations.get(fact.field) if fact.relation == "linked" else None
        anchor = fact.subject if fact.relation in ("followed_by", "liked_too", "weighed") else fact.object
        anchors = set() if anchor is None or fact.relation == "predicted" else {anchor}
        readings = (self._reader.read(text, titles_first=first, words=self.words) for first in (False, True))
        for sentence in (sentence for reading in readings for sentence in reading):
            numbers = [*sentence.numbers, *(number for *_, number in sentence.links if number is not None)]
            if called is not None and fact.numbers == (1,):  # in words
                numbers.append(1)
            values = {pair for _, pairs in sentence.values for pair in pairs}
            linked = {name for _, links, _ in sentence.links for name, _ in links}
            if (
                anchors <= {*sentence.rows}
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
        scores: ScoreClaims | None = None,
    ) -> bool:
        """Tell whether a fact about the pick in ``row`` is true; see :meth:`check`."""
        case = _Case(row, predicted, dict(every_rating(history)), scores or ScoreClaims({}))
        pairs = {(fact.field, value) for value in fact.values}
        if fact.relation in ("predicted", "average", "had_by"):
            ends = (None, row) if fact.relation == "predicted" else (row, None)
            return (fact.subject, fact.object) == ends and agree(fact.numbers, self._of_pick(case, fact.relation))
        if fact.relation in ("liked", "often"):
            taste = (c for pair in pairs & self._reader.pairs[row] for c in self._taste(case, pair, fact.relation))
            return len(fact.values) == 1 and agree(fact.numbers, taste)
        leads = fact.relation in ("followed_by", "liked_too", "weighed")
        anchor, other = (fact.subject, fact.object) if leads else (fact.object, fact.subject)
        if anchor is None or anchor not in case.ratings:
            return False
        if other != (None if fact.relation in ("rated", "had") else row):
            return False
        if fact.relation == "shares":
            return bool(pairs) and pairs <= self._reader.pairs[row] & self._reader.pairs[anchor]
        return agree(fact.numbers, self._of_anchor(case, fact.relation, anchor, fact.field))

    def _of_anchor(self, case: _Case, relation: str, anchor: int, name: str) -> Iterable[Claim]:
        """Return what numbers are true of an item of the history, or of it and the pick."""
        if relation in ("rated", "had"):
            rating = case.ratings[anchor]
            return [() if rating is None else ((rating, EXACT),)]
        if relation == "weighed":
            return case.scores.claims.get(frozenset([anchor]), ())
        if relation == "linked":
            return self._recount.linked(name, case.row, anchor)
        return (self._recount.liked_too if relation == "liked_too" else self._recount.followed)(anchor, case.row)

    def _report(self, text: str, case: _Case, titles_first: bool) -> CheckReport:
        sentences = list(self._reader.read(text, titles_first=titles_first, words=case.words))
        problems = tuple(problem for sentence in sentences for problem in self._problems(sentence, case))
        counts = [sum(len(getattr(part, name)) for part in sentences) for name in ("rows", "values", "numbers")]
        return CheckReport(problems, *counts)

    def _problems(self, sentence: Sentence, case: _Case) -> Iterator[str]:
        for word in sentence.words:
            if case.words is not None and not made_of(word, case.words):
                yield f"{word!r} is neither data nor one of the domain's words"
        anchors = {*sentence.rows} - {case.row, case.scores.other}
        compared = [row for row in sentence.rows if row in (case.row, case.scores.other)]
        if case.scores.other is not None and compared[:1] == [case.scores.other]:
            yield "the pick is not named before the item that it is compared with"
        for row in anchors - case.ratings.keys():
            yield f"{self.catalog[row].title!r} is neither the pick nor in the history"
        for written, pairs in sentence.values:
            if not any(all(pair in self._reader.pairs[row] for row in {case.row, *anchors}) for pair in pairs):
                yield f"{written!r} is not true of every item that the sentence is about"
        for written, links, number in sentence.links:
            if not anchors or not any(self._tied(link, number, row, case) for link in links for row in anchors):
                yield f"{written!r} is not what ties the pick to an item that the sentence names"
        claims = list(self._claims(sentence, anchors & case.ratings.keys(), case))
        if not covered(tuple(sentence.numbers), claims):
            shown = ", ".join(f"{number:g}" for number in sentence.numbers)
            yield f"the numbers {shown} are not what the data says about what the sentence names"

    def _tied(self, link: Link, number: float | None, anchor: int, case: _Case) -> bool:
        """Tell whether a graph ties pick and anchor so: by one where the singular is used, else by so many."""
        name, several = link
        claims = list(self._recount.linked(name, case.row, anchor))
        if claims == [()]:
            return number is None
        return agree([1 if number is None else number], claims) and several == (number not in (None, 1))

    def _claims(self, sentence: Sentence, anchors: Collection[int], case: _Case) -> Iterator[Claim]:
        """Yield what numbers may be said of the things that a sentence names.

        How many went on from one item to another may be said where the one is named first: reversed, it is not so.
        """
        if case.scores.other is None or {case.row, case.scores.other} <= {*sentence.rows}:
            yield from case.scores.claims.get(frozenset(anchors), ())
        for row in anchors:
            rating = case.ratings[row]
            if rating is not None:
                yield ((rating, EXACT),)
            if case.row not in sentence.rows or sentence.rows.index(row) < sentence.rows.index(case.row):
                yield from self._recount.followed(row, case.row)
                yield from self._recount.liked_too(row, case.row)
        for pair in {pair for _, pairs in sentence.values for pair in pairs} & self._reader.pairs[case.row]:
            yield from self._taste(case, pair, "often")
            yield from ((*claim, (self.domain.liked_from or 0, EXACT)) for claim in self._taste(case, pair, "liked"))
        for relation in ("predicted", "average", "had_by"):
            yield from self._of_pick(case, relation)

    def _taste(self, case: _Case, pair: Pair, relation: str) -> Iterator[Claim]:
        """Yield how many items with a value the user liked, of those rated; or how many the user had, of all."""
        having = [row for row in case.ratings if row != case.row and pair in self._reader.pairs[row]]
        if relation == "often":
            yield from part_of(len(having), len(case.ratings))
        elif self.domain.liked_from is not None:
            ratings = [rating for row in having if (rating := case.ratings[row]) is not None]
            yield from part_of(sum(1 for rating in ratings if rating >= self.domain.liked_from), len(ratings))

    def _of_pick(self, case: _Case, relation: str) -> Iterator[Claim]:
        """Yield the predicted rating and the user's mean, the mean rating of how many, or how many had the pick."""
        ratings = [rating for rating in case.ratings.values() if rating is not None]
        if relation == "predicted" and case.predicted is not None and ratings:
            yield ((case.predicted, ROUNDED), (sum(ratings) / len(ratings), ROUNDED))
        elif relation == "average":
            yield from self._recount.average(case.row)
        elif relation == "had_by":
            yield from self._recount.had_by(case.row)
