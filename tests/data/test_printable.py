"""Text on a terminal: what is replaced, what is quoted, and columns where letters are wide or take no room."""

import pytest

from genre_gen.data.printable import aligned_rows, padded, printable, quoted_text, width_of
from genre_gen.errors import UsageError, quoted
from genre_gen.explain.text import plain

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
KEPT = (
    "Bon\u00a0voyage\u202f!", "日本\u3000語", "می\u200cخواهم", "क्\u200dष", FAMILY, "❤\ufe0f", "\U0001fae9", "a\u00adb",
    "wait\u2026", "\ue000", "x\u2060y", "\ufeffx",
)  # fmt: skip


@pytest.mark.parametrize("text", KEPT)
def test_spaces_joiners_and_new_letters_are_printed_as_they_are(text):
    assert printable(text) == text
    assert str(UsageError(f"no {text}")) == f"no {text}"
    assert quoted(text) == quoted_text(text) == f"'{text}'"


@pytest.mark.parametrize("text", KEPT[:6])
def test_explanations_keep_them_too(text):
    assert plain(text) == text


@pytest.mark.parametrize(
    "letter",
    ["\x00", "\x1b", "\x85", "\r", "\u2028", "\u2029", "\u200f", "\u202e", "\u2066", "\u061c", "\ud800", "\uffff"],
)
def test_control_and_direction_characters_are_replaced(letter):
    assert printable(f"a{letter}b") == "a\N{REPLACEMENT CHARACTER}b"
    assert letter not in quoted(f"a{letter}b")
    assert printable(f"a{letter}b", keep=letter) == f"a{letter}b"


@pytest.mark.parametrize("text", ["a'b", 'a"b', "a'\"b", "back\\slash", "line\nline", "plain", ""])
def test_quoted_text_is_what_python_writes(text):
    assert quoted_text(text) == repr(text)


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0), ("genre", 5), ("类型", 4), ("价格 EUR", 8), ("Ame\u0301lie", 6), ("ｱﾆﾒ", 3), ("한국", 4),
        ("می\u200cخواهم", 7), ("日本\u3000語", 8), ("Bon\u00a0voyage\u202f!", 12), (FAMILY, 2),
        ("❤\ufe0f", 2), ("❤", 1), ("\U0001f44d\U0001f3fd", 2), ("\u1112\u1161\u11ab", 2), ("a\u00adb", 3),
    ],
)  # fmt: skip
def test_the_width_is_that_on_a_terminal(text, width):
    assert width_of(text) == width
    assert width_of(padded(text, 13)) == 13
    assert padded(text, 13, right=True).endswith(text)


def test_what_is_wider_stays_as_it_is():
    assert padded("类型", 3) == "类型"


def test_columns_of_wide_letters_are_aligned():
    lines = aligned_rows([["model", "N@10"], ["模型", "0.1"], [f"{FAMILY}x", "0.22"]])
    assert lines == ["model  N@10", "模型    0.1", f"{FAMILY}x    0.22"]
