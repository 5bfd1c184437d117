"""RecBole's atomic files, whose columns have types in their names."""

import re

import pytest

from genre_gen.data.readers.recbole import read_atomic
from genre_gen.errors import DataError
from tests.data.readers.reader_files import write


def test_atomic_files_lose_the_types_of_their_names(tmp_path):
    write(tmp_path, x__kg="head_id:token\ttags:token_seq\nm.1\ta b\nm.2\t\n")
    assert read_atomic(tmp_path / "x.kg").frame.to_dict(as_series=False) == {
        "head_id": ["m.1", "m.2"],
        "tags": ["a b", ""],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id\titem_id:token\n", "line 1: column 'user_id' has no type"),
        ("user_id:text\n", "column 'user_id' has no type"),
        ("user_id:token\titem_id:token\titem_id:float\n", "line 1: column 'item_id' has two types; rename one"),
    ],
)
def test_atomic_files_that_do_not_hold(tmp_path, content, message):
    write(tmp_path, x__user=content)
    with pytest.raises(DataError, match=re.escape(message)):
        read_atomic(tmp_path / "x.user")
