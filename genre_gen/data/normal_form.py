"""Texts in one form before they are compared: a letter with a mark may be written as one character or as two."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence

_COMPARED = 1000  # words that difflib compares
_LONGEST = 80  # characters of a word that is compared: comparing takes time in proportion to their square


def composed(text: str) -> str:
    """Return a text in the form NFC, in which a letter with its mark is one character if possible."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Return what texts are compared by: without case, and in one form."""
    return text.casefold() if text.isascii() else composed(composed(text).casefold())


def close_matches(word: str, words: Sequence[str], n: int = 3) -> list[str]:
    """Return at most ``n`` words that are ``word`` except for its case or a slip in one half of it, the closest first.

    Only words with the same first or second half are compared, so it is fast for any number of words.
    """
    wanted = folded(word.strip())[:_LONGEST]
    middle = len(wanted) // 2
    begin, end = wanted[:middle] or wanted, wanted[middle:]
    found: dict[str, str] = {}
    for each in words:
        form = folded(each)
        if abs(len(form) - len(wanted)) <= 2 and (form.startswith(begin) or form.endswith(end)):  # noqa: PLR2004 a slip
            found.setdefault(form, each)
            if len(found) == _COMPARED:
                break
    return [found[form] for form in difflib.get_close_matches(wanted, found, n)]
