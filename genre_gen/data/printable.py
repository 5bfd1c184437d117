"""Make text from data safe to print: a title or column name must not break, colour or clear the terminal or page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

# Control characters, ends of lines and paragraphs, characters that turn the direction of text or annotate it, halves of
# surrogate pairs, and codes without a character. Spaces and joiners of all kinds stay, and so do letters and emoji
# that are newer than Python's tables.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\u206a-\u206f\ufff9-\ufffb\ud800-\udfff"
    "\ufdd0-\ufdef\ufffe\uffff]"
)
_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"


def is_safe(letter: str) -> bool:
    """Tell whether a character can be printed as it is."""
    return _UNSAFE.match(letter) is None


def printable(text: str, keep: str = "") -> str:
    """Return text with each control or direction character replaced, apart from those of ``keep``."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else "\N{REPLACEMENT CHARACTER}", text)


def quoted_text(text: str) -> str:
    """Return a text in quotation marks as Python writes it, but with every character that can be printed as it is."""
    mark = '"' if "'" in text and '"' not in text else "'"
    letters = (repr(letter)[1:-1] if not is_safe(letter) or letter == "\\" else letter for letter in text)
    return mark + "".join(f"\\{letter}" if letter == mark else letter for letter in letters) + mark


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for each wide letter, such as those of Chinese.

    Marks and joiners take none, nor does what is joined to an emoji; a sign that is shown as an emoji takes two.
    """
    if text.isascii():
        return len(text)
    total, last, joined = 0, 0, False
    for letter in text:
        if letter == _EMOJI_STYLE and last == 1:
            total, last = total + 1, 2
        width = 0 if joined else _letter_width(letter, last)
        joined = letter == _JOINER and last == 2  # noqa: PLR2004 - behind an emoji
        total, last = total + width, width or last
    return total


def _letter_width(letter: str, before: int) -> int:
    """Return the columns of one letter behind one of ``before`` columns."""
    tone = before == 2 and "\U0001f3fb" <= letter <= "\U0001f3ff"  # noqa: PLR2004 - of the skin of the emoji before
    follows = "\u1160" <= letter <= "\u11ff"  # the later parts of a syllable of Hangul
    if tone or follows or (letter != "\u00ad" and unicodedata.category(letter) in {"Mn", "Me", "Cf"}):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return text filled up with spaces to a width on a terminal; ``right``: with the spaces in front."""
    spaces = " " * (width - width_of(text))
    return spaces + text if right else text + spaces


def aligned_rows(rows: list[list[str]], room: str = "  ") -> list[str]:
    """Return the lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return [
        room.join(
            padded(cell, width, right=place > 0) for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


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
