"""Delimited text: line ends, quotes, encodings and delimiters."""

import pytest

from genre_gen.errors import DataError
from tests.data.readers.reader_files import HEADER, ITEMS, load


def test_line_ends_of_old(tmp_path):
    data = load(tmp_path, (HEADER + "1,1,5,10\n1,2,4,20\n").replace("\n", "\r"), ITEMS.replace("\n", "\r"))
    assert data.interactions.rows.tolist() == [0, 1]
    with pytest.raises(DataError, match="line 2: no item"):
        load(tmp_path, (HEADER + "1,,5,10\n").replace("\n", "\r"))


def test_odd_but_valid_files(tmp_path):
    items = '\ufeffitem_id;title;genre;year;;\r\n1;"Two\nlines; one title";X|Y;2000;;a\r\n\r\n2;"Say ""hi""";;;\r\n'
    data = load(tmp_path, HEADER.replace(",", ";") + "1;1;5;10\n\n1;2;4;20", items, data__delimiter=";")
    assert [item.title for item in data.catalog] == ["Two\nlines; one title (2000)", 'Say "hi"']
    assert data.interactions.rows.tolist() == [0, 1]
    latin = ITEMS.replace("A", "Ä").encode("latin-1")
    assert load(tmp_path, HEADER + "1,1,5,10\n", latin, data__encoding="latin-1").catalog[0].title == "Ä (2000)"
    with pytest.raises(DataError, match="'utf-9' is not known"):
        load(tmp_path, HEADER, data__encoding="utf-9")
