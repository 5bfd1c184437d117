"""Explainer: explains picks, in one of three styles."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import History, Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.domain import Domain
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.facts import Fact
from genre_gen.explain.free import TEMPERATURE, correct, free_checker, free_prompt, pick_check
from genre_gen.explain.wording import Sentences, grammar, sentences, template
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt

if TYPE_CHECKING:
    from genre_gen.explain.check import Checker
    from genre_gen.explain.writer import FreeWriter, GrammarWriter
    from genre_gen.llm.encode import Encoder
    from genre_gen.llm.model import LLM

Method: TypeAlias = Literal["llm", "template", "free"]


@dataclass(frozen=True)
class Explanation:
    """Why an item is recommended.

    Attributes:
        text: one to three sentences.
        facts: what the text says, in order, as triples that can be checked.
        method: ``llm`` where a language model chose facts and words, ``free`` where it wrote them, else ``template``.
        seconds: time it took; a batch's time is shared equally.
        effects: what the pick's score loses without each recent item of the history (catalog row -> standard
            deviations), where that was measured.
        draft: what the language model wrote in the free style, before it was checked.
        kept: how many sentences of the text are of that.
        notes: what is to be known next to the reasons, such as that the item would not be recommended at all.
    """

    text: str
    facts: tuple[Fact, ...]
    method: Method
    seconds: float = 0.0
    effects: Mapping[int, float] = field(default_factory=dict)
    draft: str = ""
    kept: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the text."""
        return self.text


class _Pick(NamedTuple):
    """A pick, and what is known of its score."""

    row: int
    parts: Mapping[str, float] | None
    predicted: float | None
    effects: Mapping[int, float] | None


class Explainer:
    """Explains picks. Build it once for a recommender; several threads may use it."""

    def __init__(
        self,
        catalog: Catalog,
        interactions: Interactions,
        domain: Domain,
        book: PromptBook,
        *,
        language_model: LLM | None = None,
        temperature: float = 1.0,
        free: bool = False,
        knowledge: Knowledge | None = None,
        factors: NDArray[np.float64] | None = None,
        relations: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Index the data.

        Args:
            catalog: the items.
            interactions: what the models learned from; counts in explanations are of these.
            domain: says which ratings count as liked.
            book: the wording, in ``explain.*.jinja``.
            language_model: chooses facts and words; without one the best facts are said in words taken in turn.
            temperature: how freely it chooses; 0 takes the likeliest words. A pick's explanation is the same each time.
            free: the language model writes as it likes, and what is not so is replaced.
            knowledge: what a graph says of the items.
            factors: of the items in a model of ratings, see :class:`genre_gen.explain.evidence.Evidence`.
            relations: of the blend's members, see there.
        """
        self.evidence = Evidence(catalog, interactions, domain, knowledge, factors, relations)
        self.book = book
        self._encoder: Encoder | None = None
        self._chooser: GrammarWriter | None = None
        self._author: FreeWriter | None = None
        if language_model is not None:
            from genre_gen.explain.writer import FreeWriter, GrammarWriter
            from genre_gen.llm.encode import Encoder

            self._encoder = Encoder(language_model.tokenizer, language_model.codes, language_model.text_vocabulary)
            if free:
                self._author = FreeWriter(language_model, min(temperature, TEMPERATURE))
            else:
                self._chooser = GrammarWriter(language_model, temperature)

    def explain(
        self,
        history: History,
        row: int,
        parts: Mapping[str, float] | None = None,
        predicted: float | None = None,
        effects: Mapping[int, float] | None = None,
    ) -> Explanation:
        """Explain one pick; see :meth:`explain_many`."""
        return self.explain_many(history, [row], [parts], [predicted], [effects])[0]

    def explain_many(
        self,
        history: History,
        rows: Sequence[int],
        parts: Sequence[Mapping[str, float] | None] | None = None,
        predicted: Sequence[float | None] | None = None,
        effects: Sequence[Mapping[int, float] | None] | None = None,
    ) -> list[Explanation]:
        """Explain a user's picks, which is faster together than one by one.

        Args:
            history: the user's.
            rows: catalog rows of the picks.
            parts: for each pick, blend member -> its share in the score; None where unknown.
            predicted: for each pick, the rating that is expected of this user; None where unknown.
            effects: for each pick, what its score loses without each recent item of the history, by catalog row (see
                :meth:`genre_gen.explain.attribution.Attributor.effects`); None where that was not measured. What is
                cited then follows it.

        Raises:
            PromptError: the templates fail, or have no words for a fact.
        """
        if not rows:
            return []
        start = time.perf_counter()
        nothing = [None] * len(rows)
        picks = [
            _Pick(*each) for each in zip(rows, parts or nothing, predicted or nothing, effects or nothing, strict=True)
        ]
        options = [self.sentences(history, *pick) for pick in picks]
        if self._author is not None:
            explanations = self._free(self._author, history, options, picks)
        else:
            explanations = self._chosen(options, picks)
        seconds = (time.perf_counter() - start) / len(rows)
        return [replace(explanation, seconds=seconds) for explanation in explanations]

    def _chosen(self, options: Sequence[Sentences], picks: Sequence[_Pick]) -> list[Explanation]:
        """Let the language model choose among the sentences; without one, take the best."""
        method: Method = "template" if self._chooser is None else "llm"
        if self._chooser is None:
            texts = template(options)
        else:
            prompts = self._encode(each.prompt for each in options)
            texts = self._chooser.write(prompts, [grammar(each) for each in options], _seeds(prompts))
        return [
            Explanation(text, _facts(each, text), method, effects=pick.effects or {})
            for each, text, pick in zip(options, texts, picks, strict=True)
        ]

    def _free(
        self, author: FreeWriter, history: History, options: Sequence[Sentences], picks: Sequence[_Pick]
    ) -> list[Explanation]:
        """Let the language model write, and correct it."""
        asked = zip(options, picks, strict=True)
        prompts = self._encode(free_prompt(self.book, self.evidence, each, history, pick.row) for each, pick in asked)
        drafts = author.write(prompts, _seeds(prompts))
        explanations = []
        for draft, each, (row, _, predicted, effects) in zip(drafts, options, picks, strict=True):
            check = pick_check(self.checker, history, row, predicted, effects)
            text = correct(draft, each, self.checker, check)
            explanations.append(Explanation(text.text, text.facts, "free", 0.0, effects or {}, draft, text.kept))
        return explanations

    def sentences(
        self,
        history: History,
        row: int,
        parts: Mapping[str, float] | None = None,
        predicted: float | None = None,
        effects: Mapping[int, float] | None = None,
    ) -> Sentences:
        """Return all that may be said of a pick; see :meth:`explain_many`."""
        reasons = self.evidence.reasons(history, row, predicted, parts, effects=effects)
        return sentences(self.book, self.evidence, history, row, reasons)

    def prompt(
        self, history: History, row: int, parts: Mapping[str, float] | None = None, predicted: float | None = None
    ) -> Prompt:
        """Return what the language model is asked about a pick; see :meth:`explain_many`."""
        return self.sentences(history, row, parts, predicted).prompt

    @cached_property
    def checker(self) -> Checker:
        """Return what checks texts of the free style."""
        return free_checker(self.evidence, self.book)

    def _encode(self, prompts: Iterable[Prompt]) -> list[list[int]]:
        if self._encoder is None:
            raise RuntimeError("no language model to encode for")
        return [self._encoder.encode(prompt).ids.tolist() for prompt in prompts]


def _seeds(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Return a seed for each prompt, the same each time."""
    return [zlib.crc32(",".join(map(str, prompt)).encode()) for prompt in prompts]


def _facts(options: Sentences, text: str) -> tuple[Fact, ...]:
    """Return the facts that a text made of these sentences says."""
    return tuple(fact for number in options.reasons_in(text) or () for fact in options.reasons[number].facts)
