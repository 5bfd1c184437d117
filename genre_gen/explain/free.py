"""Free style: the language model writes as it likes, and what it says is compared with the data, sentence by sentence.

A sentence is kept if all its statements are true and at least one of them is a fact that was found. Its other words
must be in the domain's own wording of these facts for this pick, or in ``[explain] words``, which have no meaning. So
"all" or "above" are allowed only if the domain's sentences have them. Any other sentence is replaced by one of the
domain's templates.

The check reads names, values, numbers and links, and not grammar. What is said in the right words with true numbers may
still be said of the wrong thing: where Alien (1979) has 5 stars, "Aliens (1986), which you gave 5 stars, is like Alien
(1979)" is kept. The other styles cannot say such things.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from genre_gen.explain.check import Checker, CheckReport
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.facts import Fact
from genre_gen.explain.text import plain
from genre_gen.explain.wording import FREE, LENGTH, Sentences, vocabulary
from genre_gen.languages.scripts import is_unspaced, made_of
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt

BULLETS = "-–—•*· "  # marks of lists, as models like to begin with
MAX_REASONS = 4  # that the model is shown
TEMPERATURE = 0.3  # a small model says little that is so at higher ones


def free_checker(evidence: Evidence, book: PromptBook) -> Checker:
    """Return what checks free texts: the words of the templates and of ``[explain]`` may stand, denials may not."""
    language = evidence.language
    denials = {*language.grammar.negations, *language.tables.explain.denials}
    words = vocabulary(book) | {word.casefold() for word in language.free_words}
    kept = {word for word in words if word not in denials and not _denies(word, denials)}
    return Checker(evidence.catalog, evidence.interactions, evidence.domain, kept, evidence.knowledge)


def _denies(word: str, denials: Collection[str]) -> bool:
    """Tell whether words in a script without spaces, all of a line of a template, have a denial among them."""
    return is_unspaced(word) and any(denial in word for denial in denials)


def free_prompt(options: Sentences) -> Prompt:
    """Return what the language model is asked: why the pick is recommended, given the facts."""
    facts = tuple(options.ways(number, first=True)[0] for number in range(min(MAX_REASONS, len(options.reasons))))
    return options.unanswered(FREE, facts=facts)


def correct(
    draft: str, options: Sentences, checker: Checker, check: Callable[..., CheckReport]
) -> tuple[str, tuple[Fact, ...], int]:
    """Keep what is so of a text, and say something that is so instead of the rest.

    Args:
        draft: as it was written.
        options: what may be said instead.
        checker: reads the text.
        check: its method of this name, given all about the pick but the text and the ``words`` that may stand.

    Returns:
        The text, the facts that it says, and how many of its sentences are of the draft.
    """
    length = min(LENGTH, len(options.reasons))
    kept: list[tuple[str, tuple[Fact, ...]] | None] = []
    for written in checker.sentences(plain(draft))[:length]:
        sentence = _closed(written.lstrip(BULLETS), checker)
        facts = _facts(sentence, options, checker)
        stays = facts and (sentence, facts) not in kept and check(sentence, words=_words(facts, options, checker)).ok
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
    return options.joint.join(text for text, _ in parts), facts, sum(part is not None for part in kept)


def _closed(sentence: str, checker: Checker) -> str:
    """Return a sentence with a point where it ends without one: what follows would be read as its end."""
    ends = len(checker.sentences(f"{sentence} It.")) > 1
    return sentence if ends else sentence + checker.language.tables.explain.stop


def _facts(sentence: str, options: Sentences, checker: Checker) -> tuple[Fact, ...]:
    """Return which of the facts that were found a sentence says, each once."""
    every = (fact for reason in options.reasons for fact in reason.facts)
    return tuple(dict.fromkeys(fact for fact in every if checker.says(fact, sentence)))


def _words(facts: tuple[Fact, ...], options: Sentences, checker: Checker) -> set[str]:
    """Return the words that may stand where these facts are said: the domain's own, and ``[explain] words``."""
    numbers = _used(facts, options)
    ways = (way for number in numbers for first in (True, False) for way in options.ways(number, first=first))
    words = {word.casefold() for word in checker.language.free_words}.union(*map(checker.words_of, ways))
    return {word for word in words if made_of(word, checker.words or ())}  # without denials


def _used(facts: Collection[Fact], options: Sentences) -> list[int]:
    """Return the reasons of which something is said already."""
    return [number for number, reason in enumerate(options.reasons) if not set(facts).isdisjoint(reason.facts)]
