"""Arguments of public functions, checked before anything is done with them: one line that says what to give."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from genre_gen.errors import UsageError, quoted

T = TypeVar("T")
LARGEST = 2**53
"""No count is larger: beyond it not every whole number has a float of its own."""


def check_count(value: object, name: str, remedy: str, least: int = 1) -> int:
    """Return a whole number of at least ``least``; raises UsageError that ends with the remedy."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UsageError(f"{name} = {quoted(value)}; give a whole number")
    number = int(value)
    if abs(number) > LARGEST:
        raise UsageError(f"{name} is beyond {LARGEST:,}; {remedy}")
    if number < least:
        raise UsageError(f"{name} = {number}; {remedy}")
    return number


def check_number(value: object, name: str, remedy: str) -> float:
    """Return a finite number; raises UsageError that ends with the remedy."""
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(number := float(value)):
                return number
    raise UsageError(f"{name} = {quoted(value)}; {remedy}")


def check_type(value: object, kind: type[T] | tuple[type, ...], name: str, remedy: str) -> T:
    """Return a value of a type; raises UsageError that ends with the remedy."""
    if isinstance(value, kind):
        return value  # type: ignore[return-value]
    raise UsageError(f"{name} is {_called(value)}; give {remedy}")


def check_texts(values: object, name: str, remedy: str) -> list[str]:
    """Return a list of texts; raises UsageError, also for a single text, whose letters would be taken for several."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UsageError(f"{name} is {_called(values)}; give {remedy}")
    return [check_type(value, str, name, remedy) for value in values]


def check_keys(values: object, name: str, remedy: str) -> Mapping[str, Any]:
    """Return a mapping from texts; raises UsageError that ends with the remedy."""
    if isinstance(values, Mapping) and all(isinstance(key, str) for key in values):
        return values
    raise UsageError(f"{name} is {_called(values)}; give {remedy}")


def check_choice(value: object, name: str, choices: Collection[str]) -> str:
    """Return one of some words; raises UsageError that names them."""
    if isinstance(value, str) and value in choices:
        return value
    raise UsageError(f"{name} = {quoted(value)}; choose {' or '.join(choices)}")


def check_path(value: object, name: str) -> Path:
    """Return a path given as text or as a path; raises UsageError."""
    if isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str):
        return Path(value)
    raise UsageError(f"{name} is {_called(value)}; give a path")


def _called(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}, {quoted(value, 40)}"
