"""Columns of a table on a terminal, where some letters are twice as wide and some take no room."""

import pytest

from genre_gen.data.printable import padded, width_of


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("genre", 5), ("类型", 4), ("价格 EUR", 8), ("Ame\u0301lie", 6), ("ｱﾆﾒ", 3), ("한국", 4)],
)  # fmt: skip
def test_the_width_is_that_on_a_terminal(text, width):
    assert width_of(text) == width
    assert width_of(padded(text, 10)) == 10


def test_what_is_wider_stays_as_it_is():
    assert padded("类型", 3) == "类型"
