"""Pieces of a rendered template: its own words and item codes, which are trusted, and values, which are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

from jinja2 import StrictUndefined, Undefined
from jinja2.utils import missing

from genre_gen.errors import PromptError
from genre_gen.prompting.budget import MAX_NUMBER
from genre_gen.settings import suggestion


class Words:
    """The template's own words. Only code that the compiler wrote makes these while rendering."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Hold the words."""
        self.text = text


@dataclasses.dataclass(frozen=True)
class Code:
    """An item's code, to be printed on its own: ``{{ item.code }}``."""

    row: int

    def __str__(self) -> str:
        """Refuse: as text, a code would no longer be the item's token."""
        raise PromptError("an item code is no text; print it on its own, as {{ item.code }}, in a loop for several")


class Fragment:
    """Pieces that a block of the template captured; printing it prints the pieces as they are."""

    __slots__ = ("pieces", "size")

    def __init__(self, pieces: Iterable[object]) -> None:
        """Flatten what the block wrote."""
        self.pieces = tuple(flatten(pieces))
        self.size = sum(length_of(piece) for piece in self.pieces)

    def __str__(self) -> str:
        """Return the captured text, all of it untrusted from here on; a captured item code is refused."""
        return "".join(piece.text if isinstance(piece, Words) else str(piece) for piece in self.pieces)

    def __bool__(self) -> bool:
        """Tell whether anything was captured."""
        return bool(self.pieces)


def flatten(pieces: Iterable[object]) -> Iterator[object]:
    """Yield pieces with fragments replaced by what they hold."""
    for piece in pieces:
        yield from piece.pieces if isinstance(piece, Fragment) else (piece,)


def length_of(piece: object) -> int:
    """Return how many characters a piece counts for; a code counts as one."""
    if isinstance(piece, Words):
        return len(piece.text)
    return len(piece) if isinstance(piece, str) else 1


def as_text(value: object) -> str:
    """Return a value as text: None is empty, whole numbers have no point; lists and item codes are refused."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, Undefined):
        fail(value)
    if isinstance(value, bool):
        raise PromptError("a true/false value has no words; write {% if ... %}...{% endif %}")
    if isinstance(value, int | float):
        return str(int(value)) if abs(value) < MAX_NUMBER and value == int(value) else f"{value:.12g}"
    if isinstance(value, Fragment | Code):
        return str(value)
    if isinstance(value, list | tuple):
        raise PromptError("a list is no text; write {{ ...|join(', ') }} or a loop")
    raise PromptError(f"a {type(value).__name__} is no text; print one of its fields{_fields_hint(value)}")


def fail(value: Undefined) -> NoReturn:
    """Raise what reading an undefined value raises."""
    value._fail_with_undefined_error()


def _field_names(value: object) -> tuple[str, ...]:
    """Return the names that a template may read from a value."""
    if isinstance(value, Mapping):
        return tuple(value)
    if dataclasses.is_dataclass(value):
        fields = tuple(field.name for field in dataclasses.fields(value))
        attributes = getattr(value, "attributes", {})
        return fields + tuple(name for name in attributes if name not in fields)
    return ()


def _fields_hint(value: object) -> str:
    names = _field_names(value)
    return f" ({', '.join(names)})" if names else ""


class Missing(StrictUndefined):
    """A name that is not there; says which names are."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        holder, name = self._undefined_obj, self._undefined_name
        if self._undefined_hint:
            return self._undefined_hint
        if holder is missing:
            return f"no variable {name!r} here"
        if holder is None:
            return f"{name!r} was asked of a value that was not given (None); guard it with {{% if ... %}}"
        names = _field_names(holder)
        return f"no {name!r} here{suggestion(str(name), names)}" + (f"; there are {', '.join(names)}" if names else "")
