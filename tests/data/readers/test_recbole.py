"""RecBole's atomic files with their declared types."""

import re

import pytest

from genre_gen.data.readers import read_atomic
from genre_gen.errors import DataError
from tests.data.readers.reader_files import write


def test_atomic_files_have_their_declared_types(tmp_path):
    write(tmp_path, x__kg="head_id:token\tweight:float\ttags:token_seq\tp:float_seq\nm.1\t0.5\ta b\t1 2.5\nm.2\t\t\t\n")
    frame = read_atomic(tmp_path / "x.kg")
    assert frame.to_dict(as_series=False) == {
        "head_id": ["m.1", "m.2"],
        "weight": [0.5, None],
        "tags": [["a", "b"], []],
        "p": [[1.0, 2.5], []],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id\titem_id:token\n", "line 1: column 'user_id' has no type"),
        ("user_id:text\n", "column 'user_id' has no type"),
        ("user_id:token\titem_id:token\titem_id:float\n", "line 1: column 'item_id' has two types; rename one"),
        ("w:float\n1\nx\n", "line 3: w 'x' is not float"),
        ("w:float_seq\n1 2\n1 x\n", "line 3: w '1 x' is not float_seq"),
    ],
)
def test_atomic_files_that_do_not_hold(tmp_path, content, message):
    write(tmp_path, x__user=content)
    with pytest.raises(DataError, match=re.escape(message)):
        read_atomic(tmp_path / "x.user")
