"""Marks for missing values: in ids always, among words where they occur several times; a key changes the list."""

import polars as pl
import pytest

from genre_gen import Dataset
from genre_gen.data.readers import load_catalog, load_data
from genre_gen.errors import DataError
from tests.data.readers.reader_files import HEADER, MOVIES, domain, load, ml_latest, typed, write

MARKS = ["NULL", "nan", "None", "\\N", "<NA>", "N/A", "NaN"]
DROP = {"missing_ids": "drop"}


@pytest.mark.parametrize("mark", MARKS)
def test_marks_never_count_as_ids(tmp_path, mark):
    log = HEADER + f"{mark},1,5,10\n1,1,4,11\n1,{mark},4,12\n{mark},2,4,13\n"
    with pytest.raises(DataError, match=r"line 2: user is a mark for missing \(data.missing\): .* \(the first of 2\)"):
        load(tmp_path, log)
    data = load(tmp_path, log, data__policies=DROP)
    assert data.interactions.users == ("1",)
    assert [(problem.kind, problem.count) for problem in data.report] == [
        ("user is a mark for missing (data.missing)", 2), ("item is a mark for missing (data.missing)", 1),
    ]  # fmt: skip
    assert repr(mark) == data.report.problems[0].value
    assert mark in load(tmp_path, log, data__missing=[], data__policies__unknown_items="drop").interactions.users


@pytest.mark.parametrize("mark", MARKS)
def test_marks_never_count_as_ids_of_items(tmp_path, mark):
    items = f"item_id,title,genre,year\n1,A,X,2000\n{mark},B,Y,2001\n2,C,X,2001\n"
    with pytest.raises(DataError, match="line 3: item id is a mark for missing"):
        load(tmp_path, HEADER + "1,1,4,11\n", items)
    assert [item.id for item in load(tmp_path, HEADER + "1,1,4,11\n", items, data__policies=DROP).catalog] == ["1", "2"]
    (tmp_path / "alone").mkdir()
    log = write(tmp_path / "alone", interactions__csv=f"user_id,item_id\n1,1\n1,{mark}\n1,2\n")
    assert len(load_data(domain("shop", {}, data__policies=DROP), log).catalog) == 2


def test_marks_in_frames_and_parquet(tmp_path):
    movies, folder = (
        MOVIES.changed({"data.policies.missing_ids": "drop"}),
        typed(tmp_path, log={"user_id": ["NULL", "7"]}),
    )
    data = load_data(movies, folder)
    assert data.interactions.users == ("7",)
    frame = pl.DataFrame({"user_id": ["a", "nan", "a"], "item_id": ["x", "x", "y"]})
    assert Dataset.from_frames(None, frame).interactions.users == ("a",)


def test_marks_among_words_count_where_they_occur_several_times(tmp_path):
    items = (
        "item_id,title,genre,year,maker,text\n1,None,Nan|X,NULL,NULL,nan\n2,NULL,None|X,2001,NULL,nan\n"
        "3,NULL,None,2002,nan,good\n4,D,None|Y,NaN,Ann,\n"
    )
    write(tmp_path, items__csv=items, interactions__csv=HEADER)
    fields = {"genre": {"type": "list"}, "year": {"type": "number"}, "maker": {"type": "text"}}
    catalog, report = load_catalog(domain("films", fields), tmp_path)
    assert [item.title for item in catalog] == ["None", "item 2", "item 3", "D"]
    assert [item.attributes["genre"] for item in catalog] == [("Nan", "X"), ("X",), (), ("Y",)]
    assert [item.attributes["year"] for item in catalog] == [None, 2001, 2002, None]
    assert [item.attributes["maker"] for item in catalog] == [None, None, "nan", "Ann"]
    assert [item.text for item in catalog] == ["", "", "good", ""]
    told = {problem.kind.split()[0]: (problem.count, problem.action) for problem in report}
    assert told == dict(title=(2, "taken as unknown"), genre=(3, "taken as unknown"), year=(2, "taken as unknown"),
                        maker=(2, "taken as unknown"), text=(2, "taken as unknown"))  # fmt: skip
    kept, _ = load_catalog(domain("films", {}, data__missing=[]), tmp_path)
    assert kept[1].title == "NULL"


def test_movielens_says_in_its_own_words_that_there_are_no_genres(tmp_path):
    plain = domain("films", {"genre": {"type": "list", "columns": ["genres"], "separator": "|"}})
    assert load_catalog(plain, ml_latest(tmp_path / "new"))[0][2].attributes["genre"] == ()
