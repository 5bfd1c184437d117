"""Numbers, decades and centuries in Han characters, written in digits: 九十年代 as 90s."""

from __future__ import annotations

import re
from collections.abc import Iterable

from genre_gen.query.settings import GrammarWords

DIGITS = {letter: value for value, letter in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
POWERS = {"十": 10, "百": 100, "千": 1000}
_QUOTED = re.compile('(《[^》]*》|〈[^〉]*〉|「[^」]*」|『[^』]*』|“[^”]*”|"[^"]*")')


def in_digits(text: str, grammar: GrammarWords) -> str:
    """Return a request with its numerals in digits, decades as ``90s`` and centuries as ranges of years.

    Numerals count where a word follows that is counted (``counted``, ``decades``, ``centuries`` of a language): the 一
    of 一点 stays. Text in quotation marks is a name, and stays too.
    """
    if not grammar.counted and not grammar.decades:
        return text
    parts = _QUOTED.split(text)
    return "".join(part if index % 2 else _plain(part, grammar) for index, part in enumerate(parts))


def number_of(numeral: str) -> int:
    """Return the number that a numeral of Han characters stands for: 一百二十 or 一二〇."""
    if not any(letter in POWERS for letter in numeral):
        return int("".join(str(DIGITS[letter]) for letter in numeral))
    total, digit = 0, None
    for letter in numeral:
        if letter in POWERS:
            total, digit = total + (1 if digit is None else digit) * POWERS[letter], None
        else:
            digit = DIGITS[letter]
    return total + (digit or 0)


def _plain(text: str, grammar: GrammarWords) -> str:
    decades, centuries, or_ = _any(grammar.decades), _any(grammar.centuries), (grammar.disjunctions or ("",))[0]
    counted = _any([*grammar.decades, *grammar.centuries, *grammar.counted])
    for phrase in grammar.last_century:
        text = text.replace(phrase, f"20{grammar.centuries[0]}")
    # 八九十年代: two decades or more
    text = re.sub(
        rf"([一二三四五六七八九]{{2,}})十({decades})",
        lambda match: or_.join(f"{DIGITS[digit]}0{match[2]}" for digit in match[1]),
        text,
    )
    text = re.sub(
        rf"([{''.join([*DIGITS, *POWERS])}]+)(?=\s*(?:{counted}))", lambda match: str(number_of(match[1])), text
    )
    joint = f"(?:{_any(grammar.attributive)})?" if grammar.attributive else ""
    text = re.sub(
        rf"(?<!\d)(\d\d)\s*(?:{centuries}){joint}\s*(\d0)(?=\s*(?:{decades}))",
        lambda match: f"{int(match[1]) - 1}{match[2]}",
        text,
    )
    text = re.sub(
        rf"(?<!\d)(\d\d)\s*(?:{centuries})", lambda match: f" {int(match[1]) - 1}00-{int(match[1]) - 1}99 ", text
    )
    return re.sub(rf"(?<!\d)(\d\d?\d?0)\s*(?:{decades})", r" \1s ", text)


def _any(words: Iterable[str]) -> str:
    """Return a pattern of any of the words, the longest first; of none, one that nothing is like."""
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True))) or r"(?!)"
