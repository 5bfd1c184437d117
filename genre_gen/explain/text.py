"""Explanations as plain text: what of a value is shown."""

from __future__ import annotations

import re
import unicodedata

from genre_gen.data.printable import is_safe

JOINERS = "\u200c\u200d"  # format characters that belong into words and emoji
_ROOM = re.compile("[^\\S\u00a0\u2007\u202f\u3000]+")  # spaces at which a line may break; ideographic ones stay too


def plain(text: str) -> str:
    """Return text on one line without invisible characters (control, direction override, halves of surrogates)."""
    return _ROOM.sub(" ", "".join(_visible(letter) for letter in text)).strip(" ")


def _visible(letter: str) -> str:
    if unicodedata.category(letter) == "Cf" and letter not in JOINERS:
        return ""
    return letter if is_safe(letter) else " "
