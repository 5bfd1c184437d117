"""Amazon's reviews of all years, ratings alone, and pairs of JSON files."""

import gzip
import json
import re
from pathlib import Path

import pytest

from genre_gen.data.catalog import Item
from genre_gen.data.readers import load_data
from genre_gen.errors import DataError
from tests.data.readers.reader_files import domain, shop, write


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
def test_invalid_amazon_files(tmp_path, content, message):
    write(tmp_path, B__inter__json=content)
    with pytest.raises(DataError, match=re.escape(message)):
        load_data(shop(), tmp_path)


# Reviews as published


REVIEWS = [
    {"reviewerID": "A1RSDE90N6RSZF", "asin": "B00000000A", "overall": 5.0, "summary": "Good", "reviewText": "Fits.",
     "unixReviewTime": 1252800000},
    {"reviewerID": "A1RSDE90N6RSZF", "asin": "0000000001", "overall": 2.0, "unixReviewTime": 1252800100},
    {"reviewerID": "A3AF8FFZAZYNE5", "asin": "B00000000A", "overall": 4.0, "unixReviewTime": 1252800050},
]  # fmt: skip


def reviews_2014(folder: Path) -> Path:
    """Loose items, as Python writes them, and an item id that is a book's number."""
    items = [
        {"asin": "B00000000A", "title": "Bolt", "brand": "Ironly", "price": 1.5, "description": "Steel.",
         "categories": [["Tools", "Bolts"], ["Tools", "Small"]]},
        {"asin": "0000000001", "title": "Bolt's Guide", "categories": [["Books"]]},
    ]  # fmt: skip
    lines = "".join(json.dumps(review) + "\n" for review in REVIEWS)
    return write(folder, reviews_T_5__json=lines, meta_T__json="".join(f"{item!r}\n" for item in items))


def reviews_2018(folder: Path) -> Path:
    """Packed, with the reviews of 2014."""
    folder.mkdir()
    items = [
        {"category": ["Tools", "Bolts", "Small"], "description": ["Steel."], "title": "Bolt", "brand": "Ironly",
         "price": "$1.50", "asin": "B00000000A", "also_buy": []},
        {"category": ["Books"], "description": [], "title": "Bolt's Guide", "brand": "", "price": "",
         "asin": "0000000001"},
    ]  # fmt: skip
    for name, records in (("Tools_5.json.gz", REVIEWS), ("meta_Tools.json.gz", items)):
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


REVIEWED = shop(rating_scale=[1, 5], fields__price={"type": "number"})


@pytest.mark.parametrize("make", [reviews_2014, reviews_2018, reviews_2023])
def test_reviews_of_all_years_give_the_same_data(tmp_path, make):
    folder = make(tmp_path / "set")
    data = load_data(REVIEWED, folder)
    bolt = {"brand": "Ironly", "categories": ("Tools", "Bolts", "Small"), "price": 1.5}
    assert list(data.catalog) == [
        Item("B00000000A", "Bolt", bolt, "Steel."),
        Item("0000000001", "Bolt's Guide", {"brand": None, "categories": ("Books",), "price": None}),
    ]
    interactions = data.interactions
    assert [len(history) for history in interactions.histories()] == [2, 1]
    assert interactions.rows.tolist() == [0, 1, 0]
    assert interactions.ratings.tolist() == [5, 2, 4]
    assert interactions.times.tolist() == [1252800000, 1252800100, 1252800050]
    assert len(data.report) == 0
    assert (interactions.reviews, interactions.review(0)) == (None, ("", ""))  # read where they are asked for
    named = REVIEWED.changed({"data.columns.summary": "summary", "data.columns.review": "review"})
    interactions = load_data(named, folder).interactions
    assert [interactions.review(place) for place in range(3)] == [("Good", "Fits."), ("", ""), ("", "")]
    only = load_data(REVIEWED.changed({"data.columns.summary": "summary"}), folder).interactions
    assert only.review(0) == ("Good", "")


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
        load_data(domain("shop", {}), pair)


def test_ratings_without_times_keep_the_order_of_the_file(tmp_path):
    log = "user_id,parent_asin,rating\nu,B00000000A,5\nu,0000000001,3\n"
    interactions = load_data(shop(), write(tmp_path / "set", ratings_Tools__csv=log)).interactions
    assert (interactions.times, interactions.rows.tolist()) == (None, [0, 1])
    late = log.replace("rating", "rating,timestamp").replace(",5", ",5,9" + "0" * 16)
    with pytest.raises(DataError, match="line 2: no time"):
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
def test_ratings_without_reviews_of_all_years(tmp_path, name, content):
    folder = reviews_2023(tmp_path / "set")
    (folder / "Tools.jsonl").unlink()
    (folder / name).write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    interactions = load_data(REVIEWED, folder).interactions
    assert interactions.users == ("A1RSDE90N6RSZF", "A3AF8FFZAZYNE5")
    assert interactions.rows.tolist() == [0, 1]
    assert interactions.times.tolist() == [1252800000, 1252800100]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("Tools.jsonl", '{"user_id": "u", "parent_asin": "a"}\n{"user', "Tools.jsonl, line 2: not valid JSON"),
        ("Tools.jsonl", "[1]\n", "Tools.jsonl, line 1: expected a JSON object, not [1]"),
        ("Tools.jsonl", '\n{"user_id": "u", "rating": 5.0, "timestamp": 1}', "Tools.jsonl, line 2: no item: ''"),
        ("Tools.jsonl", '{"user_id": "u", "asin": "0000000001", "rating": 9.0}', "line 1: rating outside 1 to 5: '9'"),
        ("Tools.jsonl", '{"user_id": "u", "asin": "0000000001", "rating": 4.0}', "line 1: no time"),
        (
            "Tools.jsonl",
            '{"user_id": "u", "asin": "0000000001", "timestamp": 90000000000000000000}',
            "line 1: no time",
        ),
        ("meta_Tools.jsonl", "{'asin': __import__('os').system('true')}", "line 1: not valid JSON"),
        ("meta_Tools.jsonl", "{'asin': " + "[" * 5000, "line 1: not valid JSON"),
        ("more.jsonl", "{}", "several files match (Tools.jsonl, more.jsonl); name one as data.interactions"),
    ],
)
def test_invalid_reviews(tmp_path, file, content, message):
    folder = reviews_2023(tmp_path / "set")
    (folder / file).write_text(content)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load_data(REVIEWED, folder)
    assert "\n" not in str(caught.value)


def test_gzip_files_without_items_and_cut_off(tmp_path):
    folder = reviews_2018(tmp_path / "set")
    (folder / "meta_Tools.json.gz").unlink()  # no name tells what the other file is
    assert [item.id for item in load_data(shop(), folder).catalog] == ["B00000000A", "0000000001"]
    (folder / "Tools_5.json.gz").write_bytes((folder / "Tools_5.json.gz").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"Tools_5\.json\.gz: the gzip file is incomplete .*; download it again"):
        load_data(REVIEWED.changed({"data.reader": "amazon"}), folder)


def test_ids_that_do_not_tell_user_from_item(tmp_path):
    folder = write(tmp_path / "set", ratings_T__csv="u,i,5.0,1\n")
    with pytest.raises(DataError, match=r'cannot tell users from items.*set data\.reader = "table"'):
        load_data(REVIEWED, folder)
