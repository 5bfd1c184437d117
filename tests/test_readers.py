"""Readers: every format gives the same data, and whatever does not hold is counted or refused with its place."""

import json
import logging
import re
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre_gen.catalog import Catalog, Item
from genre_gen.domain import Domain
from genre_gen.errors import DataError
from genre_gen.interactions import Interactions
from genre_gen.readers import load_catalog, load_data, read_atomic

MOVIES = Domain.load("movies")
N_GENRES = 19
RATINGS = [("7", "2", 5, 300), ("9", "1", 3, 200), ("7", "1", 4, 100), ("9", "3", 1, 200)]


def flags(*genres: int) -> str:
    return "|".join("1" if number in genres else "0" for number in range(N_GENRES))


def write(folder: Path, **files: str | bytes) -> Path:
    """Write files; ``__`` in a name stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def ml_100k(folder: Path) -> Path:
    items = (
        f"1|Misérables, Les (1995)|01-Jan-1995||http://x|{flags(8)}\n"
        f"2|Alien (1979) (V)|||http://x|{flags(1, 11)}\n"
        f"3|unknown||||{flags(0)}\n"
    )
    ratings = "".join(f"{user}\t{item}\t{rating}\t{time}\n" for user, item, rating, time in RATINGS)
    return write(folder, u__item=items.encode("latin-1"), u__data=ratings)


def ml_1m(folder: Path) -> Path:
    items = "1::Misérables, Les (1995)::Drama\n2::Alien (1979) (V)::Action|Horror\n3::unknown::unknown\n"
    ratings = "".join("::".join(map(str, record)) + "\n" for record in RATINGS)
    return write(folder, movies__dat=items.encode("latin-1"), ratings__dat=ratings)


def ml_latest(folder: Path) -> Path:
    items = (
        'movieId,title,genres\r\n1,"Misérables, Les (1995)",Drama\r\n2,Alien (1979) (V),Action|Horror\r\n'
        "3,unknown,(no genres listed)\r\n"
    )
    ratings = "userId,movieId,rating,timestamp\r\n" + "".join(",".join(map(str, r)) + "\r\n" for r in RATINGS)
    return write(folder, movies__csv=items, ratings__csv=ratings)


def recbole(folder: Path) -> Path:
    items = (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tMisérables, Les\t1995\tDrama\n2\tAlien (1979) (V)\tV\tAction Horror\n3\tunknown\tunkonwn\tunknown\n"
    )
    ratings = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    ratings += "".join("\t".join(map(str, record)) + "\n" for record in RATINGS)
    return write(folder, ml__item=items, ml__inter=ratings)


def table(folder: Path) -> Path:
    items = 'id,title,genre,year\n1,"Misérables, Les",Drama,1995\n2,Alien (1979) (V),Action|Horror,1979\n3,unknown,,\n'
    ratings = "user_id,item_id,rating,timestamp\n" + "".join(",".join(map(str, r)) + "\n" for r in RATINGS)
    return write(folder, items__csv="\ufeff" + items, interactions__csv=ratings)


def parquet(folder: Path) -> Path:
    folder.mkdir()
    items = {"id": [1, 2, 3], "title": ["Misérables, Les", "Alien (1979) (V)", "unknown"]}
    genres = [["Drama"], ["Action", "Horror"], None]
    pl.DataFrame({**items, "genre": genres, "year": [1995.0, 1979.0, None]}).write_parquet(folder / "items.parquet")
    users, ids, ratings, times = zip(*RATINGS, strict=True)
    stamps = pl.Series([time * 1000 for time in times]).cast(pl.Datetime("ms"))
    columns = {"user_id": map(int, users), "item_id": map(int, ids), "rating": ratings, "timestamp": stamps}
    pl.DataFrame({name: list(values) for name, values in columns.items()}).write_parquet(
        folder / "interactions.parquet"
    )
    return folder


@pytest.mark.parametrize("make", [ml_100k, ml_1m, ml_latest, recbole, table, parquet])
def test_every_format_gives_the_same_data(tmp_path, make):
    data = load_data(MOVIES, make(tmp_path / "set"))
    assert list(data.catalog) == [
        Item("1", "Misérables, Les (1995)", {"genre": ("Drama",), "year": 1995}),
        Item("2", "Alien (1979) (V)", {"genre": ("Action", "Horror"), "year": 1979}),
        Item("3", "unknown", {"genre": (), "year": None}),
    ]
    assert [type(item.attributes["year"]) for item in data.catalog] == [int, int, type(None)]
    interactions = data.interactions
    assert interactions.users == ("7", "9")
    assert interactions.rows.tolist() == [0, 1, 0, 2]  # in time order; user 9's tie in file order
    assert interactions.ratings.tolist() == [4, 5, 3, 1]
    assert interactions.times.tolist() == [100, 300, 200, 200]
    assert len(data.report) == 0


@pytest.mark.parametrize(("make", "file"), [(ml_100k, "u.data"), (ml_1m, "ratings.dat")])
def test_lines_of_files_without_a_header_count_from_one(tmp_path, make, file):
    folder = make(tmp_path / "set")
    log = (folder / file).read_text().splitlines()
    log[2] = log[2].replace("4", "five", 1)
    (folder / file).write_text("\n".join(log))
    with pytest.raises(DataError, match=re.escape(f"{file}, line 3: rating is not a number: 'five'")):
        load_data(MOVIES, folder)


@pytest.mark.parametrize("inside", ["", "ml-100k/"])
def test_a_zip_file_is_read_without_unpacking(tmp_path, inside):
    folder = ml_100k(tmp_path / "set")
    archive = tmp_path / "ml.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("u.data", "u.item"):
            file.write(folder / name, inside + name)
    assert Catalog.load("movies", archive).fingerprint() == Catalog.load("movies", folder).fingerprint()
    assert len(Interactions.load("movies", archive)) == len(RATINGS)


def test_the_sample_of_the_movies_domain():
    data = load_data(MOVIES, MOVIES.catalog_folder)
    assert (len(data.catalog), len(data.interactions.users), len(data.report)) == (40, 30, 0)
    assert data.catalog[data.catalog.find("star wars")].title == "Star Wars (1977)"
    assert len(data.interactions.leave_one_out().test) == 30


def test_path_in_domain_toml_is_relative_to_its_folder(tmp_path):
    table(tmp_path / "books" / "files")
    write(tmp_path / "books", domain__toml='name = "books"\n[data]\npath = "files"\n')
    assert [item.title for item in Catalog.load(tmp_path / "books")] == [
        "Misérables, Les",
        "Alien (1979) (V)",
        "unknown",
    ]
    assert len(Interactions.load(tmp_path / "books")) == len(RATINGS)


def test_single_files_and_a_catalog_given(tmp_path):
    folder = table(tmp_path / "set")
    (folder / "interactions.csv").rename(folder / "log.csv")
    (folder / "items.csv").rename(folder / "films.csv")
    catalog = Catalog.load("movies", folder / "films.csv")
    assert len(catalog) == 3
    assert len(Interactions.load("movies", folder / "log.csv", catalog)) == len(RATINGS)


# Amazon's JSON pair


def shop(**changes: str) -> Domain:
    return Domain.from_settings(
        {
            "name": "shop",
            "data": {"path": ".", "columns": {"text": "description"}},
            "fields": {"brand": {"type": "text"}, "categories": {"type": "list"}},
        }
    ).changed(changes)


def test_amazon_pair(tmp_path):
    items = {
        "0": {"title": "Bolt", "description": "Steel.", "brand": "X", "categories": "Tools,Bolts, Tools"},
        "1": {"title": "Nut", "description": "", "brand": None, "categories": ""},
    }
    write(tmp_path, S__item__json=json.dumps(items), S__inter__json='{"u": [1, 0], "v": ["1"]}')
    data = load_data(shop(), tmp_path)
    assert list(data.catalog) == [
        Item("0", "Bolt", {"brand": "X", "categories": ("Tools", "Bolts")}, "Steel."),
        Item("1", "Nut", {"brand": None, "categories": ()}),
    ]
    assert data.interactions.history("u").rows.tolist() == [1, 0]
    assert data.interactions.times is None
    assert data.interactions.ratings is None


def test_without_item_file_the_catalog_is_what_interactions_name(tmp_path):
    write(tmp_path, B__inter__json='{"u": [5, 3], "v": [3, 8]}')
    data = load_data(shop(), tmp_path)
    assert [item.id for item in data.catalog] == ["5", "3", "8"]
    assert data.catalog[0] == Item("5", "item 5", {"brand": None, "categories": ()})
    assert load_catalog(shop(), tmp_path)[0].fingerprint() == data.catalog.fingerprint()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"u": [1', "not valid JSON"),
        ("[1]", "expected one JSON object"),
        ('{"u": 3}', "user 'u': expected a list of item ids, not 3"),
        ('{"u": [[1]]}', "expected a list of item ids"),
        ('{"u": [1], "u": [2]}', "'u' appears twice"),
        ("{}", "no items"),
    ],
)
def test_amazon_files_that_do_not_hold(tmp_path, content, message):
    write(tmp_path, B__inter__json=content)
    with pytest.raises(DataError, match=re.escape(message)):
        load_data(shop(), tmp_path)


# RecBole's other files


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
        ("w:float\n1\nx\n", "line 3: w 'x' is not float"),
        ("w:float_seq\n1 2\n1 x\n", "line 3: w '1 x' is not float_seq"),
    ],
)
def test_atomic_files_that_do_not_hold(tmp_path, content, message):
    write(tmp_path, x__user=content)
    with pytest.raises(DataError, match=re.escape(message)):
        read_atomic(tmp_path / "x.user")


def test_several_files_of_one_kind_need_a_name(tmp_path):
    folder = recbole(tmp_path / "set")
    (folder / "other.inter").write_bytes((folder / "ml.inter").read_bytes())
    with pytest.raises(DataError, match=r"several \.inter files .*data\.interactions"):
        load_data(MOVIES, folder)
    assert len(load_data(MOVIES.changed({"data.interactions": "other.inter"}), folder).interactions) == len(RATINGS)


# Files that do not hold

HEADER = "user_id,item_id,rating,timestamp\n"
ITEMS = "item_id,title,genre,year\n1,A,X,2000\n2,B,Y,2001\n"


def load(tmp_path: Path, interactions: str | bytes, items: str | bytes = ITEMS, **changes: str):
    folder = write(tmp_path / "set", items__csv=items, interactions__csv=interactions)
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    return load_data(MOVIES.changed(settings), folder)


@pytest.mark.parametrize(
    ("interactions", "message"),
    [
        ("", "interactions.csv: the file is empty"),
        (HEADER, "interactions.csv: no interactions in it"),
        ("user_id,film_id\n1,1\n", "no column 'item_id' or 'movieId' or 'id' for the item; it has user_id, film_id"),
        ("usr_id,item_id\n1,1\n", "did you mean 'usr_id'? set data.columns.user in domain.toml"),
        ("user_id,user_id,item_id\n", "a column name appears twice"),
        (HEADER + "1,1,5,10,7\n", "line 2: 5 values for 4 columns"),
        (HEADER + '1,1,5,10\n"1,2,5,11\n', "look for an unclosed quote"),
        (HEADER + "\n1,1,5,10\n1,9,5,11\n", "interactions.csv, line 4: item not in the catalog: '9'"),
        (HEADER + '"1\nx",1,5,10\n1,1,five,11\n', "line 4: rating is not a number: 'five'"),
        (HEADER + "1,1,5,10\r\n1,2,nan,11\r\n", "line 3: rating is not finite: 'nan'; correct the file, or set"),
        (HEADER + "1,1,-inf,10\n", "line 2: rating is not finite: '-inf'"),
        (HEADER + "1,1,9,10\n1,2,0,11\n", "line 2: rating outside 1 to 5: '9' (the first of 2)"),
        (HEADER + "1,1,5,soon\n", "line 2: time cannot be read: 'soon'"),
        (HEADER + "1,1,5\n", "line 2: time cannot be read: ''"),
        (HEADER + "1,1,5,1600000000000\n", "time is beyond the year 9999"),
        (HEADER + " ,1,5,10\n", "line 2: no user"),
        (HEADER + "1,,5,10\n", "line 2: no item"),
        (HEADER.encode() + b"\xff,1,5,10\n", "line 2: byte 0xff is not utf-8; save the file as UTF-8"),
    ],
)
def test_interactions_refused(tmp_path, interactions, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load(tmp_path, interactions)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("item_id,title,genre,year\n", "no items"),
        ("item_id,name,genre,year\n1,A,X,1\n", "no column 'title' or 'movie_title' for the title"),
        ("item_id,title,year\n1,A,1\n", "for the field genre; it has item_id, title, year"),
        (ITEMS + "1,C,X,2000\n", "line 4: item id repeated: '1'"),
        (ITEMS + ",C,X,2000\n", "line 4: no item id"),
    ],
)
def test_items_refused(tmp_path, items, message):
    with pytest.raises(DataError, match=re.escape(message)):
        load(tmp_path, HEADER + "1,1,5,10\n", items)


def test_what_is_dropped_is_counted_and_logged(tmp_path, caplog):
    records = [
        "1,1,5,10",
        "1,9,5,11",
        "2,8,5,12",
        "1,2,x,13",
        "2,2,inf,14",
        "3,1,7,15",
        "3,2,4,",
        ",1,5,16",
        "4,2,3,17",
    ]
    policies = ("unknown_items", "ratings", "times", "missing_ids")
    with caplog.at_level(logging.WARNING):
        data = load(
            tmp_path, HEADER + "\n".join(records), **{f"data__policies__{policy}": "drop" for policy in policies}
        )
    found = [(problem.kind, problem.count, problem.place, problem.value) for problem in data.report]
    assert found == [
        ("no user", 1, "line 9", "''"),
        ("item not in the catalog", 2, "line 3", "'9'"),
        ("rating is not a number", 1, "line 5", "'x'"),
        ("rating is not finite", 1, "line 6", "'inf'"),
        ("rating outside 1 to 5", 1, "line 7", "'7'"),
        ("time cannot be read", 1, "line 8", "''"),
    ]
    assert data.interactions.users == ("1", "4")
    data.report.log()
    assert [record.getMessage() for record in caplog.records] == [str(problem) for problem in data.report]
    assert "unknown" not in str(data.report.problems[0])
    assert str(data.report.problems[1]).endswith("item not in the catalog: 2 dropped, the first in line 3 ('9')")


def test_nothing_left_after_dropping(tmp_path):
    with pytest.raises(DataError, match="no interactions left"):
        load(tmp_path, HEADER + "1,9,5,10\n", data__policies__unknown_items="drop")


@pytest.mark.parametrize(
    ("policy", "ratings", "reported"),
    [("keep_first", [1], 2), ("keep_last", [3], 2), ("keep", [1, 2, 3], 2)],
)
def test_duplicates_are_settled_in_time_order(tmp_path, policy, ratings, reported):
    interactions = HEADER + "1,1,3,30\n1,1,1,10\n2,1,5,5\n1,1,2,20\n"
    data = load(tmp_path, interactions, data__policies__duplicates=policy)
    assert data.interactions.history("1").ratings.tolist() == ratings
    assert data.interactions.history("2").ratings.tolist() == [5]
    (problem,) = data.report
    assert (problem.count, problem.action) == (reported, "kept" if policy == "keep" else "dropped")


def test_duplicates_without_times_go_by_the_file(tmp_path):
    log = "user_id,item_id,rating\n1,1,1\n1,2,2\n1,1,3\n"
    assert load(tmp_path, log).interactions.rows.tolist() == [1, 0]
    first = load(tmp_path, log, data__policies__duplicates="keep_first").interactions
    assert (first.rows.tolist(), first.ratings.tolist()) == ([0, 1], [1, 2])
    with pytest.raises(DataError, match=r'line 4: item more than once .* = "keep_last"'):
        load(tmp_path, log, data__policies__duplicates="error")


def test_ratings_may_be_missing_here_and_there_or_altogether(tmp_path):
    data = load(tmp_path, HEADER + "1,1,,10\n1,2,4,11\n")
    assert np.isnan(data.interactions.ratings).tolist() == [True, False]
    assert [problem.action for problem in data.report] == ["kept"]
    assert load(tmp_path, HEADER + "1,1,,10\n").interactions.ratings is None
    assert load(tmp_path, "user_id,item_id\n1,1\n").interactions.ratings is None
    with pytest.raises(DataError, match="no column 'stars' for the rating"):
        load(tmp_path, HEADER + "1,1,,10\n", data__columns__rating="stars")


@pytest.mark.parametrize(
    ("time", "expected", "unit"),
    [
        ("86400.9", 86400, "s"),
        ("86400000", 86400, "ms"),
        ("1970-01-02", 86400, "s"),
        ("1970-01-02T00:00:01", 86401, "s"),
        ("1970-01-02 00:00:01", 86401, "s"),
        ("1970-01-02T01:00:00+01:00", 86400, "s"),
    ],
)
def test_times_are_seconds_whatever_they_were(tmp_path, time, expected, unit):
    data = load(tmp_path, HEADER + f"1,1,5,{time}\n", data__time_unit=unit)
    assert data.interactions.times.tolist() == [expected]


def test_numbers_that_are_none_are_unknown_and_reported(tmp_path):
    items = "item_id,title,genre,year\n1,A,X,199x\n2,B,Y,inf\n3,C,Y,\n4,D,Y,unkonwn\n5,E,Y,1990.5\n"
    data = load(tmp_path, HEADER + "1,1,5,10\n", items)
    assert [item.attributes["year"] for item in data.catalog] == [None, None, None, None, 1990.5]
    (problem,) = data.report
    assert str(problem).endswith("year is not a number: 2 taken as unknown, the first in line 2 ('199x')")
    with pytest.raises(DataError, match="line 2: year is not a number: '199x'"):
        load(tmp_path, HEADER + "1,1,5,10\n", items, data__policies__attributes="error")


def test_repeated_items_may_be_dropped(tmp_path):
    items = ITEMS + "1,C,X,2002\n3,D,X,x\n"
    data = load(tmp_path, HEADER + "1,1,5,10\n", items, data__policies__repeated_items="keep_first")
    assert [item.title for item in data.catalog] == ["A (2000)", "B (2001)", "D"]
    assert [(problem.count, problem.place) for problem in data.report] == [(1, "line 4"), (1, "line 5")]


def test_odd_but_valid_files(tmp_path):
    items = '\ufeffitem_id;title;genre;year;;\r\n1;"Two\nlines; one title";X|Y;2000;;a\r\n\r\n2;"Say ""hi""";;;\r\n'
    data = load(tmp_path, HEADER.replace(",", ";") + "1;1;5;10\n\n1;2;4;20", items, data__delimiter=";")
    assert [item.title for item in data.catalog] == ["Two\nlines; one title (2000)", 'Say "hi"']
    assert data.interactions.rows.tolist() == [0, 1]
    latin = ITEMS.replace("A", "Ä").encode("latin-1")
    assert load(tmp_path, HEADER + "1,1,5,10\n", latin, data__encoding="latin-1").catalog[0].title == "Ä (2000)"
    with pytest.raises(DataError, match="'utf-9' is not known"):
        load(tmp_path, HEADER, data__encoding="utf-9")


@pytest.mark.parametrize(
    ("title", "year", "shown", "known"),
    [
        ("Alien", "1979", "Alien (1979)", 1979),
        ("Alien (1979)", "1979", "Alien (1979)", 1979),
        ("Alien (1979)", "", "Alien (1979)", 1979),
        ("Alien (1979) (V)", "", "Alien (1979) (V)", 1979),
        ("Seven (Se7en)", "1995", "Seven (Se7en) (1995)", 1995),
        ("Room (237)", "2012", "Room (237) (2012)", 2012),
        ("2001", "", "2001", None),
    ],
)
def test_titles_and_years_agree(tmp_path, title, year, shown, known):
    data = load(tmp_path, HEADER + "1,1,5,10\n", f"item_id,title,genre,year\n1,{title},X,{year}\n")
    assert (data.catalog[0].title, data.catalog[0].attributes["year"]) == (shown, known)


def test_files_that_no_reader_knows(tmp_path):
    with pytest.raises(DataError, match=r"no reader knows these files \(readme\)"):
        load_data(MOVIES, write(tmp_path / "set", readme="x"))
    with pytest.raises(DataError, match="no such file or folder"):
        load_data(MOVIES, tmp_path / "nothing")
    with pytest.raises(DataError, match="neither a folder nor a zip file"):
        load_data(MOVIES, write(tmp_path / "set", broken__zip="x") / "broken.zip")
    with pytest.raises(DataError, match=r"no reader knows log\.xlsx"):
        load_data(MOVIES, write(tmp_path / "set", log__xlsx="x") / "log.xlsx")
    with pytest.raises(DataError, match=r"no such file; the folder has .*readme"):
        load_data(MOVIES.changed({"data.reader": "table"}), tmp_path / "set")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load_data(MOVIES, write(tmp_path / "two", interactions__parquet="x"))
