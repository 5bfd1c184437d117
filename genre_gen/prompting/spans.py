"""Spans: a prompt as trusted and untrusted parts, by role."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from genre_gen.codes.base import Codes
from genre_gen.prompting.pieces import Code, Words

Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a message.

    Attributes:
        kind: ``text`` for the template's own words (trusted), ``data`` for a value that it printed (untrusted),
            ``code`` for an item's code.
        text: the words; for a code, a placeholder for display.
        row: catalog row of a code, otherwise -1.
    """

    kind: Literal["text", "data", "code"]
    text: str
    row: int = -1


@dataclass(frozen=True, slots=True)
class Message:
    """The message of one role."""

    role: Role
    spans: tuple[Span, ...]

    @property
    def text(self) -> str:
        """Return the spans as one string, for display and for comparing answers, never for a model."""
        return "".join(span.text for span in self.spans)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt.

    Attributes:
        task: the task whose templates were rendered.
        messages: system (unless empty), user, assistant.
        open: whether the assistant's message is unfinished, for the model to continue.
    """

    task: str
    messages: tuple[Message, ...]
    open: bool


# Control characters other than newline, and halves of surrogate pairs, which no tokenizer can encode.
_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _clean(value: str) -> str:
    if value.isprintable():
        return value
    return _UNPRINTABLE.sub(" ", value.replace("\r\n", "\n"))


@lru_cache(maxsize=100_000)  # a history has hundreds of them
def _code_span(row: int) -> Span:
    return Span("code", f"<item {row}>", row)


def merged(pieces: Iterable[Words | Code | str]) -> Iterable[Span]:
    """Yield spans, with adjacent words merged and empty ones removed."""
    words = ""
    for piece in pieces:
        if isinstance(piece, Words):
            words += piece.text
            continue
        if isinstance(piece, str) and not piece:
            continue
        if words:
            yield Span("text", words)
            words = ""
        yield _code_span(piece.row) if isinstance(piece, Code) else Span("data", _clean(piece))
    if words:
        yield Span("text", words)


def stripped(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Strip the template's white space at both ends, so that an open message ends where the answer begins."""
    spans = _trim(spans, 0, str.lstrip)
    return _trim(spans, len(spans) - 1, str.rstrip)


def _trim(spans: tuple[Span, ...], index: int, strip: Callable[[str], str]) -> tuple[Span, ...]:
    if not spans or spans[index].kind != "text":
        return spans
    text = strip(spans[index].text)
    return (*spans[:index], *([Span("text", text)] if text else []), *spans[index + 1 :])


def show(prompt: Prompt, codes: Codes | None = None, color: bool = False) -> str:
    """Format a prompt for display: untrusted values in ``⟦ ⟧`` (or yellow), item codes as names (or in cyan).

    Without ``codes``, items are shown as ``<item 12>`` by catalog row; ``color`` uses ANSI colours, for a terminal.
    """
    lines = []
    for message in prompt.messages:
        unfinished = " (the model continues)" if prompt.open and message is prompt.messages[-1] else ""
        lines += [f"--- {message.role}{unfinished}", "".join(_shown(span, codes, color) for span in message.spans)]
    return "\n".join(lines)


def _shown(span: Span, codes: Codes | None, color: bool) -> str:
    if span.kind == "data":
        return f"\x1b[33m{span.text}\x1b[0m" if color else "⟦" + re.sub(r"([\\⟦⟧])", r"\\\1", span.text) + "⟧"
    if span.kind == "code":
        tokens = [] if codes is None else codes.codes[span.row]
        name = "".join(codes.names[token] for token in tokens if token >= 0) if codes else span.text
        return f"\x1b[36m{name}\x1b[0m" if color else name
    return span.text
