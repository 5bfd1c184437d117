"""Two tables from files or from data frames, whatever library made them."""

import datetime
import uuid

import polars as pl
import pytest

from genre_gen.data.readers import load_data
from genre_gen.domain import Domain
from genre_gen.errors import DataError, UsageError
from genre_gen.new_domain.scaffold import start_domain
from genre_gen.new_domain.tables import read_tables

ZONE = datetime.timezone(datetime.timedelta(hours=2))


def columns(frame) -> dict[str, list]:
    return read_tables(frame).interactions.frame.to_dict(as_series=False)


FRAME = pl.DataFrame({"user": [1]})


@pytest.mark.parametrize(
    ("tables", "error", "message"),
    [
        ([__file__], DataError, r"test_tables\.py: not a table; give \.csv"),
        (["none.csv"], DataError, r"none\.csv: no such file"),
        ([[1, 2]], UsageError, "interactions is of type list; give a path or a data frame of polars or pandas"),
        ([FRAME, "items.csv"], UsageError, "a path and a data frame; give two paths, or two data frames"),
        ([FRAME, FRAME.clear()], DataError, "items: the data frame has no rows or no columns"),
    ],
)
def test_the_error_names_a_file_that_is_not_a_table(tables, error, message):
    with pytest.raises(error, match=message):
        read_tables(*tables)


def test_polars_columns_are_converted_to_types_of_files():
    frame = pl.DataFrame(
        {
            "user": pl.Series([1.0, None, 2.0]),
            "kind": pl.Series(["a", None, "b"], dtype=pl.Categorical),
            "flag": [True, None, False],
            "rating": [0.5, float("nan"), 3.0],
            "tags": [["x"], [], ["y"]],
        }
    )
    expected = {
        "user": [1, None, 2], "kind": ["a", "", "b"], "flag": ["true", "", "false"], "rating": [0.5, None, 3.0],
        "tags": [["x"], [], ["y"]],
    }  # fmt: skip
    assert columns(frame) == columns(frame.lazy()) == expected
    assert read_tables(frame).interactions.locate(0) == "row 1"


def test_pandas_columns_are_converted_to_types_of_files():
    pd = pytest.importorskip("pandas")
    one, two = uuid.uuid4(), uuid.uuid4()
    frame = pd.DataFrame(
        {
            "missing": pd.Series([1, None, 2]),  # pandas makes floats of these
            "nullable": pd.array([1, None, 2], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "kind": pd.Categorical(["a", None, "b"]),
            "words": pd.array(["a", None, "b"], dtype="string"),
            "mixed": [1, "b", None],
            "ids": [one, None, two],
            "tags": [["x"], [], ["y"]],
            "when": pd.to_datetime(["2024-01-01 02:00", None, "2024-01-02 02:00"]).tz_localize(ZONE),
            7: [0.5, 1.0, float("inf")],
        }
    )
    frame.index = [4, 2, 9]  # what filtering leaves is no column
    found = columns(frame)
    assert [moment and moment.isoformat() for moment in found.pop("when")] == [
        "2024-01-01T00:00:00", None, "2024-01-02T00:00:00",
    ]  # fmt: skip
    assert found == {
        "missing": [1, None, 2], "nullable": [1, None, 2], "flag": ["true", "", "false"], "kind": ["a", "", "b"],
        "words": ["a", "", "b"], "mixed": ["1", "b", ""], "ids": [str(one), "", str(two)],
        "tags": [["x"], [], ["y"]], "7": [0.5, 1.0, float("inf")],
    }  # fmt: skip


def test_a_pandas_index_of_ids_becomes_a_column():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"title": ["A", "B"]})
    assert list(columns(frame.set_index(pd.Index(["x", "y"])))) == ["index", "title"]
    assert columns(frame.set_index(pd.Index([5, 6], name="book"))) == {"book": [5, 6], "title": ["A", "B"]}
    assert list(columns(frame.set_index(pd.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["a", "b"])))) == [
        "a", "b", "title",
    ]  # fmt: skip
    assert columns(frame.set_index(frame["title"])) == {"title": ["A", "B"]}
    with pytest.raises(DataError, match="a column name is repeated in title, title; rename one"):
        columns(frame.iloc[:, [0, 0]])


@pytest.mark.parametrize("given", [True, False])
def test_published_files_without_header_are_read_by_their_own_reader(tmp_path, given):
    (tmp_path / "movies.dat").write_bytes(
        "1::Misérables, Les (1995)::Drama|Musical\n2::Heat (1995)::Crime\n".encode("latin-1")
    )
    (tmp_path / "ratings.dat").write_text("1::1::5::978300760\n1::2::4::978300761\n")
    tables = read_tables(tmp_path / "ratings.dat", tmp_path / "movies.dat" if given else None)
    assert tables.reader == "movielens"
    assert tables.interactions.frame.columns == ["user_id", "item_id", "rating", "timestamp"]
    assert tables.items.frame["title"].to_list() == ["Misérables, Les (1995)", "Heat (1995)"]


def test_files_with_published_names_and_a_header_are_plain_tables(tmp_path):
    (tmp_path / "movies.dat").write_text("id\ttitle\n1\tOne\n2\tTwo\n")
    (tmp_path / "ratings.dat").write_text("user\titem\n1\t1\n1\t2\n")
    tables = read_tables(tmp_path / "ratings.dat", tmp_path / "movies.dat")
    assert (tables.reader, tables.items.frame.columns) == ("table", ["id", "title"])


def test_the_reader_of_a_format_is_named(tmp_path):
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    with pytest.raises(DataError, match=r"a file of recbole; write .* with data.reader = .recbole."):
        read_tables(tmp_path / "x.inter")


@pytest.mark.parametrize("names", ["user,{}", "{},age"])
@pytest.mark.parametrize("prefix", ["joke", ""])
def test_a_column_for_each_item_is_told(tmp_path, names, prefix):
    header = names.format(",".join(f"{prefix}{n}" for n in range(9)))
    (tmp_path / "x.csv").write_text(f"{header}\n{','.join('5' * 10)}\n")
    with pytest.raises(
        DataError, match=f"9 numbered columns \\({prefix}0 to {prefix}8\\), one for each item; write a line"
    ):
        read_tables(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text(f"item_id,{','.join(f'f{n}' for n in range(9))}\n{','.join('5' * 10)}\n")
    assert read_tables(tmp_path / "y.csv").interactions.frame.width == 10


@pytest.mark.parametrize("ending", ["txt", "json", "jsonl", "dat"])
def test_lines_of_python_and_of_mongodb_are_read_in_any_text_file(tmp_path, ending):
    file = tmp_path / f"x.{ending}"
    file.write_text("{u'user': u'a', u'item': 7}\n{u'user': u'b', u'item': 8}\n")
    assert read_tables(file).interactions.frame.rows() == [("a", 7), ("b", 8)]
    file.write_text('{"_id": {"$oid": "5f"}, "at": {"$date": "2020-01-02"}}\n{"_id": {"$oid": "6f"}, "at": null}\n')
    assert read_tables(file).interactions.frame.rows() == [("5f", "2020-01-02"), ("6f", "")]


def test_encodings_of_published_files_are_kept_in_the_settings(tmp_path):
    titles = ["Тихая гавань", "Последний сад", "Северная река", "Бумажный мост"]
    films = "".join(f"{row}::{title} (1995)::Драма\n" for row, title in enumerate(titles, 1))
    (tmp_path / "movies.dat").write_bytes(films.encode("cp1251"))
    (tmp_path / "ratings.dat").write_text(
        "".join(f"{u}::{i}::{u % 5 + 1}::{978300760 + i}\n" for u in range(9) for i in (1, 2, 3))
    )
    started = start_domain("kino", tmp_path / "ratings.dat", tmp_path / "movies.dat", tmp_path, items_encoding="cp1251")
    assert "Тихая гавань (1995)" in {item.title for item in started.data.catalog}
    data = load_data(Domain.load(tmp_path / "catalogs" / "kino"))
    assert [item.title for item in data.catalog] == [item.title for item in started.data.catalog]
