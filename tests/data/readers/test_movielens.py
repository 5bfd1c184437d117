"""MovieLens: encodings, and lines of files without a header."""

import re

import pytest

from genre_gen.data.readers import load_data
from genre_gen.errors import DataError
from tests.data.readers.reader_files import MOVIES, ml_1m, ml_100k


def test_movielens_is_read_in_the_encoding_that_is_set(tmp_path):
    folder = ml_1m(tmp_path)
    known = folder / "movies.dat"
    known.write_bytes(known.read_bytes().decode("latin-1").replace("é", "š").encode("cp1250"))
    assert load_data(MOVIES.changed({"data.encoding": "cp1250"}), folder).catalog[0].title == "Misšrables, Les (1995)"
    known.write_bytes("1::Misérables, Les (1995)::Drama\n".encode("latin-1"))
    with pytest.raises(DataError, match="line 1: byte 0xe9 is not ascii"):
        load_data(MOVIES.changed({"data.encoding": "ascii"}), folder)


@pytest.mark.parametrize(("make", "file"), [(ml_100k, "u.data"), (ml_1m, "ratings.dat")])
def test_lines_of_files_without_a_header_count_from_one(tmp_path, make, file):
    folder = make(tmp_path / "set")
    log = (folder / file).read_text().splitlines()
    log[2] = log[2].replace("4", "five", 1)
    (folder / file).write_text("\n".join(log))
    with pytest.raises(DataError, match=re.escape(f"{file}, line 3: rating is not a number: 'five'")):
        load_data(MOVIES, folder)
