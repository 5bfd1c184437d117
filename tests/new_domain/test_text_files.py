"""`domains new` finds out how each file is written, says it, and writes it into the settings."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genre_gen import Dataset
from genre_gen.cli.main import app
from genre_gen.data.readers import load_data
from genre_gen.domain import Domain
from genre_gen.errors import DataError
from genre_gen.new_domain.scaffold import Started, start_domain

TITLES = ("One", "Two", "Three", "Four")
LOG = "user_id,item_id,rating\n" + "".join(f"u{u},{i},{(u + i) % 5 + 1}\n" for u in range(6) for i in range(1, 5))


def items(*titles: str) -> str:
    return "item_id,title,genre\n" + "".join(f"{row},{title},{'ab'[row % 2]}\n" for row, title in enumerate(titles, 1))


def start(
    folder: Path, books: str | bytes, log: str | bytes = LOG, *, names=("books.csv", "log.csv"), **options
) -> Started:
    for name, content in zip(names, (books, log), strict=True):
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    started = start_domain("books", folder / names[1], folder / names[0], folder, **options)
    again = load_data(Domain.load(folder / "catalogs" / "books"))
    assert list(again.catalog) == list(started.data.catalog)  # the settings say what was found
    assert len(again.interactions) == len(started.data.interactions)
    return started


def toml(folder: Path) -> dict:
    return Domain.load(folder / "catalogs" / "books").data.model_dump(exclude_unset=True)


def test_each_file_has_an_encoding_and_a_separator(tmp_path):
    log = LOG.replace("u1", "Jürgen").replace(",", ";").encode("cp1252")
    started = start(tmp_path, items("Käse", *TITLES[:3]), log)
    assert (started.data.catalog[0].title, started.data.interactions.users[1]) == ("Käse", "Jürgen")
    assert (toml(tmp_path)["encoding"], toml(tmp_path)["delimiter"]) == ("cp1252", ";")
    assert toml(tmp_path)["items_file"] == {"encoding": "utf-8", "delimiter": ","}
    assert "log.csv: not UTF-8: 4 read as cp1252, the first in line 6 ('Jürgen;1;3')" in started.text()


def test_files_that_are_written_alike_need_one_key(tmp_path):
    start(tmp_path, items("“Quoted” – 5 €", *TITLES).encode("cp1252"), LOG.replace("u1", "é").encode("cp1252"))
    assert toml(tmp_path)["encoding"] == "cp1252"
    assert "items_file" not in toml(tmp_path)


def test_an_encoding_can_be_given(tmp_path):
    (tmp_path / "books.csv").write_bytes(items("Ä", *TITLES).encode("latin-1"))
    (tmp_path / "log.csv").write_text(LOG)
    command = ["domains", "new", "books", "--interactions", str(tmp_path / "log.csv"), "--items"]
    command += [str(tmp_path / "books.csv"), "--folder", str(tmp_path), "--items-encoding", "cp1251"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert toml(tmp_path)["items_file"] == {"encoding": "cp1251"}
    for options in ({"encoding": "cp1251"}, {"items_encoding": "cp1251"}):
        data = Dataset.from_tables(tmp_path / "books.csv", tmp_path / "log.csv", name="books", **options)
        assert data.catalog[0].title == "Д"
    with pytest.raises(DataError, match=r"books\.csv, line 2: byte 0xc4 is not ascii; .*--encoding of `domains new`"):
        Dataset.from_tables(tmp_path / "books.csv", tmp_path / "log.csv", name="books", encoding="ascii")


def test_quotes_are_proposed_from_the_data(tmp_path):
    books = 'item_id\ttitle\tgenre\n1\t"Heroes\ta\n2\tLow\tb\n3\tLodger"\ta\n4\tScary\tb\n'
    started = start(tmp_path, books, names=("books.tsv", "log.csv"))
    assert [item.title for item in started.data.catalog] == ['"Heroes', "Low", 'Lodger"', "Scary"]
    assert toml(tmp_path)["items_file"] == {"quote": "none"}
    assert """read as written, the first in line 2 ('"Heroes')""" in started.text()


def test_escapes_are_proposed_from_the_data(tmp_path):
    books = 'item_id;title;genre\n1;"x \\"; or, y\\" z";a\n2;"x; y";b\n3;"b";a\n4;c;b\n'
    started = start(tmp_path, books, LOG.replace(",", ";"))
    assert [item.title for item in started.data.catalog][:2] == ['x "; or, y" z', "x; y"]
    assert (toml(tmp_path)["delimiter"], toml(tmp_path)["items_file"]) == (";", {"escape": "\\"})


@pytest.mark.parametrize("ending", [".dat", ".txt", ".csv.gz", ".zip", ".csv.zip", ".json", ".jsonl"])
def test_endings_and_packing(tmp_path, ending):
    content = {"books": items(*TITLES), "log": LOG.replace(",", "::") if ending == ".dat" else LOG}
    packed = {}
    for name, text in content.items():
        header, *lines = (line.split(",") for line in text.splitlines())
        data = text.encode()
        if "json" in ending:
            data = "\n".join(json.dumps(dict(zip(header, line, strict=True))) for line in lines).encode()
        if ending.endswith(".gz"):
            data = gzip.compress(data)
        if ending.endswith(".zip"):
            with zipfile.ZipFile(tmp_path / "x", "w") as archive:
                archive.writestr(f"{name}.csv", data)
            data = (tmp_path / "x").read_bytes()
        packed[name] = data
    started = start(tmp_path, packed["books"], packed["log"], names=(f"books{ending}", f"log{ending}"))
    assert [item.title for item in started.data.catalog] == [*TITLES]
    assert len(started.data.interactions) == 24
    assert Domain.load(tmp_path / "catalogs" / "books").noun == "book"


def test_both_tables_may_be_in_one_zip_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("set/books.csv", items(*TITLES))
        archive.writestr("set/log.csv", LOG)
    inside = tmp_path / "all.zip" / "set"
    started = start_domain("books", inside / "log.csv", inside / "books.csv", tmp_path)
    assert len(load_data(Domain.load(tmp_path / "catalogs" / "books")).catalog) == len(started.data.catalog) == 4
    with pytest.raises(DataError, match=r"x\.csv: no such file; the folder has books\.csv, log\.csv"):
        Dataset.from_tables(None, inside / "x.csv", name="books")


def test_lines_of_a_user_and_their_items(tmp_path):
    (tmp_path / "seq.txt").write_text("1 4 5 6\n2 4 6\n3 5 4 6 7\n")
    started = start_domain("books", tmp_path / "seq.txt", None, tmp_path)
    assert len(started.data.interactions) == 9
    assert "a user and their items in each line: 3 read so, the first in line 1 ('1 4 5 6')" in started.text()
    assert len(load_data(Domain.load(tmp_path / "catalogs" / "books")).interactions) == 9


def test_a_table_without_a_header_is_told_a_line_that_fits_it(tmp_path):
    with pytest.raises(DataError, match="put a line such as item_id::title::genre before it"):
        start(tmp_path, "1::A::x\n2::B::y\n", names=("books.dat", "log.csv"))
    started = start(tmp_path, "item_id::title::genre\n1::A::x\n2::B::y\n3::C::y\n4::D::x\n", names=("b.dat", "log.csv"))
    assert len(started.data.catalog) == 4


def test_lists_in_brackets_are_fields_with_labels(tmp_path):
    books = "item_id;title;genre;kind;tags;vector\n" + "".join(
        f"{row};{title};['Drama', 'Sci-Fi'];[{{'id': 1, 'name': 'K{row}'}}];[\"x\", \"y{row}\"];[0.5, {row}.25]\n"
        for row, title in enumerate(TITLES, 1)
    )
    started = start(tmp_path, books)
    assert started.data.catalog[1].attributes == {
        "genre": ("Drama", "Sci-Fi"), "kind": ("K2",), "tags": ("x", "y2"),
    }  # fmt: skip
    assert "a list in brackets with 2 labels" in started.text()
    assert "is a list of numbers, such as '0.5'" in started.text()


def test_whole_floats_are_numbers_and_no_labels(tmp_path):
    books = "item_id;title;nutrition\n" + "".join(
        f"{row};{title};[{row}.5, 0.0, 13.0]\n" for row, title in enumerate(TITLES, 1)
    )
    assert "is a list of numbers, such as '1.5'" in start(tmp_path, books).text()
