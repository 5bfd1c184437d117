"""Text from data on a terminal or a page: a title or column name shall not break, colour or clear it."""

from __future__ import annotations

import unicodedata


def printable(text: str, keep: str = "") -> str:
    """Return text with a replacement character for each unprintable one, such as controls, apart from ``keep``."""
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
