"""Indonesia's tourism data: columns, the unquoted coordinates, and ratings given twice."""

from pathlib import Path

import pytest

from genre_gen.data.catalog import Item
from genre_gen.data.readers import load_data
from genre_gen.domain import Domain
from genre_gen.errors import DataError
from tests.data.readers.reader_files import domain, write


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


def travel() -> Domain:
    fields = {"category": {"type": "list", "separator": "|"}, "city": {"type": "text"}, "price": {"type": "number"}}
    return domain("travel", fields, rating_scale=[1, 5])


def test_tourism(tmp_path):
    data = load_data(travel(), tourism(tmp_path))
    park = {"category": ("Taman Hiburan",), "city": "Jakarta", "price": 20000}
    assert list(data.catalog) == [
        Item("1", "Taman Awan", park, "Taman di atas bukit,\nsejuk."),
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
