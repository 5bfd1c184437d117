"""Filters, tests and arithmetic of templates. Each pays for the values that it reads and returns."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any

from jinja2 import Undefined, filters

from genre_gen.data.titles import article_first
from genre_gen.errors import PromptError
from genre_gen.prompting.budget import BUDGET, CHARACTERS_PER_UNIT, MAX_DIGITS, MAX_NUMBER, MAX_RANGE
from genre_gen.prompting.pieces import Code, Fragment, as_text, fail


def _truncate(value: object, length: int = 80, end: str = "…") -> str:
    text = as_text(value)
    if len(text) <= length:
        return text
    room = max(0, length - len(end))
    words = text[: room + 1].rsplit(None, 1)
    return (words[0] if len(words) > 1 else text[:room]).rstrip() + end


def _replace(value: object, old: str, new: str) -> str:
    text, new = as_text(value), as_text(new)
    if not isinstance(old, str) or not old:
        raise PromptError("replace needs a non-empty text to search for")
    BUDGET.get().spend(text.count(old) * len(new) // CHARACTERS_PER_UNIT)
    return text.replace(old, new)


def join(values: Iterable[object], separator: str = "") -> str:
    """Return values joined as one string."""
    parts, budget = [], BUDGET.get()
    for value in _iterable(values):
        parts.append(as_text(value))
        budget.spend(1 + (len(parts[-1]) + len(separator)) // CHARACTERS_PER_UNIT)
    return as_text(separator).join(parts)


def _sum(values: Iterable[object]) -> float:
    total: float = 0
    for value in _iterable(values):
        total = arithmetic("+", total, value)
    return total


def _round(value: object, digits: object = 0) -> float:
    if not isinstance(digits, int) or not -MAX_DIGITS <= digits <= MAX_DIGITS:
        raise PromptError(f"round takes {-MAX_DIGITS} to {MAX_DIGITS} digits")
    return round(_number(value), digits)


def _length_of(values: Any) -> int:
    return len(str(values) if isinstance(values, Fragment) else values)


def _textual(method: Callable[[str], str]) -> Callable[[object], str]:
    return lambda value: method(as_text(value))


FILTERS: dict[str, Callable[..., Any]] = {
    "upper": _textual(str.upper),
    "lower": _textual(str.lower),
    "capitalize": _textual(str.capitalize),
    "title": _textual(str.title),
    "trim": _textual(str.strip),
    "string": _textual(str),
    "article_first": _textual(article_first),
    "truncate": _truncate,
    "replace": _replace,
    "join": join,
    "sum": _sum,
    "round": _round,
    "length": _length_of,
    "count": _length_of,
    "default": filters.do_default,
    "first": filters.do_first,
    "last": filters.do_last,
    "list": filters.do_list,
    "reverse": filters.do_reverse,
    "sort": filters.do_sort,
    "unique": filters.do_unique,
    "min": filters.do_min,
    "max": filters.do_max,
    "items": filters.do_items,
    "map": filters.sync_do_map,
    "select": filters.sync_do_select,
    "reject": filters.sync_do_reject,
    "selectattr": filters.sync_do_selectattr,
    "rejectattr": filters.sync_do_rejectattr,
}
"""The filters that a template may use."""


def _iterable(values: Any) -> Iterable[Any]:
    if isinstance(values, Undefined):
        fail(values)
    if values is None or isinstance(values, str | Code | Fragment) or not hasattr(values, "__iter__"):
        raise PromptError(f"expected a list, not {'None' if values is None else 'a ' + type(values).__name__}")
    return values


def steps(values: Any) -> Iterator[Any]:
    """Yield values, paying for each; every loop of a template runs over this."""
    budget = BUDGET.get()
    for value in _iterable(values):
        budget.spend(1)
        yield value


def compared(value: Any) -> Any:
    """Pay for comparing with a value, or for searching in it."""
    BUDGET.get().spend(1 + size_of(value))
    return value


def size_of(value: object) -> int:
    """Return the cost of reading a value."""
    if isinstance(value, str):
        return len(value) // CHARACTERS_PER_UNIT
    if isinstance(value, Fragment):
        return value.size // CHARACTERS_PER_UNIT
    return len(value) if isinstance(value, list | tuple | dict | range) else 0


def paid(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a filter pay for the values that it reads and returns."""

    @functools.wraps(function)  # keeps Jinja's attributes, such as pass_context
    def pay(*arguments: Any, **options: Any) -> Any:
        budget = BUDGET.get()
        budget.spend(1 + sum(map(size_of, arguments)))
        result = function(*arguments, **options)
        if isinstance(result, GeneratorType):
            return steps(result)
        budget.charge(size_of(result))
        return result

    return pay


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


# Jinja's own tests take any value, and % on a string formats it, with any number of spaces.
TESTS: dict[str, Callable[..., bool]] = {
    "even": lambda value: arithmetic("%", value, 2) == 0,
    "odd": lambda value: arithmetic("%", value, 2) == 1,
    "divisibleby": lambda value, divisor: arithmetic("%", value, divisor) == 0,
}
"""Tests of numbers, which replace Jinja's."""


def _number(value: object) -> int | float:
    if isinstance(value, Undefined):
        fail(value)
    if isinstance(value, int | float):
        return value
    raise PromptError(f"arithmetic is for numbers, not for a {type(value).__name__}; join texts with ~")


def arithmetic(symbol: str, left: object, right: object) -> int | float:
    """Compute with two numbers; raises PromptError for other values and for results that are too large."""
    result = OPERATORS[symbol](_number(left), _number(right))
    if abs(result) > MAX_NUMBER:
        raise PromptError(f"a number is larger than {MAX_NUMBER:g}")
    return result


def limited_range(*bounds: int) -> range:
    """Return a range of at most ``MAX_RANGE`` numbers; raises PromptError."""
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise PromptError(f"range of {len(numbers)} numbers; at most {MAX_RANGE} are allowed")
    return numbers
