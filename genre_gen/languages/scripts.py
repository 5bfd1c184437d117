"""Words in scripts with spaces between them, and in scripts without."""

from __future__ import annotations

import re
from collections.abc import Collection

UNSPACED = "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese: scripts without spaces between words, as in a regular expression."""

WORD = re.compile(rf"[{UNSPACED}]+|[^\W\d_{UNSPACED}]+(?:['’-][^\W\d_{UNSPACED}]+)*")
"""A word; in scripts without spaces, all letters up to the next sign."""

_LETTER = re.compile(f"[{UNSPACED}]")


def is_unspaced(text: str) -> bool:
    """Tell whether a text begins with a letter of a script without spaces."""
    return _LETTER.match(text) is not None


def made_of(word: str, words: Collection[str]) -> bool:
    """Tell whether a word is among some (all in lower case).

    In a script without spaces, it may also be several of them one after the other: 看过的 of 看过 and 的.
    """
    word = word.casefold()
    if word in words or not is_unspaced(word):
        return word in words
    reached = {0}
    for end in range(1, len(word) + 1):
        if any(word[begin:end] in words for begin in reached):
            reached.add(end)
    return len(word) in reached
