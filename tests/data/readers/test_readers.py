"""Readers: every format gives the same data, what cannot be read is named, and what is odd in some formats."""

import os
import re
import zipfile
from pathlib import Path

import pytest

from genre_gen.data.catalog import Item
from genre_gen.data.readers import load_catalog, load_data
from genre_gen.data.readers.recbole import read_atomic
from genre_gen.domain import Domain
from genre_gen.errors import DataError
from tests.data.readers.reader_files import (
    HEADER,
    ITEMS,
    MOVIES,
    RATINGS,
    load,
    ml_1m,
    ml_10m,
    ml_100k,
    ml_latest,
    parquet,
    recbole,
    shop,
    table,
    write,
)


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


@pytest.mark.parametrize("inside", ["", "ml-100k/"])
def test_a_zip_file_is_read_without_unpacking(tmp_path, inside):
    folder = ml_100k(tmp_path / "set")
    archive = tmp_path / "ml.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("u.data", "u.item"):
            file.write(folder / name, inside + name)
    unpacked, packed = load_data(MOVIES, folder), load_data(MOVIES, archive)
    assert packed.catalog.fingerprint() == unpacked.catalog.fingerprint()
    assert len(packed.interactions) == len(RATINGS)


@pytest.mark.parametrize(
    ("begin", "length", "message"),
    [
        (250, 20, r"interactions\.csv: damaged in its zip file"),
        (-60, 4, "the zip file is incomplete|damaged in its zip file"),
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


def test_single_files_and_a_catalog_given(tmp_path):
    folder = table(tmp_path / "set")
    (folder / "interactions.csv").rename(folder / "log.csv")
    (folder / "items.csv").rename(folder / "films.csv")
    catalog, _ = load_catalog(MOVIES, folder / "films.csv")
    assert len(catalog) == 3
    assert len(load_data(MOVIES, folder / "log.csv", catalog).interactions) == len(RATINGS)


def test_without_an_item_file_the_catalog_consists_of_the_items_in_interactions(tmp_path):
    write(tmp_path, B__inter__json='{"u": [5, 3], "v": [3, 8]}')
    data = load_data(shop(), tmp_path)
    assert [item.id for item in data.catalog] == ["5", "3", "8"]
    assert data.catalog[0] == Item("5", "item 5", {"brand": None, "categories": ()})
    assert load_catalog(shop(), tmp_path)[0].fingerprint() == data.catalog.fingerprint()


def test_several_files_of_one_kind_need_a_name(tmp_path):
    folder = recbole(tmp_path / "set")
    (folder / "other.inter").write_bytes((folder / "ml.inter").read_bytes())
    with pytest.raises(DataError, match=r"several files match .*data\.interactions"):
        load_data(MOVIES, folder)
    assert len(load_data(MOVIES.changed({"data.interactions": "other.inter"}), folder).interactions) == len(RATINGS)


@pytest.mark.parametrize(
    ("file", "path", "message"),
    [
        ("readme", "", r"no reader reads these files \(readme\)"),
        ("readme", "nothing", "no such file or folder"),
        ("broken.zip", "broken.zip", "neither a folder nor a zip file"),
        ("log.xlsx", "log.xlsx", r"no reader reads log\.xlsx"),
        ("interactions.parquet", "", "not a readable Parquet file"),
    ],
)
def test_files_that_no_reader_knows(tmp_path, file, path, message):
    write(tmp_path, **{file: "x"})
    with pytest.raises(DataError, match=message):
        load_data(MOVIES, tmp_path / path)
    with pytest.raises(DataError, match=rf"interactions\.tsv: no such file; the folder has {file}"):
        load_data(MOVIES.changed({"data.interactions": "interactions.tsv"}), tmp_path)


def test_files_are_named_as_they_are_found_from_here(tmp_path, monkeypatch):
    write(tmp_path / "data", interactions__csv="user_id,item_id\na,1\na,1\n")
    write(tmp_path / "domains" / "shop", domain__toml='name = "shop"\n[data]\npath = "../../data"\n')
    monkeypatch.chdir(tmp_path)
    (problem,) = load_data(Domain.load(Path("domains/shop"))).report
    assert str(problem).startswith("data/interactions.csv: item more than once")
    monkeypatch.chdir(tmp_path / "domains")
    (problem,) = load_data(Domain.load(tmp_path / "domains" / "shop")).report
    assert str(problem).startswith(f"{tmp_path}/data/interactions.csv")


def test_a_table_next_to_json_files_is_read_as_a_table(tmp_path):
    folder = table(tmp_path / "set")
    (folder / "meta_notes.json").write_text("{}")
    assert len(load_data(MOVIES, folder).interactions) == len(RATINGS)


# Delimited text


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
    with pytest.raises(DataError, match="the encoding 'utf-9' is not known"):
        load(tmp_path, HEADER, data__encoding="utf-9")


# MovieLens


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


# RecBole


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
def test_invalid_atomic_files(tmp_path, content, message):
    write(tmp_path, x__user=content)
    with pytest.raises(DataError, match=re.escape(message)):
        read_atomic(tmp_path / "x.user")


# Real data, where it lies next to the project

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
