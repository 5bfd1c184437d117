"""Make text from data safe to print: a title or column name must not break, colour or clear the terminal or page."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Return text with each unprintable character (such as a control character) replaced, apart from ``keep``."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else "\N{REPLACEMENT CHARACTER}" for letter in text)
