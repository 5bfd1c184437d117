"""Lists of labels in brackets, as Python, JSON and R write them; nothing is executed."""

import polars as pl
import pytest

from genre_gen.data.readers.lists import parsed
from genre_gen.data.readers.values import labels


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("['a', 'b']", ["a", "b"]),
        ('["a", "b\\u00e9"]', ["a", "bé"]),
        ("[{'id': 1, 'name': 'Drama'}, {'id': 2, 'name': \"Children's\"}]", ["Drama", "Children's"]),
        ('[{"id": 1, "name": "Drama"}]', ["Drama"]),
        ("{'id': 10194, 'name': 'Toy Story', 'poster': '/x.jpg'}", ["Toy Story"]),
        ("{'Action': 120, 'Indie': 3}", ["Action", "Indie"]),
        ("{'a', 'b'}", ["a", "b"]),
        ("('a',)", ["a"]),
        ("[u'it\\'s']", ["it's"]),
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        ('c("salt", "brown sugar")', ["salt", "brown sugar"]),
        ("character(0)", []),
        ("[]", []),
        ("['a', None, nan, 3]", ["a", "3"]),
        ("[['a'], ['b']]", ["a", "b"]),
        ('["\\ud83d\\ude00 \\ud83d"]', ["😀 �"]),
        ("[REC]", None),
        ("['a', 'b'", None),
        ("[{'id': 1}]", None),
        ("[__import__('os').getcwd()]", None),
        ("[" * 100_000 + "]" * 100_000, None),
        ("['a']" * 2, None),
    ],
)
def test_lists_in_brackets(written, expected):
    assert parsed(written) == expected


def test_a_column_of_labels_in_brackets_and_without():
    assert labels(pl.Series(["['a', 'b', 'a']", "[]", "", "c|d", "[REC]|x"]), "|").to_list() == [
        ["a", "b"], [], [], ["c", "d"], ["[REC]", "x"],
    ]  # fmt: skip
    assert labels(pl.Series(["[Drama, Crime]", "[]", "[War]"]), "|").to_list() == [["Drama", "Crime"], [], ["War"]]
    arrays = pl.Series([["a", "b"], ["c", ""]], dtype=pl.Array(pl.String, 2))
    assert labels(arrays, "|").to_list() == [["a", "b"], ["c"]]
