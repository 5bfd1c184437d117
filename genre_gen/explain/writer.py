"""Writer: the language model writes texts, each under a grammar of its own.

The grammars are Outlines' (:class:`outlines.types.CFG`, llguidance backend), and ``outlines.Generator`` writes under
them too. This writer differs in three ways: the model is run only where it has a choice, for what a grammar forces
(most of a title) is fed in one piece; what several prompts begin with is read once; and prompts are ids, so that a
title in a prompt never becomes a control token.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from genre_gen.errors import PromptError

if TYPE_CHECKING:
    from llguidance import LLMatcher
    from outlines.types import CFG

    from genre_gen.llm.model import LLM

MAX_TOKENS = 80  # of a text that is written freely


class _Writer:
    """Reads prompts, what they begin with once. Several threads may use one writer: a text has state of its own."""

    def __init__(self, model: LLM, temperature: float) -> None:
        """Hold the model, and a tokenizer of its own: tokenizers hold options that others may be changing.

        A temperature of 0 always takes the likeliest token; more takes others too, by seed.
        """
        self._model, self._temperature = model, temperature
        self._tokenizer: Any = copy.deepcopy(model.tokenizer)
        self._lock = threading.Lock()  # a tokenizer serves one thread at a time
        arguments = inspect.signature(model.base.model.forward).parameters
        self._cache_argument = "cache" if "cache" in arguments else "past_key_values"  # renamed in transformers 5.x

    def _begun(self, prompts: Sequence[Sequence[int]]) -> Iterator[tuple[Sequence[int], Any]]:
        """Yield the unread rest of each prompt, and a cache that contains the common prefix of all prompts."""
        from transformers import DynamicCache

        cache: Any = DynamicCache(config=self._model.base.config)
        shared = _common(prompts) if prompts else 0
        if shared:
            self._read(prompts[0][:shared], cache)
        for prompt in prompts:
            yield prompt[shared:], copy.deepcopy(cache)

    def _read(self, ids: Sequence[int], cache: Any) -> NDArray[np.float32]:
        """Append ids to what the model has read; return its logits for what comes next: float32 ``[vocabulary]``."""
        new = torch.tensor([list(ids)], device=self._model.base.device)
        memory = {self._cache_argument: cache, "use_cache": True}
        hidden = self._model.base.model(inputs_embeds=self._model.embed(new), **memory).last_hidden_state
        return np.asarray(self._model.text_logits(hidden[0, -1]).float().cpu())

    @property
    def _end(self) -> int:
        """Return the token that ends a text."""
        return int(self._tokenizer.eos_token_id)

    def _encode(self, text: str) -> list[int]:
        """Return the tokens of plain text; none is special."""
        with self._lock:
            return list(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)

    def _decode(self, ids: Sequence[int]) -> str:
        with self._lock:
            return str(self._tokenizer.decode(ids))

    def _choose(self, logits: NDArray[np.float64], rng: np.random.Generator) -> int:
        """Return the index of the likeliest token, or of a sample by Gumbel's trick."""
        if self._temperature:
            logits = logits / self._temperature + rng.gumbel(size=len(logits))
        return int(np.argmax(logits))


class FreeWriter(_Writer):
    """Writes texts as the model likes. What it says has to be checked, see :mod:`genre_gen.explain.free`."""

    def __init__(self, model: LLM, temperature: float = 0.0, max_tokens: int | None = None) -> None:
        """Hold the model; a text has at most ``max_tokens``, by default ``MAX_TOKENS``."""
        super().__init__(model, temperature)
        self._max_tokens = max_tokens or MAX_TOKENS
        special = set(self._tokenizer.all_special_ids)
        self._banned = np.array(sorted(special - {self._end}), np.int64)

    @torch.inference_mode()
    def write(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[str]:
        """Write one text for each prompt, of one line; the same prompt and seed give the same text."""
        return [
            self._text(prompt, cache, np.random.default_rng(seed))
            for (prompt, cache), seed in zip(self._begun(prompts), seeds, strict=True)
        ]

    def _text(self, prompt: Sequence[int], cache: Any, rng: np.random.Generator) -> str:
        ids, new = list[int](), list(prompt)
        while len(ids) < self._max_tokens:
            logits = self._read(new, cache).astype(np.float64)
            logits[self._banned[self._banned < len(logits)]] = -np.inf  # a control token has no place in a text
            token = self._choose(logits, rng)
            if token == self._end:
                break
            ids.append(token)
            new = [token]
            if "\n" in self._decode(ids).lstrip():
                break
        lines = self._decode(ids).strip().splitlines()
        return lines[0] if lines else ""


class GrammarWriter(_Writer):
    """Writes texts under grammars. Build it once for a model: it prepares the tokenizer's vocabulary (about 0.5 s)."""

    def __init__(self, model: LLM, temperature: float = 0.0) -> None:
        """Hold the model."""
        import outlines
        from outlines.backends import LLGuidanceBackend

        super().__init__(model, temperature)
        # Outlines sets padding on the tokenizer that it is given, so it gets one of its own.
        tokenizer: Any = model.transformers_tokenizer()
        self._backend: Any = LLGuidanceBackend(outlines.from_transformers(model.base, tokenizer))

    @torch.inference_mode()
    def write(self, prompts: Sequence[Sequence[int]], grammars: Sequence[CFG], seeds: Sequence[int]) -> list[str]:
        """Write one text for each prompt (token ids), under its finite grammar.

        The same prompt, grammar and seed give the same text.

        Raises:
            PromptError: a grammar that does not compile or cannot be written with the model's vocabulary.
        """
        return [
            self._text(prompt, cache, _Text(self._matcher(grammar), self._encode), np.random.default_rng(seed))
            for (prompt, cache), grammar, seed in zip(self._begun(prompts), grammars, seeds, strict=True)
        ]

    def _text(self, prompt: Sequence[int], cache: Any, text: _Text, rng: np.random.Generator) -> str:
        new = [*prompt, *text.forced()]
        while not text.done:
            logits = self._read(new, cache)
            allowed = text.allowed(len(logits))
            token = int(allowed[self._choose(logits[allowed].astype(np.float64), rng)])
            if token == self._end:
                break
            new = [*text.take([token]), *text.forced()]
        return str(self._backend.llg_tokenizer.decode_str(text.ids))

    def _matcher(self, grammar: CFG) -> LLMatcher:
        from llguidance import LLMatcher

        processor = self._backend.get_cfg_logits_processor(grammar.definition)
        matcher = LLMatcher(self._backend.llg_tokenizer, processor.grammar)
        if matcher.is_error():
            raise PromptError(f"the grammar of an explanation does not compile: {matcher.get_error()}")
        return matcher


class _Text:
    """A text that is being written: its tokens so far, and whether nothing can follow."""

    def __init__(self, matcher: LLMatcher, encode: Callable[[str], list[int]]) -> None:
        self._matcher, self._encode = matcher, encode
        self.ids: list[int] = []
        self.done = False

    def forced(self) -> list[int]:
        """Take the tokens that the grammar leaves no choice about, and return them.

        The tokenizer cuts the forced text, with special tokens off (llguidance's own fast-forward makes a title that
        spells a control token into one). Where text follows, the last token is left to the model, for which token ends
        there depends on the text after it.
        """
        text = self._matcher.compute_ff_bytes().decode("utf-8", errors="ignore")
        ids = self._encode(text) if text else []
        taken = ids[: self._matcher.validate_tokens(ids)]
        if taken and not self._ends_with(taken):
            taken = taken[:-1]
        return self.take(taken)

    def allowed(self, n_tokens: int) -> NDArray[np.intp]:
        """Return which of the first ``n_tokens`` of the vocabulary may come next."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.flatnonzero(np.unpackbits(bits, bitorder="little")[:n_tokens])
        if len(allowed) == 0:
            raise PromptError(f"an explanation cannot be written with this model's tokens: {self._matcher.get_error()}")
        return allowed

    def _ends_with(self, ids: list[int]) -> bool:
        ahead = self._matcher.deep_copy()
        return bool(ahead.consume_tokens(ids) and ahead.is_stopped())

    def take(self, ids: list[int]) -> list[int]:
        """Append tokens, and return them."""
        self._matcher.consume_tokens(ids)
        self.done = self._matcher.is_stopped()
        self.ids += ids
        return ids


def _common(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all prompts begin with, leaving at least one of each."""
    shortest = min(map(len, prompts))
    for position in range(shortest - 1):
        if len({prompt[position] for prompt in prompts}) > 1:
            return position
    return shortest - 1
