"""Explainer: explains picks, in one of three styles."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from genre_gen.data.history import History
from genre_gen.data.html_table import html_block, html_text
from genre_gen.explain.claims import ScoreClaims
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.facts import Fact
from genre_gen.explain.free import TEMPERATURE, correct, free_checker, free_prompt
from genre_gen.explain.wording import Sentences, grammar, pinned_lines, template
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
    seconds: float = field(default=0.0, compare=False)
    effects: Mapping[int, float] = field(default_factory=dict)
    draft: str = ""
    kept: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it."""
        facts = f"{len(self.facts)} fact{'' if len(self.facts) == 1 else 's'}, method {self.method}"
        return html_block(html_text(self.text), *(html_text(line, small=True) for line in (*self.notes, facts)))


class Explainer:
    """Explains picks. Build it once for a recommender; several threads may use it."""

    def __init__(
        self,
        evidence: Evidence,
        book: PromptBook,
        *,
        language_model: LLM | None = None,
        temperature: float = 1.0,
        free: bool = False,
    ) -> None:
        """Prepare what words the explanations.

        Args:
            evidence: finds reasons; counts in explanations are of its interactions.
            book: the wording, in ``explain.*.jinja``.
            language_model: chooses facts and words; without one the best facts are said in words taken in turn.
            temperature: how freely it chooses; 0 takes the likeliest words. A pick's explanation is the same each time.
            free: the language model writes as it likes, and what is not so is replaced.
        """
        self.evidence, self.book = evidence, book
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
        predicted, effects = predicted or nothing, effects or nothing
        picks = zip(rows, parts or nothing, predicted, effects, strict=True)
        options = [self.sentences(history, *pick) for pick in picks]
        if self._author is not None:
            explanations = [*self._free(self._author, history, rows, predicted, effects, options)]
        else:
            method: Method = "template" if self._chooser is None else "llm"
            pairs = zip(options, self._chosen(options), strict=True)
            explanations = [Explanation(text, each.facts_in(text), method) for each, text in pairs]
        seconds = (time.perf_counter() - start) / len(rows)
        measured = zip(explanations, effects, strict=True)
        return [replace(explanation, seconds=seconds, effects=own or {}) for explanation, own in measured]

    def _chosen(self, options: Sequence[Sentences]) -> list[str]:
        """Let the language model choose among the sentences; without one, take the best."""
        if self._chooser is None:
            return template(options)
        prompts = self._encode(each.prompt for each in options)
        return self._chooser.write(prompts, [grammar(each) for each in options], _seeds(prompts))

    def _free(
        self,
        author: FreeWriter,
        history: History,
        rows: Sequence[int],
        predicted: Sequence[float | None],
        effects: Sequence[Mapping[int, float] | None],
        options: Sequence[Sentences],
    ) -> Iterator[Explanation]:
        """Let the language model write, and correct it."""
        prompts = self._encode(map(free_prompt, options))
        drafts = author.write(prompts, _seeds(prompts))
        for draft, each, row, rating, own in zip(drafts, options, rows, predicted, effects, strict=True):
            scores = ScoreClaims.of_effects(own or {})
            check = partial(self.checker.check, history=history, row=row, predicted=rating, scores=scores)
            text, facts, kept = correct(draft, each, self.checker, check)
            yield Explanation(text, facts, "free", draft=draft, kept=kept)

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
        return Sentences(self.book, self.evidence, history, row, reasons)

    def pinned(self, item_id: str, rank: int) -> Explanation:
        """Say of an item that a rule put it at its rank, and nothing of the user's; raises PromptError."""
        ways = pinned_lines(self.book, self.evidence, self.evidence.catalog.row(item_id))
        return Explanation(ways[(rank - 1) % len(ways)], (), "template")

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
