"""Explanations: why an item is recommended, in sentences of which each is true and can be checked.

``evidence`` finds facts, ``wording`` turns them into all the sentences that may be said, ``writer`` lets the language
model choose among them under an Outlines grammar, ``check`` reads the result back and compares it with the data, and
``free`` does so with what the language model wrote without a grammar.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.interactions import History, Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.domain import Domain
from genre_gen.explain.evidence import Evidence, Fact, Reason
from genre_gen.explain.wording import MEASURED, TASK, Sentences, grammar, sentences, template
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.spans import Prompt

if TYPE_CHECKING:
    from genre_gen.explain.check import Checker
    from genre_gen.explain.writer import FreeWriter, Writer
    from genre_gen.llm.encode import Encoder
    from genre_gen.llm.model import LLM

Method: TypeAlias = Literal["llm", "template", "free"]

__all__ = ["Evidence", "Explainer", "Explanation", "Fact", "Reason"]


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
        notes: what is to be known beside the reasons, such as that the item would not be recommended at all.
    """

    text: str
    facts: tuple[Fact, ...]
    method: Method
    seconds: float
    effects: Mapping[int, float] = field(default_factory=dict)
    draft: str = ""
    kept: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the text."""
        return self.text


class Explainer:
    """Explains picks. Build it once for a recommender."""

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
            knowledge: what a graph says of the items; it is cited where the templates have words for that.
            factors: of the items in a model of ratings, see :class:`genre_gen.explain.evidence.Evidence`.
        """
        kinds = book.mentions(TASK)
        self.evidence = Evidence(
            catalog,
            interactions,
            domain,
            knowledge if "linked" in kinds else None,  # templates from before there was one
            factors if "alike" in kinds else None,
        )
        self.book, self.language_model, self.temperature = book, language_model, temperature
        self.free = free and language_model is not None

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
            history: what the user had.
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
        known = list(zip(rows, parts or nothing, predicted or nothing, effects or nothing, strict=True))
        said = [self.sentences(history, *of) for of in known]
        if self.free:
            return self._freely(history, said, known, start)
        texts = template(said) if self._writer is None else self._written(self._writer, said)
        seconds = (time.perf_counter() - start) / len(rows)
        method: Method = "template" if self._writer is None else "llm"
        return [
            Explanation(text, _facts(one, text), method, seconds, size or {})
            for one, text, (*_, size) in zip(said, texts, known, strict=True)
        ]

    def _freely(
        self, history: History, said: Sequence[Sentences], known: Sequence[tuple[Any, ...]], start: float
    ) -> list[Explanation]:
        """Let the language model write, and check it; the arguments are those of ``explain_many`` side by side."""
        from genre_gen.explain.free import about, checked, free_prompt

        asked = [
            free_prompt(self.book, self.evidence, one, history, row) for one, (row, *_) in zip(said, known, strict=True)
        ]
        prompts = [self._encoder.encode(prompt).ids.tolist() for prompt in asked]
        drafts = self._free_writer.write(prompts, _seeds(prompts))
        found = [
            checked(draft, one, self.checker, about(self.checker, history, row, predicted, effects))
            for draft, one, (row, _, predicted, effects) in zip(drafts, said, known, strict=True)
        ]
        seconds = (time.perf_counter() - start) / len(known)
        return [
            Explanation(one.text, one.facts, "free", seconds, effects or {}, draft, one.kept)
            for one, draft, (*_, effects) in zip(found, drafts, known, strict=True)
        ]

    @cached_property
    def checker(self) -> Checker:
        """Return what checks texts of the free style."""
        from genre_gen.explain.free import free_checker

        return free_checker(self.evidence, self.book)

    @cached_property
    def _free_writer(self) -> FreeWriter:
        from genre_gen.explain.free import TEMPERATURE
        from genre_gen.explain.writer import FreeWriter

        if self.language_model is None:
            raise RuntimeError("no language model to write with")
        return FreeWriter(self.language_model, min(self.temperature, TEMPERATURE))

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
        if not self.book.has(MEASURED):  # templates from before there was one
            reasons = [reason for reason in reasons if reason.kind != "weighed"]
        return sentences(self.book, self.evidence, history, row, reasons)

    def prompt(
        self, history: History, row: int, parts: Mapping[str, float] | None = None, predicted: float | None = None
    ) -> Prompt:
        """Return what the language model is asked about a pick; see :meth:`explain_many`."""
        reasons = self.evidence.reasons(history, row, predicted, parts)
        return sentences(self.book, self.evidence, history, row, reasons).prompt

    def _written(self, writer: Writer, said: Sequence[Sentences]) -> list[str]:
        prompts = [self._encoder.encode(one.prompt).ids.tolist() for one in said]
        return writer.write(prompts, [grammar(one) for one in said], _seeds(prompts))

    @cached_property
    def _writer(self) -> Writer | None:
        if self.language_model is None:
            return None
        from genre_gen.explain.writer import Writer

        return Writer(self.language_model, self.temperature)

    @cached_property
    def _encoder(self) -> Encoder:
        from genre_gen.llm.encode import Encoder

        model = self.language_model
        if model is None:
            raise RuntimeError("no language model to encode for")
        return Encoder(model.tokenizer, model.codes, model.text_vocabulary)


def _seeds(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Return a seed for each prompt, the same each time."""
    return [zlib.crc32(",".join(map(str, prompt)).encode()) for prompt in prompts]


def _facts(said: Sentences, text: str) -> tuple[Fact, ...]:
    """Return the facts that a text made of these sentences says."""
    return tuple(fact for number in said.said(text) or () for fact in said.reasons[number].facts)
