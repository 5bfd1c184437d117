"""Make text from data safe to print: a title or column name must not break, colour or clear the terminal or page."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any


def printable(text: str, keep: str = "") -> str:
    """Return text with each unprintable character (such as a control character) replaced, apart from ``keep``."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else "\N{REPLACEMENT CHARACTER}" for letter in text)


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for each wide letter, such as those of Chinese."""
    marks = sum(unicodedata.category(letter) in {"Mn", "Me", "Cf"} for letter in text)
    return len(text) - marks + sum(unicodedata.east_asian_width(letter) in {"W", "F"} for letter in text)


def padded(text: str, width: int) -> str:
    """Return text filled up with spaces to a width on a terminal."""
    return text + " " * (width - width_of(text))


def shown(value: Any, comma: str = ", ") -> str:
    """Return an attribute's value for people; ``comma`` separates several."""
    return comma.join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def about(attributes: Mapping[str, Any]) -> str:
    """Return known attributes in one line; numbers come with their field, since a bare 0 has no meaning."""
    return "; ".join(
        f"{name} {shown(value)}" if isinstance(value, (int, float)) else shown(value)
        for name, value in attributes.items()
        if value not in {None, ()}
    )
