"""Free style: the language model writes as it likes, and what it says is compared with the data, sentence by sentence.

A sentence stays if everything it names is so, if it says at least one of the facts that were found, and if it has no
words but those in which the domain itself says these facts of this pick, and those of ``[explain] words``, which say
nothing. So "all" or "above" stand only where the domain would say so too. Any other sentence is replaced by one of the
domain's own.

The check reads names, values, numbers and links, and not grammar. What is said in the right words with true numbers may
still be said of the wrong thing: where Alien (1979) has 5 stars, "Aliens (1986), which you gave 5 stars, is like Alien
(1979)" is kept. The other styles cannot say such things.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from genre_gen.data.interactions import History
from genre_gen.explain.check import Checker, CheckReport
from genre_gen.explain.claims import ScoreClaims
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.facts import Fact
from genre_gen.explain.text import plain
from genre_gen.explain.wording import FREE, LENGTH, MAX_HISTORY, Sentences, unanswered, vocabulary
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt
from genre_gen.prompting.variables import entries, entry

Check: TypeAlias = Callable[[str, Collection[str]], CheckReport]
"""Compares a sentence about a pick with the data, and its words with those that may stand."""

BULLETS = "-–—•*· "  # marks of lists, as models like to begin with
MAX_REASONS = 4  # that the model is shown
TEMPERATURE = 0.3  # a small model says little that is so at higher ones


@dataclass(frozen=True)
class CheckedText:
    """A text that was written freely, once it is checked.

    Attributes:
        text: what is left of it, and what replaces the rest.
        facts: what it says.
        kept: how many of its sentences are the model's own.
    """

    text: str
    facts: tuple[Fact, ...]
    kept: int


def free_checker(evidence: Evidence, book: PromptBook) -> Checker:
    """Return what checks free texts: the words of the templates and of ``[explain]`` may stand, denials may not."""
    domain = evidence.domain
    words = vocabulary(book) | {word.casefold() for word in domain.explain.words}
    words -= {*domain.query.negations, "none"}
    return Checker(evidence.catalog, evidence.interactions, domain, words, evidence.knowledge)


def free_prompt(book: PromptBook, evidence: Evidence, options: Sentences, history: History, row: int) -> Prompt:
    """Return what the language model is asked: why the pick is recommended, given the facts."""
    shown = entries(evidence.catalog, history.last(MAX_HISTORY), evidence.domain.liked_from)
    facts = tuple(options.ways(number, first=True)[0] for number in range(min(MAX_REASONS, len(options.reasons))))
    item, name = entry(evidence.catalog, row), evidence.domain.name
    return unanswered(book.render(FREE, open=True, domain=name, history=shown, item=item, facts=facts))


def correct(draft: str, options: Sentences, checker: Checker, check: Check) -> CheckedText:
    """Keep what is so of a text, and say something that is so instead of the rest.

    Args:
        draft: as it was written.
        options: what may be said instead.
        checker: reads the text.
        check: compares a sentence about this pick, see :func:`pick_check`.
    """
    length = min(LENGTH, len(options.reasons))
    kept: list[tuple[str, tuple[Fact, ...]] | None] = []
    for written in checker.sentences(plain(draft))[:length]:
        sentence = _closed(written.lstrip(BULLETS), checker)
        facts = _facts(sentence, options, checker)
        stays = facts and (sentence, facts) not in kept and check(sentence, _words(facts, options, checker)).ok
        kept.append((sentence, facts) if stays else None)
    kept += [None] * (length - len(kept))
    used = _used([fact for part in kept if part for fact in part[1]], options)
    parts: list[tuple[str, tuple[Fact, ...]]] = []
    for index, part in enumerate(kept):
        left = [number for number in options.following(used) if number not in used]
        if part is not None:
            parts.append(part)
        elif left:
            used.append(left[0])
            ways = options.ways(left[0], first=not parts)
            parts.append((ways[index % len(ways)], options.reasons[left[0]].facts))
    facts = tuple(dict.fromkeys(fact for _, said in parts for fact in said))
    return CheckedText(" ".join(text for text, _ in parts), facts, sum(part is not None for part in kept))


def _closed(sentence: str, checker: Checker) -> str:
    """Return a sentence with a point where it ends without one: what follows would be read as its end."""
    return sentence if len(checker.sentences(f"{sentence} It.")) > 1 else f"{sentence}."


def pick_check(
    checker: Checker, history: History, row: int, predicted: float | None, effects: Mapping[int, float] | None
) -> Check:
    """Return what compares sentences about a pick with the data."""
    scores = ScoreClaims.of_effects(effects or {})
    return lambda sentence, words: checker.check(sentence, history, row, predicted, scores, words)


def _facts(sentence: str, options: Sentences, checker: Checker) -> tuple[Fact, ...]:
    """Return which of the facts that were found a sentence says, each once."""
    every = (fact for reason in options.reasons for fact in reason.facts)
    return tuple(dict.fromkeys(fact for fact in every if checker.says(fact, sentence)))


def _words(facts: tuple[Fact, ...], options: Sentences, checker: Checker) -> set[str]:
    """Return the words that may stand where these facts are said: the domain's own, and ``[explain] words``."""
    numbers = _used([*facts], options)
    ways = (way for number in numbers for first in (True, False) for way in options.ways(number, first=first))
    words = {word.casefold() for word in checker.domain.explain.words}.union(*map(checker.words_of, ways))
    return words.intersection(checker.words or ())  # without denials


def _used(facts: list[Fact], options: Sentences) -> list[int]:
    """Return the reasons of which something is said already."""
    return [number for number, reason in enumerate(options.reasons) if not set(facts).isdisjoint(reason.facts)]
