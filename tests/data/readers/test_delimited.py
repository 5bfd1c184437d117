"""Delimited text: separators, and what stands above the data."""

import pytest

from genre_gen.data.readers import load_data
from genre_gen.data.readers.delimited import read_text
from genre_gen.data.readers.encodings import Text
from genre_gen.data.settings import TextFormat
from genre_gen.errors import DataError
from tests.data.readers.reader_files import HEADER, ITEMS, MOVIES, domain, load, write
from tests.data.readers.test_mind import mind, news

LOG = HEADER + "1,1,5,10\n1,2,4,20\n"


def rows(text: str, file: str = "x.csv") -> list[tuple[str, ...]]:
    return read_text(Text(text, file)).frame.rows()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "::", " "])
@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "dat"])
def test_the_separator_is_found_in_each_file(tmp_path, delimiter, ending):
    write(tmp_path, **{f"interactions__{ending}": LOG.replace(",", delimiter), "items__csv": ITEMS.replace(",", ";")})
    data = load_data(MOVIES, tmp_path)
    assert (len(data.catalog), data.interactions.rows.tolist()) == (2, [0, 1])


def test_the_separator_of_each_file_can_be_set(tmp_path):
    items = ITEMS.replace(",", "^")
    data = load(tmp_path, LOG.replace(",", "~"), items, data__delimiter="~", data__items_file={"delimiter": "^"})
    assert data.interactions.rows.tolist() == [0, 1]


def test_a_separator_of_two_characters_may_be_inside_quotes():
    assert rows('id::title\n1::"a::b"\n2::c\n') == [("1", "a::b"), ("2", "c")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sep=;\r\nid;a\r\n1;x\r\n", [("1", "x")]),
        ('"sep=|"\nid|a\n1|x\n', [("1", "x")]),
        ("# made by me, today\n# 2020\n\nid,a\n1,x\n", [("1", "x")]),
        ("#id,a\n1,x\n", [("1", "x")]),
        ("# id, a\nid,a\n1,x\n", [("1", "x")]),
        ("#,title\n1,x\n", [("1", "x")]),
        ("id,a\n#1,x\n", [("#1", "x")]),
        ("\n\nid,a\n1,x\n", [("1", "x")]),
    ],
)
def test_lines_above_the_data(text, expected):
    table = read_text(Text(text, "x.csv"))
    assert table.frame.rows() == expected
    assert table.locate(0) == f"line {text.count(chr(10))}" if not text.startswith("id") else "line 2"


def test_comments_are_noted_and_a_header_in_one_is_used():
    table = read_text(Text("# made by me\n# b\nid,a\n1,x\n", "x.csv"))
    assert [str(note) for note in table.notes] == [
        "x.csv: comment above the data: 2 left out, the first in line 1 ('# made by me')"
    ]
    table = read_text(Text("# made by me\n# id,a\n1,x\n", "x.csv"))
    assert (table.frame.columns, table.locate(0), len(table.notes)) == (["id", "a"], "line 3", 1)
    assert read_text(Text("#,title\n1,x\n", "x.csv")).frame.columns == ["#", "title"]


def test_lines_of_a_user_and_their_items_are_read(tmp_path):
    table = read_text(Text("1 4 5 6\n2 4 6\n\n3 5\n", "seq.txt"))
    assert table.frame.columns == ["user_id", "item_id"]
    assert table.frame.rows() == [("1", "4"), ("1", "5"), ("1", "6"), ("2", "4"), ("2", "6"), ("3", "5")]
    assert (table.locate(3), table.locate(5)) == ("line 2", "line 4")
    assert str(table.notes[0]) == (
        "seq.txt: a user and their items in each line: 3 read so, the first in line 1 ('1 4 5 6')"
    )
    write(tmp_path, interactions__txt="1\t4\t5\n2\t4\n")
    data = load_data(domain("shop", {}), tmp_path)
    assert data.interactions.rows.tolist() == [0, 1, 0]


def test_numbers_that_are_a_table_stay_one():
    table = read_text(Text("1 4\n2 4\n3 5\n", "x.txt"))
    assert table.frame.columns == ["1", "4"]  # as many in each line: a table without a header
    assert read_text(Text("1,4\n2,4,5\n", "x.txt"), TextFormat(delimiter=";")).frame.width == 1


# A format without a header that lacks columns


def test_a_line_that_lacks_values_is_the_cause_that_is_named(tmp_path):
    folder = mind(tmp_path / "mind", "1\tU2\t11/12/2019 2:14:46 PM\tN2-0 N1-1\n")
    with pytest.raises(
        DataError, match=r"behaviors\.tsv, line 1: 4 values, but the format has 5: impression_id, user_id"
    ):
        load_data(news(), folder)
    (folder / "news.tsv").write_text("N1\tsports\tsoccer\tCup\nN2\tnews\tlocal\tRain\n")
    (folder / "behaviors.tsv").write_text("1\tU2\t11/12/2019 2:14:46 PM\t\tN2-0 N1-1\n")
    assert [item.title for item in load_data(news(), folder).catalog] == ["Cup", "Rain"]
    (folder / "news.tsv").write_text("N1\tsports\tCup\n")
    with pytest.raises(DataError, match=r"news\.tsv, line 1: 3 values, but the format has 8: item_id, category"):
        load_data(news(), folder)
    write(tmp_path / "ml", movies__dat="1::A::X\n", ratings__dat="1::1::5\n")
    with pytest.raises(DataError, match=r"ratings\.dat, line 1: 3 values, but the format has 4: user_id, item_id"):
        load_data(MOVIES, tmp_path / "ml")


def test_no_interactions_left_says_what_was_dropped_and_why(tmp_path):
    policies = {"unknown_items": "drop", "ratings": "drop"}
    with pytest.raises(DataError) as caught:
        load(tmp_path, HEADER + "1,9,5,10\n1,1,x,20\n2,8,5,10\n", data__policies=policies)
    assert str(caught.value) == (
        f"{tmp_path / 'set' / 'interactions.csv'}: no interactions left of 3; 2 dropped: item not in the catalog (the "
        "first in line 2: '9'); 1 dropped: rating is not a number (the first in line 3: 'x'); check the file"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1:\n7,5,2005-09-06\n",
            "line 1: '1:' begins a block; put '1' into each of its lines, as a value; line 2: 3 values",
        ),
        (
            "1,2003,A\n2,2004,B, C\n",
            r"line 1: looks like data \(1, 2003, A\), not like names of columns; .*line 2: 4 values",
        ),
        ("id,title\n2,B, C\n", "x.csv, line 2: 3 values for 2 columns"),
    ],
)
def test_the_first_line_is_named_if_it_is_the_cause(text, message):
    with pytest.raises(DataError, match=message):
        rows(text)
