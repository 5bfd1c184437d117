"""Explanations as plain text: what of a value is shown, and which parts of a text are words."""

from __future__ import annotations

import re
import unicodedata

UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff"  # Thai, Japanese, Chinese: each letter counts as a word
WORD = re.compile(rf"[{UNSPACED}]|[^\W\d_{UNSPACED}]+(?:['’-][^\W\d_{UNSPACED}]+)*")
JOINERS = "\u200c\u200d"  # format characters that belong into words and emoji


def plain(text: str) -> str:
    """Return text on one line without invisible characters (control, direction override, halves of surrogates)."""
    return " ".join("".join(_visible(letter) for letter in text).split())


def _visible(letter: str) -> str:
    if letter.isprintable() or letter in JOINERS:
        return letter
    return "" if unicodedata.category(letter) == "Cf" else " "
