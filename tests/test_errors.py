"""Messages quote data, so they are made safe to print and bounded."""

import inspect

import pytest

from genre_gen import errors
from genre_gen.errors import LONGEST, GenreGenError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GenreGenError)]


@pytest.mark.parametrize("kind", KINDS)
def test_control_characters_are_replaced(kind):
    message = str(kind("no item '\x1b[2J\x07\u202e\ud800 é 日'; give a title"))
    assert message == "no item '\ufffd[2J\ufffd\ufffd\ufffd é 日'; give a title"
    message.encode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_message_keeps_what_was_wrong_and_the_remedy(kind):
    message = str(kind("no item " + "x" * 10_000_000 + "; give a title"))
    assert len(message) < LONGEST + 10
    assert message.startswith("no item xxx")
    assert message.endswith("; give a title")
