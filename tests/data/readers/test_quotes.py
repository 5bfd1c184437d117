"""Quotes: what encloses a value, what is text, and what would swallow whole records without a word."""

import pytest

from genre_gen.data.readers.delimited import read_text
from genre_gen.data.readers.encodings import Text
from genre_gen.data.settings import TextFormat
from genre_gen.errors import DataError
from tests.data.readers.reader_files import HEADER, load

HEROES = 'id\ttitle\tgenre\n1\t"Heroes\ta\n2\tLow\tb\n3\tLodger"\ta\n'
WEIRD = 'id,title,genre\n5,"a, b",Pop\n6,""Weird"" Al,Pop\n'


def titles(text: str, **form: str) -> list[str]:
    return read_text(Text(text, "x.csv"), TextFormat(**form)).frame["title"].to_list()


def notes(text: str, **form: str) -> list[str]:
    return [str(note) for note in read_text(Text(text, "x.csv"), TextFormat(**form)).notes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEROES, ['"Heroes', "Low", 'Lodger"']),
        (WEIRD, ["a, b", '"Weird" Al']),
        ('id,title\n6,"Weird" Al\n7,"a ""b, c"""\n', ['"Weird" Al', 'a "b, c"']),
        ('id,title,size\n1,6" pipe,a\n2,"x, y",b\n3,8" pipe,c\n', ['6" pipe', "x, y", '8" pipe']),
        ('id;title;genre\n1;"x \\"; or, y\\" z";a\n2;"b; c";d\n', ['x "; or, y" z', "b; c"]),
        ('id,title,genre\n1,"C:\\",a\n2,"b, c",d\n', ["C:\\", "b, c"]),
        ('id,title,genre\n1,"Two\nlines, one value",a\n2,"x",b\n', ["Two\nlines, one value", "x"]),
        ('id,title\n1,"Hello\nDear, x"\n2,y\n', ["Hello\nDear, x", "y"]),
        ('id,title\n1, "a, b" \n2,c\n', ["a, b", "c"]),
        ('id,title,genre\n1,"Heroes,a\n2,"b, c",d\n', ['"Heroes', "b, c"]),
        ("'id','title'\n'1','it''s, so'\n2,b\n", ["it's, so", "b"]),
        ("id\ttitle\n1\tit's\n2\t'b\n", ["it's", "'b"]),
        ('id,title\n1,""\n2,"b"\n', ["", "b"]),
        ('id\ttitle\tgenre\n1\t"Heroes\ta"\n2\tb\tc\n', ['"Heroes', "b"]),
        ('id\ttitle\n1\t"Heroes\n\n2\tLow\n3\tLodger"\n', ['"Heroes', "Low", 'Lodger"']),
        ('title\tid\n"Heroes\t1\nLow\t2\nLodger"\t3\n', ['"Heroes', "Low", 'Lodger"']),
        ('id,title,note\n1,"Smith, John"\n2,"Doe, Jane",x\n', ["Smith, John", "Doe, Jane"]),
        ('id\ttitle\tgenre\r\n1\t"Heroes\ta\r\n2\tLow\tb\r\n3\tLodger"\ta\r\n', ['"Heroes', "Low", 'Lodger"']),
    ],
)
def test_values_are_read_as_they_were_meant(text, expected):
    assert titles(text) == expected


def test_a_value_with_a_quote_that_encloses_nothing_is_named_with_its_line():
    kind = "quote that encloses no value (data.quote): 1 read as written, the first in line"
    assert notes(HEROES) == [f"""x.csv: {kind} 2 ('"Heroes')"""]
    assert notes(WEIRD) == [f"""x.csv: {kind} 3 ('""Weird"" Al')"""]
    assert notes(WEIRD.replace('""Weird""', "Weird")) == notes(HEROES, quote="none") == []


def test_a_value_that_may_be_several_is_named_with_its_line():
    kind = "x.csv: quotes around what may be several values (data.quote): 1 read as one value, the first in line"
    assert notes('id,title\n1,"Hello\nDear, x"\n2,y\n') == [f"{kind} 2 ('\"Hello\\nDear, x\"')"]
    assert notes('id,title,note\n1,b,c\n2,"Smith,John"\n') == [f"{kind} 3 ('\"Smith,John\"')"]
    assert notes('id,title\n1,"Hello\nDear, x"\n2,y\n', quote='"') == []


def test_quote_and_escape_can_be_set():
    assert titles(HEROES, quote='"') == ["Heroes\ta\n2\tLow\tb\n3\tLodger"]
    assert titles(HEROES, quote="none") == ['"Heroes', "Low", 'Lodger"']
    assert titles("id,title\n1,~a, b~\n", quote="~") == ["a, b"]
    assert titles("id,title\n1,a\\, b\n2,c\\\\d\n", quote="none", escape="\\") == ["a, b", "c\\d"]
    assert titles('id,title\n1,"a^"b"\n', escape="^") == ['a"b']
    assert titles('id,title\n1,"\\"a\n', escape="none") == ['"\\"a']


def test_the_form_that_was_found_is_told():
    table = read_text(Text(HEROES, "x.tsv"))
    assert table.form == TextFormat(encoding="utf-8", delimiter="\t", quote="none")
    assert read_text(Text(WEIRD, "x.csv")).form == TextFormat(encoding="utf-8", delimiter=",")
    escaped = read_text(Text('id,title\n1,"\\"a, b"\n', "x.csv")).form
    assert (escaped.quote, escaped.escape) == (None, "\\")


def test_lines_count_as_before_where_quotes_were_rewritten(tmp_path):
    log = HEADER + '1,1,5,10\n"1,2,5,11\n"1\nx",1,5,10\n1,1,five,11\n'
    with pytest.raises(DataError, match="line 6: rating is not a number: 'five'"):
        load(tmp_path, log)


def test_ten_thousand_unclosed_quotes_take_linear_time():
    text = "id,title\n" + '1,"' * 20_000 + "\n" + '2,"a""' * 2000
    with pytest.raises(DataError, match=r"line 2: .* values for 2 columns"):
        titles(text)
