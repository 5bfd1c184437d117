"""Endings and packing: the same table as CSV, JSON and Parquet, bare, as .gz and in a zip file."""

import gzip
import json
import zipfile
from pathlib import Path

import polars as pl
import pytest

from genre_gen.data.catalog import Item
from genre_gen.data.readers import load_catalog, load_data
from genre_gen.data.readers.encodings import Text
from genre_gen.data.readers.json_tables import read_json
from genre_gen.errors import DataError
from tests.data.readers.reader_files import MOVIES, domain, write

RECORDS = [{"user_id": "7", "item_id": 2, "rating": 5}, {"user_id": "9", "item_id": 1, "rating": None}]
CSV = "user_id,item_id,rating\n7,2,5\n9,1,\n"
LINES = "\n".join(map(json.dumps, RECORDS))
FORMS = {
    "csv": CSV, "txt": CSV, "dat": CSV, "tsv": CSV.replace(",", "\t"), "jsonl": LINES, "ndjson": LINES, "json": LINES,
}  # fmt: skip


def packed(file: Path, content: str, how: str) -> Path:
    data = content.encode()
    if how == ".gz":
        file = file.with_name(file.name + how)
        file.write_bytes(gzip.compress(data))
    elif how == ".zip":
        with zipfile.ZipFile(file.with_name(file.name + how), "w") as archive:
            archive.writestr(file.name, data)
            archive.writestr("__MACOSX/x", b"")
        file = file.with_name(file.name + how)
    else:
        file.write_bytes(data)
    return file


@pytest.mark.parametrize("how", ["", ".gz", ".zip"])
@pytest.mark.parametrize("form", FORMS)
def test_the_same_table_in_every_form(tmp_path, form, how):
    packed(tmp_path / f"interactions.{form}", FORMS[form], how)
    bare = domain("shop", {})
    file = next(tmp_path.iterdir())
    named = bare.changed({"data.interactions": file.name, "data.reader": "table"})
    for data in (load_data(bare, tmp_path), load_data(bare, file), load_data(named, tmp_path)):
        assert data.interactions.users == ("7", "9")
        assert [data.catalog[row].id for row in data.interactions.rows] == ["2", "1"]


def test_a_file_in_a_zip_file_can_be_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.writestr("ml/log.csv", CSV)
        archive.writestr("ml/films.csv", "item_id,title\n1,A\n2,B\n")
    shop = domain("shop", {}).changed({"data.interactions": "ml.zip/ml/log.csv", "data.items": "ml.zip/ml/films.csv"})
    assert [item.title for item in load_data(shop, tmp_path).catalog] == ["A", "B"]
    with pytest.raises(
        DataError, match=r"ml\.zip: a table is one file, and this has 2; name one of ml\.zip/ml/films\.csv"
    ):
        load_data(shop.changed({"data.interactions": "ml.zip"}), tmp_path)
    with pytest.raises(DataError, match=r"ml\.zip/ml/x\.csv: no such file; the folder has films\.csv, log\.csv"):
        load_data(shop.changed({"data.interactions": "ml.zip/ml/x.csv"}), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        json.dumps({name: {str(row): record[name] for row, record in enumerate(RECORDS)} for name in RECORDS[0]}),
        "\ufeff" + LINES.replace("\n", "\r\n\r\n"),
    ],
)
def test_json_in_the_forms_that_others_write(tmp_path, content):
    write(tmp_path, interactions__json=content)
    data = load_data(domain("shop", {}), tmp_path)
    assert data.interactions.users == ("7", "9")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": \n', "x.json, line 2: not valid JSON"),
        ("[1, 2]", "x.json, record 1: expected a JSON object, not 1"),
        ('[{"a": 1}', "x.json: not valid JSON"),
        ('"a"', "x.json, line 1: expected a JSON object"),
    ],
)
def test_json_of_another_kind_is_named_with_its_place(content, message):
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        read_json(Text(content, "x.json"))


def test_objects_of_json_and_parquet_are_labels_by_their_names(tmp_path):
    genres = [[{"id": 18, "name": "Drama"}, {"id": 35, "name": "Comedy"}], []]
    items = [{"item_id": row, "title": f"T{row}", "genre": genres[row]} for row in range(2)]
    fields = {"genre": {"type": "list"}}
    (tmp_path / "items.json").write_text(json.dumps(items))
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    for file in ("items.json", "items.parquet"):
        catalog, _ = load_catalog(domain("films", fields), tmp_path / file)
        assert catalog[0] == Item("0", "T0", {"genre": ("Drama", "Comedy")})
        assert catalog[1].attributes == {"genre": ()}


def test_reviews_are_still_read_as_reviews(tmp_path):
    write(tmp_path, x__jsonl='{"reviewerID": "A1", "asin": "B1", "overall": 4, "unixReviewTime": 9}\n')
    assert load_data(domain("shop", {}), tmp_path / "x.jsonl").interactions.ratings.tolist() == [4]
    assert MOVIES.data.encoding == "auto"
