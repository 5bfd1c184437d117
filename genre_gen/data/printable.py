"""Text from data on a terminal or a page: a title or column name shall not break, colour or clear it."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Return text with a replacement character for each unprintable one, such as controls, apart from ``keep``."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else "\N{REPLACEMENT CHARACTER}" for letter in text)
