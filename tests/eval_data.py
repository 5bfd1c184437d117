"""Interactions in which the right answer is known, and a stand-in for processes within limits."""

from __future__ import annotations

import numpy as np

from eval.bench.limited import GaveUpError
from genre_gen.data.interactions import Interactions

ITEMS = 12


def cycles(users: int = 24, length: int = 7, rated: bool = False) -> Interactions:
    """Return users who walk around a circle of items, each from another start."""
    rows = np.concatenate([(np.arange(length) + user) % ITEMS for user in range(users)])
    names = np.repeat([f"u{user}" for user in range(users)], length)
    ratings = (1 + (rows * 7 + np.arange(len(rows)) * 3) % 5).astype(np.float32) if rated else None
    return Interactions.from_columns(names, rows, ITEMS, ratings, np.arange(len(rows)))


class InThisProcess:
    """What ``Limited`` is to its caller, without a process that would have to load torch first."""

    def __init__(self, make, *arguments, seconds, megabytes, threads):
        self.subject = self.tried(make, *arguments)

    def tried(self, function, *arguments):
        try:
            return function(*arguments)
        except Exception as problem:
            raise GaveUpError(str(problem)) from None

    def call(self, method, *arguments):
        return self.tried(getattr(self.subject, method), *arguments)

    def close(self):
        del self.subject
