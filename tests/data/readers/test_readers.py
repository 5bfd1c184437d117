"""Readers: every format gives the same data, and whatever does not hold is counted or refused with its place."""

import datetime
import gzip
import json
import logging
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers import load_catalog, load_data, read_atomic
from genre_gen.data.readers.open_bandit import read_log
from genre_gen.domain import Domain
from genre_gen.errors import DataError

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


def ml_10m(folder: Path) -> Path:
    ml_1m(folder)
    (folder / "movies.dat").write_bytes((folder / "movies.dat").read_bytes().decode("latin-1").encode("utf-8"))
    return folder


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


@pytest.mark.parametrize("make", [ml_100k, ml_1m, ml_10m, ml_latest, recbole, table, parquet])
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


@pytest.mark.parametrize("inside", ["", "ml-100k/"])
def test_a_zip_file_is_read_without_unpacking(tmp_path, inside):
    folder = ml_100k(tmp_path / "set")
    archive = tmp_path / "ml.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("u.data", "u.item"):
            file.write(folder / name, inside + name)
    assert Catalog.load("movies", archive).fingerprint() == Catalog.load("movies", folder).fingerprint()
    assert len(Interactions.load("movies", archive)) == len(RATINGS)


@pytest.mark.parametrize(
    ("begin", "length", "message"),
    [
        (250, 20, r"interactions\.csv: not whole in its zip file"),
        (-60, 4, "not a whole zip file|not whole in its zip file"),
    ],
)
def test_a_damaged_zip_file_is_named(tmp_path, begin, length, message):
    archive = tmp_path / "shop.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("items.csv", ITEMS)
        file.writestr("interactions.csv", HEADER + "".join(f"{user},1,5,{user}\n" for user in range(3000)))
    data = bytearray(archive.read_bytes())
    begin %= len(data)
    data[begin : begin + length] = b"\0" * length
    archive.write_bytes(data)
    with pytest.raises(DataError, match=message):
        load_data(MOVIES, archive)


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
        ("user_id:token\titem_id:token\titem_id:float\n", "line 1: column 'item_id' has two types; rename one"),
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
        (HEADER + '1,1,5,10\n"1,2,5,11\n' + "1,1,5,10\n" * 20_000, "below line 2: field larger than field limit"),
        ('"' + HEADER + "1,1,5,10\n" * 20_000, "line 1: field larger than field limit (131072); look for an unclosed"),
        (HEADER.replace(",rating", "\r,rating") + "1,1,5,10\n", "line 1: has line ends of two kinds; save the file"),
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


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["2024-01-05", "2024-02-05 10:00:00", "2024-03-05T10:00:00Z"], ["01-05", "02-05T10:00", "03-05T10:00"]),
        (["2024/1/5 7:08", "2024-01-05T07:08:09.5-0130", "2024.02.05"], ["01-05T07:08", "01-05T08:38:09", "02-05"]),
        (["02/07/2024", "4/16/2024 10:15", "1/2/2024 12:30 AM", "1/2/2024 5:00 PM"],
         ["02-07", "04-16T10:15", "01-02T00:30", "01-02T17:00"]),
        (["02/07/2024", "16-04-2024"], ["07-02", "04-16"]),
        (["02.07.2024", "3.8.2024 9:00", "2024-08-04"], ["07-02", "08-03T09:00", "08-04"]),
        (["02/02/2024", "3/3/2024"], ["02-02", "03-03"]),
    ],
)  # fmt: skip
def test_dates_are_read_in_the_order_that_reads_the_column(tmp_path, times, expected):
    log = HEADER + "".join(f'{user},1,5,"{time}"\n' for user, time in enumerate(times))
    found = load(tmp_path, log).interactions.times.astype("datetime64[s]")
    assert found.tolist() == np.array([f"2024-{time}" for time in expected], "datetime64[s]").tolist()


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["02/07/2024", "03/08/2024"], "column 'timestamp': '02/07/2024' may have the day or the month first"),
        (["02/07/2024", "13/07/2024", "07/13/2024"], "'02/07/2024' may have the day or the month first"),
        (["4/16/2024", "13/13/2024"], "line 3: time cannot be read: '13/13/2024'"),
        (["2024-02-30"], "line 2: time cannot be read: '2024-02-30'"),
        (["2024-01-01", "2024-01-01 24:30"], "line 3: time cannot be read"),
        (["2024-01-01", "2024-01-02", "7"], "line 4: time cannot be read: '7'"),
    ],
)
def test_dates_that_cannot_be_told_are_refused(tmp_path, times, message):
    log = HEADER + "".join(f"{user},1,5,{time}\n" for user, time in enumerate(times))
    with pytest.raises(DataError, match=re.escape(message)):
        load(tmp_path, log)


def test_times_of_day_are_no_times(tmp_path):
    with pytest.raises(DataError, match=r"column 'timestamp': it holds times of day without a day; write dates"):
        load_data(MOVIES, typed(tmp_path, log={"timestamp": [datetime.time(1), datetime.time(2)]}))


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        (["$1,705.85", "$3.10", "V"], [1705.85, 3.1, None]),
        (["1.234,50 €", "-384,84 €", "1.705 €", "7 €"], [1234.5, -384.84, 1705, 7]),
        (["$1,705", "$20"], [1705, 20]),
        (["1'234.50 CHF", "CHF 3"], [1234.5, 3]),
        (["1.705", "20", "0.5"], [1.705, 20, 0.5]),  # plain numbers stay what they are
        (["1.705 €", "384 €", "7"], [None, None, 7]),  # of what decides nothing, plain numbers alone
        (["1,5", "2.5", "3"], [None, 2.5, 3]),
        (["$5", "€5", "5"], [None, None, 5]),
    ],
)
def test_amounts_are_numbers_where_the_column_tells_their_marks(tmp_path, prices, expected):
    items = "item_id,title,genre,year\n" + "".join(f'{row},T{row},,"{price}"\n' for row, price in enumerate(prices))
    catalog = load(tmp_path, HEADER + "1,1,5,10\n", items).catalog
    assert [item.attributes["year"] for item in catalog] == expected


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


def typed(tmp_path, items=None, log=None):
    """Write Parquet tables with these columns in the place of the usual ones."""
    usual = {"item_id": [1, 2], "title": ["One", "Two"], "genre": [["a"], ["b"]], "year": [2000, 2001]}
    pl.DataFrame({**usual, **(items or {})}).write_parquet(tmp_path / "items.parquet")
    usual = {"user_id": [1, 1], "item_id": [1, 2], "rating": [4, 5], "timestamp": [1, 2]}
    pl.DataFrame({**usual, **(log or {})}).write_parquet(tmp_path / "interactions.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("text", [["a"], ["b"]], "holds List(String), and fields.genre is of the type 'text'; set fields.genre.type"),
        ("number", [[1], [2]], "is of the type 'number'; set fields.genre.type = \"list\", or name another"),
        ("list", [[["a"]], [["b"]]], "'list'; name another column as fields.genre.columns in domain.toml"),
        ("list", [[b"\xff"], [b"\xfe"]], "'genre' holds List(Binary)"),
        ("text", [b"\xff", b"\xfe"], "'genre' holds Binary, and fields.genre is of the type 'text'; name another"),
        ("text", [{"a": 1}, {"a": 2}], "'genre' holds Struct({'a': Int64})"),
    ],
)  # fmt: skip
def test_columns_of_other_types_than_their_fields_are_named(tmp_path, kind, values, message):
    domain = MOVIES.changed({"fields.genre": {"type": kind}})
    with pytest.raises(DataError, match=re.escape(message)):
        load_data(domain, typed(tmp_path, {"genre": values}))


@pytest.mark.parametrize("column", ["user_id", "item_id", "rating", "timestamp", "title"])
@pytest.mark.parametrize("values", [[[1], [2]], [b"\xff", b"\xfe"]])
def test_columns_that_hold_no_single_values_are_named(tmp_path, column, values):
    wrong = {column: values}
    made = typed(tmp_path, items=wrong) if column == "title" else typed(tmp_path, log=wrong)
    with pytest.raises(DataError, match=rf"column '{column}' holds .*, not one text or number a record; name another"):
        load_data(MOVIES, made)


def test_bytes_that_are_text_and_categories_are_read(tmp_path):
    names = pl.Series(["One", "Two"], dtype=pl.Categorical)
    data = load_data(MOVIES, typed(tmp_path, {"title": names, "year": [b"1999", b"2001"]}))
    assert [item.title for item in data.catalog] == ["One (1999)", "Two (2001)"]


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


# Amazon's reviews as published


def reviews_2014(folder: Path) -> Path:
    """Loose items, as Python writes them, and an item id that is a book's number."""
    reviews = [
        {"reviewerID": "A1RSDE90N6RSZF", "asin": "B00000000A", "overall": 5.0, "summary": "Good", "reviewText": "Fits.",
         "unixReviewTime": 1252800000},
        {"reviewerID": "A1RSDE90N6RSZF", "asin": "0000000001", "overall": 2.0, "unixReviewTime": 1252800100},
        {"reviewerID": "A3AF8FFZAZYNE5", "asin": "B00000000A", "overall": 4.0, "unixReviewTime": 1252800050},
    ]  # fmt: skip
    items = [
        {"asin": "B00000000A", "title": "Bolt", "brand": "Ironly", "price": 1.5, "description": "Steel.",
         "categories": [["Tools", "Bolts"], ["Tools", "Small"]]},
        {"asin": "0000000001", "title": "Bolt's Guide", "categories": [["Books"]]},
    ]  # fmt: skip
    lines = "".join(json.dumps(review) + "\n" for review in reviews)
    return write(folder, reviews_T_5__json=lines, meta_T__json="".join(f"{item!r}\n" for item in items))


def reviews_2018(folder: Path) -> Path:
    folder.mkdir()
    reviews = [
        {"overall": 5.0, "verified": True, "reviewerID": "A1RSDE90N6RSZF", "asin": "B00000000A", "summary": "Good",
         "reviewText": "Fits.", "unixReviewTime": 1252800000},
        {"overall": 2.0, "reviewerID": "A1RSDE90N6RSZF", "asin": "0000000001", "unixReviewTime": 1252800100},
        {"overall": 4.0, "reviewerID": "A3AF8FFZAZYNE5", "asin": "B00000000A", "unixReviewTime": 1252800050},
    ]  # fmt: skip
    items = [
        {"category": ["Tools", "Bolts", "Small"], "description": ["Steel."], "title": "Bolt", "brand": "Ironly",
         "price": "$1.50", "asin": "B00000000A", "also_buy": []},
        {"category": ["Books"], "description": [], "title": "Bolt's Guide", "brand": "", "price": "",
         "asin": "0000000001"},
    ]  # fmt: skip
    for name, records in (("Tools_5.json.gz", reviews), ("meta_Tools.json.gz", items)):
        packed = gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode())
        (folder / name).write_bytes(packed)
    return folder


def reviews_2023(folder: Path) -> Path:
    """Colours of one thing have an ``asin`` each and one ``parent_asin``; times are in milliseconds."""
    reviews = [
        {"rating": 5.0, "title": "Good", "text": "Fits.", "asin": "B0000COLOR", "parent_asin": "B00000000A",
         "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "timestamp": 1252800000999},
        {"rating": 2.0, "asin": "0000000001", "parent_asin": "0000000001", "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
         "timestamp": 1252800100000},
        {"rating": 4.0, "asin": "B00000000A", "parent_asin": "B00000000A", "user_id": "AFKZENTNBQ7A7V7UXW5JJI6UGRYQ",
         "timestamp": 1252800050000},
    ]  # fmt: skip
    items = [
        {"main_category": "Tools", "title": "Bolt", "features": ["Short"], "description": ["Steel."], "price": 1.5,
         "store": "Ironly", "categories": ["Tools", "Bolts", "Small"], "parent_asin": "B00000000A", "details": {}},
        {"title": "Bolt's Guide", "description": [], "price": None, "store": None, "categories": ["Books"],
         "parent_asin": "0000000001"},
    ]  # fmt: skip
    lines = ["".join(json.dumps(record) + "\n" for record in records) for records in (reviews, items)]
    return write(folder, Tools__jsonl=lines[0], meta_Tools__jsonl=lines[1] + "\n")


REVIEWED = shop(
    **{
        "rating_scale": [1, 5],
        "fields.price": {"type": "number"},
    }
)


@pytest.mark.parametrize("make", [reviews_2014, reviews_2018, reviews_2023])
def test_reviews_of_all_years_give_the_same_data(tmp_path, make):
    data = load_data(REVIEWED, make(tmp_path / "set"))
    assert list(data.catalog) == [
        Item(
            "B00000000A", "Bolt", {"brand": "Ironly", "categories": ("Tools", "Bolts", "Small"), "price": 1.5}, "Steel."
        ),
        Item("0000000001", "Bolt's Guide", {"brand": None, "categories": ("Books",), "price": None}),
    ]
    interactions = data.interactions
    assert [len(history) for history in interactions.histories()] == [2, 1]
    assert interactions.rows.tolist() == [0, 1, 0]
    assert interactions.ratings.tolist() == [5, 2, 4]
    assert interactions.times.tolist() == [1252800000, 1252800100, 1252800050]
    assert len(data.report) == 0


@pytest.mark.parametrize("make", [reviews_2014, reviews_2018, reviews_2023])
def test_what_reviews_say_is_read_where_it_is_asked_for(tmp_path, make):
    folder = make(tmp_path / "set")
    interactions = load_data(REVIEWED, folder).interactions
    assert interactions.reviews is None
    assert interactions.review(0) == ("", "")
    named = REVIEWED.changed({"data.columns.summary": "summary", "data.columns.review": "review"})
    interactions = load_data(named, folder).interactions
    assert [interactions.review(place) for place in range(3)] == [("Good", "Fits."), ("", ""), ("", "")]
    only = load_data(REVIEWED.changed({"data.columns.summary": "summary"}), folder).interactions
    assert only.review(0) == ("Good", "")


def test_files_are_named_as_they_are_found_from_here(tmp_path, monkeypatch):
    write(tmp_path / "data", interactions__csv="user_id,item_id\na,1\na,1\n")
    write(tmp_path / "domains" / "shop", domain__toml='name = "shop"\n[data]\npath = "../../data"\n')
    monkeypatch.chdir(tmp_path)
    (problem,) = load_data(Domain.load(Path("domains/shop"))).report
    assert str(problem).startswith("data/interactions.csv: item more than once")
    monkeypatch.chdir(tmp_path / "domains")
    (problem,) = load_data(Domain.load(tmp_path / "domains" / "shop")).report
    assert str(problem).startswith(f"{tmp_path}/data/interactions.csv")


def test_reviews_follow_their_interactions_into_time_order(tmp_path):
    lines = "user_id,item_id,timestamp,words\nb,1,9,late\na,2,5,second\nb,2,1,early\na,1,3,first\na,2,4,dropped\n"
    folder = write(tmp_path / "set", items__csv="item_id,title\n1,One\n2,Two\n", interactions__csv=lines)
    domain = Domain.from_settings({"name": "shop", "data": {"path": "."}})
    interactions = load_data(domain.changed({"data.columns.summary": "words"}), folder).interactions
    assert [interactions.review(place)[0] for place in range(4)] == ["early", "late", "first", "second"]
    with pytest.raises(DataError, match="summary"):
        load_data(domain.changed({"data.columns.summary": "headline"}), folder)


def test_half_a_character_is_replaced(tmp_path):
    folder = reviews_2023(tmp_path / "set")
    (folder / "meta_Tools.jsonl").write_text(
        '{"parent_asin": "B00000000A", "title": "Bolt \\ud83d", "categories": ["\\ud83d\\ude00"]}\n'
        '{"parent_asin": "0000000001", "title": "Guide"}\n'
    )
    catalog = load_data(REVIEWED, folder).catalog
    assert (catalog[0].title, catalog[0].attributes["categories"]) == (
        "Bolt \N{REPLACEMENT CHARACTER}",
        ("\U0001f600",),
    )
    pair = write(tmp_path / "pair", x__inter__json='{"a": ["1", "\\ud800"]}', x__item__json='{"1": {"title": "One"}}')
    with pytest.raises(DataError, match="item not in the catalog: '\N{REPLACEMENT CHARACTER}'"):
        load_data(Domain.from_settings({"name": "shop", "data": {"path": "."}}), pair)


def test_ratings_without_times_keep_the_order_of_the_file(tmp_path):
    log = "user_id,parent_asin,rating\nu,B00000000A,5\nu,0000000001,3\n"
    interactions = load_data(shop(), write(tmp_path / "set", ratings_Tools__csv=log)).interactions
    assert (interactions.times, interactions.rows.tolist()) == (None, [0, 1])
    late = log.replace("rating", "rating,timestamp").replace(",5", ",5,9" + "0" * 16)
    with pytest.raises(DataError, match="line 2: time cannot be read"):
        load_data(shop(), write(tmp_path / "set", ratings_Tools__csv=late))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ratings_Tools.csv", "A1RSDE90N6RSZF,B00000000A,5.0,1252800000\nA3AF8FFZAZYNE5,0000000001,2.0,1252800100\n"),
        ("Tools.csv", "B00000000A,A1RSDE90N6RSZF,5.0,1252800000\n0000000001,A3AF8FFZAZYNE5,2.0,1252800100\n"),
        ("Tools.csv.gz", "user_id,parent_asin,rating,timestamp\nA1RSDE90N6RSZF,B00000000A,5.0,1252800000000\n"
         "A3AF8FFZAZYNE5,0000000001,2.0,1252800100000\n"),
    ],
)  # fmt: skip
def test_ratings_alone_of_all_years(tmp_path, name, content):
    folder = reviews_2023(tmp_path / "set")
    (folder / "Tools.jsonl").unlink()
    (folder / name).write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    interactions = load_data(REVIEWED, folder).interactions
    assert interactions.users == ("A1RSDE90N6RSZF", "A3AF8FFZAZYNE5")
    assert interactions.rows.tolist() == [0, 1]
    assert interactions.times.tolist() == [1252800000, 1252800100]


def test_reviews_without_items_and_without_a_name_that_tells(tmp_path):
    folder = reviews_2018(tmp_path / "set")
    (folder / "meta_Tools.json.gz").unlink()
    assert [item.id for item in load_data(shop(), folder).catalog] == ["B00000000A", "0000000001"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("Tools.jsonl", '{"user_id": "u", "parent_asin": "a"}\n{"user', "Tools.jsonl, line 2: not valid JSON"),
        ("Tools.jsonl", "[1]\n", "Tools.jsonl, line 1: expected a JSON object, not [1]"),
        ("Tools.jsonl", '\n{"user_id": "u", "rating": 5.0, "timestamp": 1}', "Tools.jsonl, line 2: no item: ''"),
        ("Tools.jsonl", '{"user_id": "u", "asin": "0000000001", "rating": 9.0}', "line 1: rating outside 1 to 5: '9'"),
        ("Tools.jsonl", '{"user_id": "u", "asin": "0000000001", "rating": 4.0}', "line 1: time cannot be read"),
        (
            "Tools.jsonl",
            '{"user_id": "u", "asin": "0000000001", "timestamp": 9%s}' % ("0" * 30),
            "line 1: time cannot be",
        ),
        ("meta_Tools.jsonl", "{'asin': __import__('os').system('true')}", "line 1: not valid JSON"),
        ("meta_Tools.jsonl", "{'asin': " + "[" * 5000, "line 1: not valid JSON"),
        ("more.jsonl", "{}", "several files may be meant (Tools.jsonl, more.jsonl); name one as data.interactions"),
        ("Tools.json.gz", "{}", "several files may be meant"),
    ],
)
def test_reviews_that_do_not_hold(tmp_path, file, content, message):
    folder = reviews_2023(tmp_path / "set")
    (folder / file).write_text(content)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load_data(REVIEWED, folder)
    assert "\n" not in str(caught.value)


def test_a_table_with_some_json_beside_it_stays_a_table(tmp_path):
    folder = table(tmp_path / "set")
    (folder / "meta_notes.json").write_text("{}")
    assert len(load_data(MOVIES, folder).interactions) == len(RATINGS)


def test_a_gzip_file_that_is_cut_off(tmp_path):
    folder = reviews_2018(tmp_path / "set")
    (folder / "Tools_5.json.gz").write_bytes((folder / "Tools_5.json.gz").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"Tools_5\.json\.gz: not a whole gzip file .*; download it again"):
        load_data(REVIEWED.changed({"data.reader": "amazon"}), folder)


def test_ids_that_do_not_tell_user_from_item(tmp_path):
    folder = write(tmp_path / "set", ratings_T__csv="u,i,5.0,1\n")
    with pytest.raises(DataError, match=r'cannot tell users from items.*set data\.reader = "table"'):
        load_data(REVIEWED, folder)


# MIND


def mind(folder: Path, behaviors: str | None = None) -> Path:
    news = (
        'N1\tsports\tsoccer\tCup "final" tonight\tWho wins?\thttp://x\t[{"Label": "Cup"}]\t'
        '[{"Label": "Cup"}, {"Label": "City"}]\n'
        "N2\tnews\tlocal\tRain\t\thttp://x\t[]\t\n"
        "N3\tnews\tworld\tSun\t\thttp://x\t[]\t[]\n"
    )
    log = (
        "1\tU2\t11/12/2019 2:14:46 PM\tN3 N1\tN2-0 N1-1\n"
        "2\tU1\t11/11/2019 9:00:00 AM\t\tN3-1 N2-1 N1-0\n"
        "3\tU2\t11/12/2019 12:05:00 AM\tN3\tN2-1\n"
    )
    return write(folder, news__tsv=news, behaviors__tsv=log if behaviors is None else behaviors)


def news(**changes: object) -> Domain:
    return Domain.from_settings(
        {
            "name": "news",
            "data": {"path": "."},
            "fields": {"category": {"type": "list"}, "entities": {"type": "list"}},
        }
    ).changed({key.replace("__", "."): value for key, value in changes.items()})


def test_mind_has_the_history_before_the_clicks(tmp_path):
    data = load_data(news(data__policies__duplicates="keep"), mind(tmp_path))
    assert data.catalog[0] == Item(
        "N1", 'Cup "final" tonight', {"category": ("sports",), "entities": ("Cup", "City")}, "Who wins?"
    )
    # U2's history as of the first impression (line 3), then the clicks in time order; none of what was only shown.
    u2 = data.interactions.history("U2")
    assert [data.catalog[row].id for row in u2.rows] == ["N3", "N2", "N1"]
    begin = 1573462800  # 2019-11-11 9:00, the earliest time of the file
    assert u2.times.tolist() == [begin, 1573517100, 1573568086]
    u1 = data.interactions.history("U1")
    assert [data.catalog[row].id for row in u1.rows] == ["N3", "N2"]
    assert [str(problem) for problem in data.report] == [
        f"{tmp_path / 'behaviors.tsv'}: shown and not clicked: 2 left out, the first in line 1 ('N2-0')"
    ]


def test_mind_articles_that_are_missing_are_counted(tmp_path):
    folder = mind(tmp_path, "1\tU1\t11/12/2019 2:14:46 PM\tN3 N9 N1\tN2-1 N8-1\n")
    with pytest.raises(DataError, match=r"behaviors\.tsv, line 1: item not in the catalog: 'N9' \(the first of 2\)"):
        load_data(news(), folder)
    data = load_data(news(data__policies__unknown_items="drop"), folder)
    assert len(data.interactions) == 3
    assert data.report.problems[-1].count == 2


@pytest.mark.parametrize(
    ("behaviors", "message"),
    [
        ("1\tU1\t11/12/2019 2:14:46 PM\tN1\tN2 N3\n", "line 1: impressions 'N2 N3' should read like N1-0 N2-1"),
        ("1\tU1\tyesterday\tN1\tN2-1\n1\tU2\t11/12/2019 2:14:46 PM\t\tN2-1\n", "time cannot be read: 'yesterday'"),
        ("1\tU1\t11/12/2019 2:14:46 PM\tN1\tN2-1\tmore\n", "6 values for 5 columns"),
        ("1\t\t11/12/2019 2:14:46 PM\tN1\tN2-1\n", "line 1: no user"),
    ],
)
def test_mind_files_that_do_not_hold(tmp_path, behaviors, message):
    with pytest.raises(DataError, match=re.escape(message)):
        load_data(news(), mind(tmp_path, behaviors))


def test_mind_entities_that_do_not_hold(tmp_path):
    folder = mind(tmp_path)
    (folder / "news.tsv").write_text('N1\tnews\tworld\tSun\t\thttp://x\t[{"Name": "x"}]\t[]\n')
    with pytest.raises(DataError, match=r"news\.tsv, line 1: title_entities .* is no list of entities with a Label"):
        load_data(news(), folder)


# Indonesia's tourism


def tourism(folder: Path) -> Path:
    places = (
        "Place_Id,Place_Name,Description,Category,City,Price,Rating,Time_Minutes,Coordinate,Lat,Long,,\n"
        '1,Taman Awan,"Taman di atas bukit,\nsejuk.",Taman Hiburan,Jakarta,20000,4.6,15,'
        "\"{'lat': -6.1, 'lng': 106.8}\",-6.1,106.8,,1\n"
        "2,Pantai Biru,Pantai.,Bahari,Yogyakarta,0,4.1,,{'lat': -7.0, 'lng': 112.7},-7.0,112.7,10,;;;\n"
    )
    return write(
        folder, tourism_with_id__csv=places, tourism_rating__csv="User_Id,Place_Id,Place_Ratings\n1,2,3\n1,1,5\n1,2,4\n"
    )


def travel(**changes: object) -> Domain:
    fields = {"category": {"type": "list", "separator": "|"}, "city": {"type": "text"}, "price": {"type": "number"}}
    settings = {"name": "travel", "rating_scale": [1, 5], "data": {"path": "."}, "fields": fields}
    return Domain.from_settings(settings).changed({key.replace("__", "."): value for key, value in changes.items()})


def test_tourism(tmp_path):
    data = load_data(travel(), tourism(tmp_path))
    assert list(data.catalog) == [
        Item(
            "1",
            "Taman Awan",
            {"category": ("Taman Hiburan",), "city": "Jakarta", "price": 20000},
            "Taman di atas bukit,\nsejuk.",
        ),
        Item("2", "Pantai Biru", {"category": ("Bahari",), "city": "Yogyakarta", "price": 0}, "Pantai."),
    ]
    assert data.interactions.history("1").rows.tolist() == [0, 1]
    assert data.interactions.history("1").ratings.tolist() == [5, 4]
    assert [(problem.kind, problem.count) for problem in data.report] == [("item more than once for one user", 1)]


def test_tourism_columns_that_are_missing(tmp_path):
    folder = tourism(tmp_path)
    (folder / "tourism_rating.csv").write_text("User_Id,Place_Id\n1,1\n")
    with pytest.raises(DataError, match=r"line 1: no column 'Place_Ratings'; the file should have User_Id, Place_Id"):
        load_data(travel(), folder)


# Open Bandit


def open_bandit(folder: Path) -> Path:
    items = ",item_id,item_feature_0,item_feature_1\n0,0,-0.6,aa\n1,1,0.7,bb\n"
    log = ",timestamp,item_id,position,click,propensity_score," + ",".join(f"user_feature_{n}" for n in range(4)) + "\n"
    day = "2019-11-24 00:0"
    shown = {
        "bts": f"0,{day}1:03.979311+00:00,1,2,0,0.05,c,d,e,f\n1,{day}3:00.5+00:00,1,1,1,0.1,c,d,e,f\n",
        "random": f"0,{day}2:00.0+00:00,0,3,1,0.03,c,d,e,f\n1,{day}4:00.0+00:00,1,3,1,0.03,x,d,e,f\n",
    }
    for policy, records in shown.items():
        write(folder / policy, item_context__csv=items, men__csv=log + records)
    return folder


def ads(**changes: object) -> Domain:
    settings = {"name": "ads", "repeat": True, "data": {"path": "."}, "fields": {"item_feature_1": {"type": "text"}}}
    return Domain.from_settings(settings).changed({key.replace("__", "."): value for key, value in changes.items()})


def test_open_bandit_joins_the_clicks_of_all_policies(tmp_path):
    data = load_data(ads(), open_bandit(tmp_path))
    assert [(item.id, item.title, item.attributes["item_feature_1"]) for item in data.catalog] == [
        ("0", "item 0", "aa"),
        ("1", "item 1", "bb"),
    ]
    assert data.interactions.users == ("c d e f", "x d e f")
    assert data.interactions.history("c d e f").rows.tolist() == [0, 1]  # in time order, across two logs
    assert data.interactions.history("c d e f").times.tolist() == [1574553720, 1574553780]
    (left_out,) = data.report
    assert (left_out.kind, left_out.count, left_out.action) == ("shown and not clicked", 1, "left out")
    assert left_out.place.endswith("men.csv, line 2")
    assert len(load_data(ads(), tmp_path / "random").interactions) == 2


def test_open_bandit_log_with_propensities(tmp_path):
    log = read_log(open_bandit(tmp_path) / "bts")
    assert log.select("item_id", "position", "click", "propensity_score").rows() == [
        ("1", 2, 0, 0.05),
        ("1", 1, 1, 0.1),
    ]
    assert str(log["timestamp"][0]) == "2019-11-24 00:01:03.979311+00:00"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1,1,1,0.1,", ",1,1,yes,0.1,", "line 3: click 'yes' is neither 0 nor 1"),
        (",1,1,1,0.1,", ",5,1,1,0.1,", "men.csv, line 3: item not in the catalog: '5'"),
        ("propensity_score", "score", "line 1: no column 'propensity_score'"),
    ],
)
def test_open_bandit_logs_that_do_not_hold(tmp_path, old, new, message):
    file = open_bandit(tmp_path) / "bts" / "men.csv"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DataError, match=re.escape(message)):
        load_data(ads(), tmp_path)


def test_open_bandit_needs_one_log_per_policy(tmp_path):
    (open_bandit(tmp_path) / "bts" / "all.csv").write_text("")
    with pytest.raises(DataError, match=r"expected one log beside item_context\.csv, found all\.csv, men\.csv"):
        load_data(ads(), tmp_path)


# Real data, where it lies beside the project

DATA = Path(os.environ.get("GENRE_DATA") or Path(__file__).parents[3] / "data")


@pytest.mark.parametrize(
    ("name", "items", "interactions"),
    [
        ("mind", 2000, 5446),
        ("tourism", 437, 9598),
        ("open-bandit", 34, 115),
        ("amazon-scientific", 4344, 58492),
        ("amazon-beauty", 12101, 198502),
    ],
)
def test_real_data_loads_by_its_domain(name, items, interactions):
    domain = Domain.load(Path(__file__).parents[3] / "eval" / "domains" / name)
    folder = DATA / Path(domain.data.path).name
    if not folder.is_dir():
        pytest.skip(f"no {folder}; set GENRE_DATA to where the data lies")
    data = load_data(domain.changed({"data.reader": "auto"}), folder)
    assert (len(data.catalog), len(data.interactions)) == (items, interactions)
