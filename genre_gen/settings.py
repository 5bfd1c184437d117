"""The common base of the sections of ``domain.toml``, types of values, and messages about problems."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from genre_gen.prompting.nouns import PATTERN

_COMPARED = 80  # characters of a misspelt word: comparing takes time in proportion to their square
LARGEST = 2**53
"""No whole number of a setting is larger: beyond it not every number has a float of its own."""


class Settings(BaseModel):
    """Base of all sections: frozen, unknown keys refused, numbers finite and bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _whole_numbers_are_small(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"should be at most {LARGEST:,}")
        return value


def as_names(value: object) -> object:
    """Return a single name as a list of one."""
    return [value] if isinstance(value, str) else value


Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(as_names), Field(min_length=1)]
"""Column names; the first one in the file is used. A single name may be written without brackets."""

NamesOrNone: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(as_names)]
"""The same; an empty list means no column."""

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]

Noun: TypeAlias = Annotated[str, Field(pattern=PATTERN)]


def validation_problems(error: ValidationError, settings: type[BaseModel]) -> list[str]:
    """Return each problem as ``key: problem``, with the closest key for a misspelt one."""
    return [_describe(problem, settings) for problem in error.errors()]


def _describe(problem: Any, settings: type[BaseModel]) -> str:
    path = [str(part) for part in problem["loc"] if part != "[key]"]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key{suggestion(path[-1], _keys(path[:-1], settings))}"
    if problem["type"] == "missing":
        return f"{key}: missing"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given = problem["input"]
    if message.startswith(f"{key}."):  # a section that checks itself says which of its keys it means
        return message
    if isinstance(given, int) and abs(given) > LARGEST:
        given = "a larger number"  # Python refuses to write a very large one
    shown = f" (it is {given!r:.200})" if isinstance(given, (str, int, float)) and repr(given) not in message else ""
    return f"{key}: {message}{shown}" if key else message


def _keys(path: Sequence[str], settings: type[BaseModel]) -> list[str]:
    """Return the keys of the section at a path; the name of a table's entry, such as a field, is part of the path."""
    names = iter(path)
    for name in names:
        annotation = settings.model_fields[name].annotation
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
            next(names, None)
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        settings = annotation
    return [name for name, field in settings.model_fields.items() if not field.exclude]


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` for a misspelt word, or ""."""
    close = difflib.get_close_matches(word[:_COMPARED], list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
