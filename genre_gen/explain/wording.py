"""Wording: from reasons to sentences, in the words of ``prompts/<domain>/explain.*`` alone.

``explain.assistant.jinja`` is rendered once for each reason and position in the text (first sentence or a later one);
every line that is not blank is one way to say it. Those lines are all that an explanation may consist of:
:func:`grammar` turns them into an Outlines grammar for the language model, :func:`template` picks without one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from genre_gen.data.history import History
from genre_gen.errors import PromptError
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.facts import Fact, Kind, Reason
from genre_gen.explain.text import plain
from genre_gen.languages.scripts import WORD
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Message, Prompt
from genre_gen.prompting.variables import Entry

if TYPE_CHECKING:
    from outlines.types import CFG

EXPLAIN = "explain"
SCORES = "explain_scores"  # the same for scores: what was measured by scoring again
WORDS = "words.jinja"  # macros that other templates import
PINNED = "explain_pinned"  # what is said of items that a rule put where they are
FREE = "explain_free"  # how the language model is asked to write freely
MAX_HISTORY = 50  # items that the prompt may show
LENGTH = 2  # sentences of an explanation, where there are so many reasons
OPENINGS: tuple[tuple[Kind, ...], ...] = (
    ("anchor", "linked", "similar", "weighed"),
    ("liked", "often"),
)  # of what a text begins with, where it can
COMMENT = re.compile(r"{#.*?#}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ReasonView:
    """A reason as ``explain.assistant.jinja`` sees it. What a reason does not have is None.

    Attributes:
        kind: ``anchor`` (a history item that the pick has something to do with), ``linked`` (a graph ties the pick to a
            history item), ``similar`` (users who like a history item like the pick), ``liked`` and ``often``
            (attributes), ``predicted``, ``average``, ``popular``.
        anchor: the history item, an entry with ``.title`` and ``.rating``.
        field: name of the attribute that ``shared`` are values of; of the relation, where a graph is cited.
        link: what ``[knowledge.relations]`` calls what both have, in the plural for several (``count`` says how many);
            or, where there is no ``count``, what the pick is to the history item, such as its sequel.
        shared: the attribute values that the pick has in common with the anchor, or with what the user likes.
        count: how many of ``total``: people who went on from the anchor to the pick, items liked, people who had it.
        total: see ``count``; also how many people's ratings ``average`` is of.
        average: mean rating, by all (``average``) or by this user (``predicted``).
        expected: the predicted rating.
        liked_from: rating from which an item counts as liked.
    """

    kind: str
    anchor: Entry | None = None
    field: str | None = None
    link: str | None = None
    shared: tuple[str, ...] | None = None
    count: int | None = None
    total: int | None = None
    average: float | None = None
    expected: float | None = None
    liked_from: float | None = None


@dataclass(frozen=True, slots=True)
class ScoreView:
    """What was measured by scoring again, as ``explain_scores.assistant.jinja`` sees it.

    Attributes:
        kind: ``weighed`` (of the last ``total`` items, ``seen`` did most for the pick); ``ahead`` (scores of pick and
            other); ``member`` (what one member of the blend gives both); ``without`` (scores of both without ``seen``);
            ``change`` (the pick's rank without ``seen``); ``steady`` (its rank is the same without any ``total``).
        seen: items of the history.
        total: see ``kind``.
        member: name of a member of the blend.
        scores: of the pick and of the other, in this order.
        ranks: of the pick, before and after.
    """

    kind: str
    seen: tuple[Entry, ...] = ()
    total: int | None = None
    member: str | None = None
    scores: tuple[float, float] | None = None
    ranks: tuple[int, int] | None = None


class Sentences:
    """All ways to say the reasons for one pick; rendered when asked for, since a text says few of them.

    Attributes:
        reasons: what can be said.
        joint: the separator of two sentences.
    """

    def __init__(
        self, book: PromptBook, evidence: Evidence, history: History, row: int, reasons: Sequence[Reason]
    ) -> None:
        """Hold at least one reason for the pick in a catalog row, found by ``evidence``, and the templates."""
        self._book, self._evidence, self._history, self._row = book, evidence, history, row
        self._about = {"domain": evidence.domain.name, "item": evidence.entry(row)}
        self.joint = evidence.language.tables.explain.joint
        self.reasons = tuple(reasons)
        self._ways = cache(self._render)

    @cached_property
    def prompt(self) -> Prompt:
        """Return what a language model is asked; its answer is open."""
        worded = next((reason for reason in self.reasons if reason.kind != "weighed"), self.reasons[0])
        return self.unanswered(EXPLAIN, **self._given(worded, first=True))

    def unanswered(self, task: str, **given: Any) -> Prompt:
        """Return a prompt about the pick that shows the latest items of the history and leaves the answer open."""
        shown = self._evidence.entries(self._history.last(MAX_HISTORY))
        asked = self._book.render(task, open=True, history=shown, **self._about, **given)
        return Prompt(EXPLAIN, (*asked.messages[:-1], Message("assistant", ())), open=True)

    def _given(self, reason: Reason, *, first: bool) -> dict[str, Any]:
        return {"scale": self._evidence.domain.rating_scale, "reason": _view(reason, self._evidence), "first": first}

    def _render(self, number: int, first: bool) -> tuple[str, ...]:
        reason = self.reasons[number]
        if reason.kind == "weighed" and reason.anchor is not None:
            seen = (self._evidence.entry(reason.anchor),)
            view = ScoreView("weighed", seen, total=int(reason.facts[0].numbers[0]))
            return score_lines(self._book, self._evidence, view, self._row, first=first)
        message = self._book.say(EXPLAIN, history=(), **self._about, **self._given(reason, first=first))
        return _lines(message, self._book.file(EXPLAIN), reason.kind, first)

    @property
    def first(self) -> tuple[tuple[str, ...], ...]:
        """Return for each reason the ways to say it at the start of the text."""
        return tuple(self.ways(number, first=True) for number in range(len(self.reasons)))

    @property
    def later(self) -> tuple[tuple[str, ...], ...]:
        """Return for each reason the ways to say it further on."""
        return tuple(self.ways(number, first=False) for number in range(len(self.reasons)))

    def ways(self, number: int, *, first: bool) -> tuple[str, ...]:
        """Return the ways to say one reason.

        Raises:
            PromptError: a template that fails, or that has no words for the reason.
        """
        return self._ways(number, first)

    def following(self, used: Collection[int]) -> list[int]:
        """Return which reasons may be said once some are said, the most useful first.

        A text begins with the reason closest to the user, and continues with another kind of reason if possible.
        """
        kinds = [reason.kind for reason in self.reasons]
        wanted = [set(kinds) - {kinds[number] for number in used}] if used else [*OPENINGS]
        choices = ([n for n, kind in enumerate(kinds) if kind in some and n not in used] for some in [*wanted, kinds])
        return next((choice for choice in choices if choice), [])

    def reasons_in(self, text: str) -> tuple[int, ...] | None:
        """Return which reasons a text says, in order; None if it is not made of these sentences."""
        return next(self._parse(text, ()), None)

    def facts_in(self, text: str) -> tuple[Fact, ...]:
        """Return the facts that a text made of these sentences says, in order."""
        return tuple(fact for number in self.reasons_in(text) or () for fact in self.reasons[number].facts)

    def _parse(self, text: str, used: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        for number in self.following(used):
            for way in self.ways(number, first=not used):
                if text == way:
                    yield (*used, number)
                elif text.startswith(way + self.joint):
                    yield from self._parse(text[len(way + self.joint) :], (*used, number))


def vocabulary(book: PromptBook) -> frozenset[str]:
    """Return the words (lower case) of the templates that explanations are made of: all that they say next to data."""
    names = (name for name in book.sources if name == WORDS or name.startswith((f"{EXPLAIN}.", f"{SCORES}.")))
    sources = (COMMENT.sub(" ", book.sources[name]) for name in names)
    return frozenset(word.casefold() for source in sources for word in WORD.findall(source))


def template(parts: Sequence[Sentences]) -> list[str]:
    """Say each pick's best reasons without a language model, in words that differ from pick to pick."""
    texts = []
    for index, options in enumerate(parts):
        used: list[int] = []
        text = []
        while len(used) < min(LENGTH, len(options.reasons)):
            number = options.following(used)[0]
            ways = options.ways(number, first=not used)
            text.append(ways[(index + len(used)) % len(ways)])
            used.append(number)
        texts.append(options.joint.join(text))
    return texts


def grammar(options: Sentences) -> CFG:
    """Return the language of all texts that :class:`Sentences` allows: ``LENGTH`` sentences, no reason twice."""
    from outlines.types import CFG

    length = min(LENGTH, len(options.reasons))
    rules: dict[str, str] = {}

    def rule(used: tuple[int, ...]) -> str:
        """Name the rule for what follows once some reasons are said."""
        name = "_".join(["after", *map(str, sorted(used))]) if used else "start"
        if name not in rules:
            position = "later" if used else "first"
            ends = len(used) + 1 == length
            rules[name] = " | ".join(
                f"{position}_{number}" + ("" if ends else f" {rule((*used, number))}")
                for number in options.following(used)
            )
        return name

    rule(())
    for number in range(len(options.reasons)):
        # JSON's escapes are Lark's, and keep every character out of the grammar's syntax.
        rules[f"first_{number}"] = " | ".join(map(json.dumps, options.first[number]))
        rules[f"later_{number}"] = " | ".join(json.dumps(options.joint + way) for way in options.later[number])
    return CFG("\n".join(f"{name}: {body}" for name, body in rules.items()))


def score_lines(
    book: PromptBook, evidence: Evidence, view: ScoreView, row: int, other: int | None = None, *, first: bool = True
) -> tuple[str, ...]:
    """Return the ways to say something that was measured about the pick in ``row``, compared with ``other``.

    Raises:
        PromptError: a template that fails, or that has no words for it.
    """
    item, second = evidence.entry(row), None if other is None else evidence.entry(other)
    message = book.say(SCORES, domain=evidence.domain.name, item=item, other=second, reason=view, first=first)
    return _lines(message, book.file(SCORES), view.kind, first)


def pinned_lines(book: PromptBook, evidence: Evidence, row: int) -> tuple[str, ...]:
    """Return the ways to say that a rule put an item where it is; raises PromptError as :func:`score_lines` does."""
    message = book.say(PINNED, domain=evidence.domain.name, item=evidence.entry(row))
    return _lines(message, book.file(PINNED), "pinned", True)


def _view(reason: Reason, evidence: Evidence) -> ReasonView:
    """Lay out a reason's facts as the template names them."""
    seen: dict[str, Any] = {"kind": reason.kind, "liked_from": evidence.domain.liked_from}
    rating = None
    for fact in reason.facts:
        if fact.values:
            shared = tuple(evidence.language.label(fact.field, value) for value in fact.values)
            seen |= {"field": fact.field, "shared": shared}
        match fact.relation, fact.numbers:
            case "rated", (stars,):
                rating = stars
            case "average", (mean, total):
                seen |= {"average": mean, "total": int(total)}
            case "predicted", (expected, mean):
                seen |= {"expected": expected, "average": mean}
            case "linked", counts:
                singular, plural = evidence.language.relations[fact.field]
                count = int(counts[0]) if counts else None
                seen |= {"field": fact.field, "count": count, "link": plural if (count or 1) > 1 else singular}
            case _, (part, total):
                seen |= {"count": int(part), "total": int(total)}
    if reason.anchor is not None:
        seen["anchor"] = evidence.entry(reason.anchor, rating)
    return ReasonView(**seen)


def _lines(message: Message, where: str, kind: str, first: bool) -> tuple[str, ...]:
    """Split what was rendered for a reason at the template's own line breaks; a value cannot break a line."""
    text = "".join(span.text if span.kind == "text" else plain(span.text) for span in message.spans)
    lines = tuple(dict.fromkeys(" ".join(line.split()) for line in text.split("\n") if line.strip()))
    if not lines:
        raise PromptError(
            f"{where}: no line for a reason of kind {kind!r} with first = {str(first).lower()}; every kind needs one"
        )
    return lines
