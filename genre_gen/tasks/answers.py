"""Metrics of answers in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from genre_gen.languages.scripts import UNSPACED

# A word, a sign, or a letter of a script without spaces.
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")

Metric: TypeAlias = Callable[[Sequence[str], Sequence[str]], float]
"""Compares answers with the true ones; both have the same length of at least 1."""


def accuracy(answers: Sequence[str], truths: Sequence[str]) -> float:
    """Return the share of answers that equal the truth, apart from case and spaces."""
    return _mean(lambda answer, truth: float(_words(answer) == _words(truth)), answers, truths)


def token_f1(answers: Sequence[str], truths: Sequence[str]) -> float:
    """Return the mean F1 score of the words of answer and truth, as in SQuAD."""
    return _mean(lambda answer, truth: _f1(_words(answer), _words(truth)), answers, truths)


def label_f1(answers: Sequence[str], truths: Sequence[str]) -> float:
    """Return the mean F1 score of the labels, separated by commas or line breaks, of answer and truth."""
    return _mean(lambda answer, truth: _f1(_labels(answer), _labels(truth)), answers, truths)


def _mean(compare: Callable[[str, str], float], answers: Sequence[str], truths: Sequence[str]) -> float:
    values = [compare(answer, truth) for answer, truth in zip(answers, truths, strict=True)]
    return sum(values) / len(values)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _labels(text: str) -> set[str]:
    return {label.strip() for label in re.split(r"[,，、\n]", text.casefold())} - {""}


def _f1(answer: Iterable[str], truth: Iterable[str]) -> float:
    given, true = Counter(answer), Counter(truth)
    common = (given & true).total()
    total = given.total() + true.total()
    return 2 * common / total if total else 1.0
