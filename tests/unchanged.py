"""Recommenders that tests of many files share: which file changed the weights of one, if only in the last digit."""

from __future__ import annotations

from genre_gen import Recommender
from genre_gen.llm.fingerprint import weights_fingerprint


class Unchanged:
    """What was trained for all tests, with fingerprints of the weights."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Recommender, str]] = {}

    def trained(self, name: str, recommender: Recommender) -> Recommender:
        """Return a recommender whose weights are as they shall stay."""
        self._known[name] = recommender, weights_fingerprint(recommender.state.llm)
        return recommender

    def check(self) -> None:
        """Raise AssertionError for those that have other weights than at the last check."""
        changed = []
        for name, (recommender, before) in self._known.items():
            self.trained(name, recommender)
            if self._known[name][1] != before:
                changed.append(name)
        assert not changed, f"a test of this file changed weights of {', '.join(changed)}, which other files use"
