"""Comparison of two answers to the same request."""

import pytest


def assert_same(first, second):
    """Check that answers have the same items, with scores that are equal except for rounding.

    Cached prefixes of earlier requests change the last digit of a score on some processors.
    """
    assert [pick.item for pick in first] == [pick.item for pick in second]
    assert [pick.score for pick in first] == pytest.approx([pick.score for pick in second], abs=1e-4)
