"""Free style: the language model writes as it likes, and what it says is compared with the data, sentence by sentence.

A sentence stays if everything it names is so, if it says at least one of the facts that were found, and if it has no
words but those in which the domain itself says these facts of this pick, and those of ``[explain] words``, which say
nothing. So "all" or "above" stand only where the domain would say so too. In the place of any other sentence stands one
of the domain's own.

The check reads names, values, numbers and links, and not grammar. What is said in the right words with true numbers may
still be said of the wrong thing: where Alien (1979) has 5 stars, "Aliens (1986), which you gave 5 stars, is like Alien
(1979)" is kept. The other styles cannot say such things.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from genre_gen.data.interactions import History
from genre_gen.explain.check import Checker, CheckReport, Measured
from genre_gen.explain.evidence import Evidence, Fact
from genre_gen.explain.wording import FREE, LENGTH, MAX_HISTORY, TASK, Sentences, plain, vocabulary
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Message, Prompt
from genre_gen.prompting.variables import entries, entry

Check: TypeAlias = Callable[[str, Collection[str]], CheckReport]
"""Compares a sentence about a pick with the data, and its words with those that may stand."""

BULLETS = "-–—•*· "  # marks of lists, as models like to begin with
SHOWN = 4  # reasons that it is shown
TEMPERATURE = 0.3  # a small model says little that is so at higher ones


@dataclass(frozen=True)
class Checked:
    """A text that was written freely, once it is checked.

    Attributes:
        text: what is left of it, and what stands for the rest.
        facts: what it says.
        kept: how many of its sentences are the model's own.
    """

    text: str
    facts: tuple[Fact, ...]
    kept: int


def free_checker(evidence: Evidence, book: PromptBook) -> Checker:
    """Return what checks free texts: the words of the templates and of ``[explain]`` may stand, denials may not."""
    domain = evidence.domain
    words = (vocabulary(book) | {word.casefold() for word in domain.explain.words}) - {*domain.query.no, "none"}
    return Checker(evidence.catalog, evidence.interactions, domain, words, evidence.knowledge)


def free_prompt(book: PromptBook, evidence: Evidence, said: Sentences, history: History, row: int) -> Prompt:
    """Return what the language model is asked: why the pick is recommended, given the facts.

    Without templates of its own it is asked as for a choice among sentences.
    """
    if not book.has(FREE):
        return said.prompt
    shown = entries(evidence.catalog, history.last(MAX_HISTORY), evidence.domain.liked_from)
    told = tuple(said.ways(number, first=True)[0] for number in range(min(SHOWN, len(said.reasons))))
    item = entry(evidence.catalog, row)
    asked = book.render(FREE, open=True, domain=evidence.domain.name, history=shown, item=item, facts=told)
    return Prompt(TASK, (*asked.messages[:-1], Message("assistant", ())), open=True)


def checked(draft: str, said: Sentences, checker: Checker, check: Check) -> Checked:
    """Keep what is so of a text, and say something that is so for the rest.

    Args:
        draft: as it was written.
        said: what may be said otherwise.
        checker: reads the text.
        check: compares a sentence about this pick, see :func:`about`.
    """
    length = min(LENGTH, len(said.reasons))
    kept: list[tuple[str, tuple[Fact, ...]] | None] = []
    for sentence in (_closed(one.lstrip(BULLETS), checker) for one in checker.sentences(plain(draft))[:length]):
        facts = _facts(sentence, said, checker)
        stays = facts and (sentence, facts) not in kept and check(sentence, _words(facts, said, checker)).ok
        kept.append((sentence, facts) if stays else None)
    kept += [None] * (length - len(kept))
    used = _used([fact for one in kept if one for fact in one[1]], said)
    parts: list[tuple[str, tuple[Fact, ...]]] = []
    for place, one in enumerate(kept):
        left = [number for number in said.following(used) if number not in used]
        if one is not None:
            parts.append(one)
        elif left:
            used.append(left[0])
            ways = said.ways(left[0], first=not parts)
            parts.append((ways[place % len(ways)], said.reasons[left[0]].facts))
    facts = tuple(dict.fromkeys(fact for _, part in parts for fact in part))
    return Checked(" ".join(text for text, _ in parts), facts, sum(one is not None for one in kept))


def _closed(sentence: str, checker: Checker) -> str:
    """Return a sentence with a point where it ends without one: what follows would be read as its end."""
    return sentence if len(checker.sentences(f"{sentence} It.")) > 1 else f"{sentence}."


def about(
    checker: Checker, history: History, row: int, predicted: float | None, effects: Mapping[int, float] | None
) -> Check:
    """Return what compares sentences about a pick with the data."""
    measured = Measured.of_effects(effects or {})
    return lambda sentence, words: checker.check(sentence, history, row, predicted, measured, words)


def _facts(sentence: str, said: Sentences, checker: Checker) -> tuple[Fact, ...]:
    """Return which of the facts that were found a sentence says, each once."""
    every = (fact for reason in said.reasons for fact in reason.facts)
    return tuple(dict.fromkeys(fact for fact in every if checker.says(fact, sentence)))


def _words(facts: tuple[Fact, ...], said: Sentences, checker: Checker) -> set[str]:
    """Return the words that may stand where these facts are said: the domain's own, and ``[explain] words``."""
    ways = (
        way for number in _used([*facts], said) for first in (True, False) for way in said.ways(number, first=first)
    )
    own = {word.casefold() for word in checker.domain.explain.words}.union(*map(checker.words_of, ways))
    return own.intersection(checker.words or ())  # without denials


def _used(facts: list[Fact], said: Sentences) -> list[int]:
    """Return the reasons of which something is said already."""
    return [number for number, reason in enumerate(said.reasons) if not set(facts).isdisjoint(reason.facts)]
