"""Encoder: from a rendered prompt to token ids, and which of them are targets.

Untrusted spans are encoded separately, as plain text, so that a title can never become a control token or an item's
code. Only the tokenizer's own chat template, the words of the prompt templates, and item codes make special tokens.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genre_gen.codes.base import Codes
from genre_gen.errors import PromptError
from genre_gen.prompting.chat_template import render_chat
from genre_gen.prompting.spans import Message, Prompt, Role, Span

NO_TARGET = -100
_CACHE_SIZE = 100_000
_PLAIN = {"system": "", "user": "\nUser:\n", "assistant": "\nAssistant:\n"}  # for tokenizers without a chat template


@dataclass(frozen=True)
class Encoded:
    """A prompt as token ids.

    Attributes:
        ids: int32 ``[n]``; ids from the size of the text vocabulary upwards are code tokens.
        target_ids: int32 ``[n]``; equal to ``ids`` for tokens to predict, else NO_TARGET. Not shifted.
        start: position of the first token of the assistant's message; the tokens before are the instruction.
        origins: int64 ``[n]``, the training interaction whose item a token is, -1 for other tokens; None if not needed.
        answers: begin and end of each data span to predict; () if the targets are not data spans.
    """

    ids: NDArray[np.int32]
    target_ids: NDArray[np.int32]
    start: int
    origins: NDArray[np.int64] | None = None
    answers: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.ids)


class Encoder:
    """Encodes prompts with a tokenizer and a code scheme, neither of which it changes."""

    def __init__(self, tokenizer: Any, codes: Codes, text_vocabulary: int | None = None) -> None:
        """Copy a Hugging Face tokenizer without code tokens; code tokens begin at id ``text_vocabulary``."""
        self._tokenizer = copy.deepcopy(tokenizer)
        self._lock = threading.Lock()  # splitting special tokens is a state of the tokenizer
        self._codes = codes
        self.text_vocabulary = len(tokenizer) if text_vocabulary is None else text_vocabulary
        self._added = frozenset(tokenizer.get_added_vocab().values()) | frozenset(tokenizer.all_special_ids)
        self._has_chat = bool(getattr(tokenizer, "chat_template", None))
        self._takes_system = not self._has_chat or self._around(("system", "user", "assistant")) is not None
        self._frames: dict[tuple[Role, ...], list[tuple[int, ...]]] = {}
        self._text_ids: dict[str, tuple[int, ...]] = {}
        self._data_ids: dict[str, tuple[int, ...]] = {}
        self._code_ids: dict[int, tuple[int, ...]] = {}

    def with_codes(self, codes: Codes) -> Encoder:
        """Return the encoder with the codes of a larger catalog; encoded texts are shared."""
        other = copy.copy(self)
        other._codes, other._code_ids = codes, {}
        return other

    def encode(
        self,
        prompt: Prompt,
        targets: Literal["assistant", "codes", "data"] = "assistant",
        first_target: int = 0,
        limit: int | None = None,
    ) -> Encoded:
        """Encode a prompt of at most ``limit`` tokens.

        ``targets`` are the tokens to predict in the last message: all of it and the token that ends it, its item codes,
        or its data spans. The first ``first_target`` of these are left out.

        Raises:
            PromptError: the prompt is longer than the limit, or a row has no code.
        """
        messages = prompt.messages if self._takes_system else _without_system(prompt.messages)
        *before, last, end = self._frame(tuple(message.role for message in messages))
        ids: list[int] = []
        for message, opening in zip(messages[:-1], before, strict=True):
            ids += opening
            for _, part in self._parts(message.spans):
                ids += part
        ids += last
        start = len(ids)
        target_ids = [NO_TARGET] * start
        everything, kind = targets == "assistant", {"codes": "code", "data": "data"}.get(targets)
        number, answers = count(), []
        for span, part in self._parts(messages[-1].spans):
            wanted = everything or (span.kind == kind and next(number) >= first_target)
            if wanted and kind == "data":
                answers.append((len(ids), len(ids) + len(part)))
            ids += part
            target_ids += part if wanted else [NO_TARGET] * len(part)
        if not prompt.open:
            ids += end
            target_ids += end if everything else [NO_TARGET] * len(end)
        if limit is not None and len(ids) > limit:
            raise PromptError(
                f"the prompt of {prompt.task} has {len(ids)} tokens, more than the {limit} allowed; lower "
                "model.max_history, or shorten the texts that the template prints"
            )
        return Encoded(np.array(ids, np.int32), np.array(target_ids, np.int32), start, answers=tuple(answers))

    def _parts(self, spans: Sequence[Span]) -> Iterator[tuple[Span, tuple[int, ...]]]:
        """Yield spans with their ids; untrusted ones are encoded in one batch."""
        spans = _spaced(spans)
        data = self._encode_data({span.text for span in spans if span.kind == "data"})
        for span in spans:
            if span.kind == "data":
                yield span, data[span.text]
            elif span.kind == "code":
                yield span, self._code(span.row)
            else:
                yield span, self._text(span.text)

    def _text(self, text: str) -> tuple[int, ...]:
        """Encode trusted text, in which the tokenizer's special tokens are recognised."""
        known = self._text_ids.get(text)
        return known or _remember(self._text_ids, text, self._tokenize([text], plain=False)[0])

    def _encode_data(self, texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Encode untrusted texts as plain text."""
        known = {text: self._data_ids.get(text) for text in texts}
        new = [text for text, ids in known.items() if ids is None]
        if new:
            # Without a chat template only line breaks separate the roles, so data must not contain any.
            plain = new if self._has_chat else [text.replace("\n", " ") for text in new]
            for text, shown, ids in zip(new, plain, self._tokenize(plain, plain=True), strict=True):
                safe = ids if self._added.isdisjoint(ids) else self._letter_by_letter(shown)
                known[text] = _remember(self._data_ids, text, safe)
        return known  # type: ignore[return-value]

    def _letter_by_letter(self, text: str) -> list[int]:
        """Encode a text with an added token that is not special (Qwen's ``<tool_call>``) without using that token."""
        letters = self._tokenize(list(text), plain=True)
        return [token for letter in letters for token in letter if token not in self._added]

    def _tokenize(self, texts: list[str], plain: bool) -> list[list[int]]:
        with self._lock:
            return self._tokenizer(texts, add_special_tokens=False, split_special_tokens=plain, verbose=False).input_ids

    def _code(self, row: int) -> tuple[int, ...]:
        known = self._code_ids.get(row)
        if known is None:
            if not 0 <= row < len(self._codes.codes):
                raise PromptError(
                    f"no item code for catalog row {row}; there are codes for {len(self._codes.codes)} items"
                )
            code = self._codes.codes[row]
            known = _remember(self._code_ids, row, (code[code >= 0] + self.text_vocabulary).tolist())
        return known

    def _frame(self, roles: tuple[Role, ...]) -> list[tuple[int, ...]]:
        """Return the ids before each message of these roles, and after the last."""
        if roles not in self._frames:
            around = self._around(self._spoken(roles))
            if around is None:
                raise PromptError(
                    f"the tokenizer's chat template does not render {', then '.join(roles)}; use another model"
                )
            *before, after = around
            if self._has_chat and len(before) > len(roles):  # an empty system message belongs to the first header
                before[:2] = [before[0] + before[1]]
            self._frames[roles] = [*map(self._text, before), self._end(self._text(after))]
        return self._frames[roles]

    def _spoken(self, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        """Add an empty system message if the chat template would insert a system prompt of its own."""
        if not self._has_chat or not self._takes_system or "system" in roles:
            return roles
        bare, full = self._around(roles), self._around(("system", *roles))
        opening = (bare or [""])[0].removeprefix(self._tokenizer.bos_token or "")
        return roles if full is None or full[1].endswith(opening) else ("system", *roles)

    def _around(self, roles: tuple[Role, ...]) -> list[str] | None:
        """Return the chat template's text before each message and after the last; None if it rejects the roles."""
        if not self._has_chat:
            parts = [_PLAIN[role] for role in roles]
            return [(self._tokenizer.bos_token or "") + parts[0], *parts[1:], self._tokenizer.eos_token or ""]
        marks = [f"GENRE-MESSAGE-{number}-HERE" for number in range(len(roles))]
        messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
        rest = render_chat(self._tokenizer.get_chat_template(), messages, self._tokenizer.special_tokens_map)
        if rest is None:
            return None
        parts = []
        for mark in marks:
            if rest.count(mark) != 1:
                return None
            part, rest = rest.split(mark)
            parts.append(part)
        return [*parts, rest]

    def _end(self, after: tuple[int, ...]) -> tuple[int, ...]:
        """Cut the ids after the last message behind the token that ends it."""
        end = next((position for position, token in enumerate(after, 1) if token in self._added), None)
        eos = self._tokenizer.eos_token_id
        return after[:end] if end is not None or eos is None else (*after, eos)


def _remember(cache: dict[Any, tuple[int, ...]], key: Any, ids: Iterable[int]) -> tuple[int, ...]:
    if len(cache) > _CACHE_SIZE:
        cache.clear()
    cache[key] = known = tuple(ids)
    return known


def _spaced(spans: Sequence[Span]) -> list[Span]:
    """Move a space before a value into the value, since tokenizers begin words with it."""
    result = list(spans)
    for place, (span, following) in enumerate(pairwise(spans)):
        if span.kind == "text" and span.text.endswith(" ") and following.kind == "data":
            result[place] = replace(span, text=span.text[:-1])
            result[place + 1] = replace(following, text=" " + following.text)
    return [span for span in result if span.text]


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Put the system message before the user's, for chat templates without a system role (Gemma)."""
    if messages[0].role != "system":
        return messages
    system, user, *rest = messages
    return (replace(user, spans=(*system.spans, Span("text", "\n\n"), *user.spans)), *rest)
