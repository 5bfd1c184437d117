"""Explanations as plain text: what of a value is shown."""

from __future__ import annotations

import unicodedata

JOINERS = "\u200c\u200d"  # format characters that belong into words and emoji


def plain(text: str) -> str:
    """Return text on one line without invisible characters (control, direction override, halves of surrogates)."""
    return " ".join("".join(_visible(letter) for letter in text).split())


def _visible(letter: str) -> str:
    if letter.isprintable() or letter in JOINERS:
        return letter
    return "" if unicodedata.category(letter) == "Cf" else " "
