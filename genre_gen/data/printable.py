"""Make text from data safe to print: a title or column name must not break, colour or clear the terminal or page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def printable(text: str, keep: str = "") -> str:
    """Return text with each unprintable character (such as a control character) replaced, apart from ``keep``."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else "\N{REPLACEMENT CHARACTER}" for letter in text)


def shown(value: Any) -> str:
    """Return an attribute's value for people."""
    return ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def about(attributes: Mapping[str, Any]) -> str:
    """Return known attributes in one line; numbers come with their field, since a bare 0 has no meaning."""
    return "; ".join(
        f"{name} {shown(value)}" if isinstance(value, (int, float)) else shown(value)
        for name, value in attributes.items()
        if value not in {None, ()}
    )
