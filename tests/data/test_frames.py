"""Data frames out, and in again without a loss, of every library."""

import datetime
import sys

import numpy as np
import polars as pl
import pytest
from odd_data import odd_dataset, same

from genre_gen import Catalog, Dataset, Item
from genre_gen.errors import MissingPackageError, UsageError


def test_columns_have_the_names_and_types_of_the_ecosystem():
    items, interactions = odd_dataset().to_frames()
    assert dict(items.schema) == {
        "item_id": pl.String, "title": pl.String, "kind": pl.List(pl.String), "price": pl.Float64, "maker": pl.String,
        "text": pl.String,
    }  # fmt: skip
    assert dict(interactions.schema) == {
        "user_id": pl.String, "item_id": pl.String, "rating": pl.Float32, "timestamp": pl.Int64,
    }  # fmt: skip
    assert interactions["rating"].null_count() > 0
    assert not interactions["rating"].is_nan().any()
    assert items["price"][:3].to_list() == [None, 1705, 2.1]
    assert items["maker"][:2].to_list() == ["M. 0, Ltd.", None]
    bare = odd_dataset(rated=False, timed=False).to_frames()[1]
    assert bare.columns == ["user_id", "item_id"]


def test_attributes_keep_their_types():
    values = {"year": [1999, None], "share": [0.5, 2], "flags": [True, False], "none": [None, None], "mixed": [1, "x"]}
    catalog = Catalog(
        Item(str(row), f"t{row}", {name: column[row] for name, column in values.items()} | {"text": "own"})
        for row in (0, 1)
    )
    frame = catalog.to_frame()
    assert [frame.schema[name] for name in values] == [pl.Int64, pl.Float64, pl.Int64, pl.String, pl.String]
    assert frame.columns[-1] == "field_text"  # `text` would be the items' descriptions
    assert frame["mixed"].to_list() == ["1", "x"]


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_frames_come_back_as_the_same_data(dataset, library):
    for data in (dataset, odd_dataset([f"The {number}th book" for number in range(12)])):
        items, interactions = data.to_frames(library)
        again = Dataset.from_frames(items, interactions)
        assert [item.id for item in again.catalog] == [item.id for item in data.catalog]
        same(again, Dataset.from_frames(*again.to_frames(library)))
        np.testing.assert_array_equal(again.interactions.rows, data.interactions.rows)
        np.testing.assert_array_equal(again.interactions.ratings, data.interactions.ratings)
        np.testing.assert_array_equal(again.interactions.times, data.interactions.times)


def test_pandas_has_its_own_missing_values():
    pd = pytest.importorskip("pandas")
    items, interactions = odd_dataset().to_frames("pandas")
    assert isinstance(items, pd.DataFrame)
    assert interactions["rating"].dtype == np.float32
    assert interactions["timestamp"].dtype == np.int64
    assert interactions["rating"].isna().sum() == odd_dataset().to_frames()[1]["rating"].null_count()
    assert items["kind"][1] == ["Science Fiction", "war"]
    assert items["maker"].isna().tolist() == [number % 2 == 1 for number in range(9)]
    years = Catalog([Item("1", "a", {"year": 1999}), Item("2", "b", {"year": None})]).to_frame("pandas")["year"]
    assert str(years.dtype) == "Int64"
    assert years[0] == 1999


def kinds_of_frames():
    """Yield one table in every form in which somebody may have it."""
    plain = {
        "user_id": [1, 1, 2, 2], "item_id": ["a", "b", "a", "c"], "rating": [4.0, None, 3.5, 1.0],
        "timestamp": [datetime.datetime(2024, 1, day, 12, 30, 15, 999_999) for day in (4, 3, 2, 1)],
    }  # fmt: skip
    frame = pl.DataFrame(plain)
    yield "polars", frame
    yield "lazy", frame.lazy()
    yield "categorical", frame.with_columns(pl.col("item_id").cast(pl.Categorical))
    yield "enum", frame.with_columns(pl.col("item_id").cast(pl.Enum(["a", "b", "c"])))
    for unit in ("ms", "us", "ns"):
        yield unit, frame.with_columns(pl.col("timestamp").dt.cast_time_unit(unit))
    yield "zone", frame.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
    yield "epoch", frame.with_columns(pl.col("timestamp").dt.epoch("s"))
    yield "epoch of floats", frame.with_columns(pl.col("timestamp").dt.epoch("us") / 1e6)
    yield "text", frame.with_columns(pl.col("timestamp").dt.to_string("iso"), pl.col("rating").cast(pl.String))
    yield "NaN", frame.with_columns(pl.col("rating").fill_null(float("nan")))
    pd = pytest.importorskip("pandas")
    made = pd.DataFrame(plain)
    yield "pandas", made
    yield "pandas, filtered", made.set_index(pd.Index([7, 3, 9, 1]))
    yield "pandas, indexed", made.set_index(["user_id", "item_id"])
    yield "pandas, category", made.astype({"item_id": "category", "user_id": "category"})
    yield "pandas, nullable", made.convert_dtypes()
    yield "pandas, UTC", made.assign(timestamp=made["timestamp"].dt.tz_localize("UTC"))
    yield "pandas, float ids", made.astype({"user_id": float})
    pa = pytest.importorskip("pyarrow")
    yield "pandas, Arrow", made.convert_dtypes(dtype_backend="pyarrow")
    yield "pyarrow", pa.Table.from_pandas(made)


@pytest.mark.parametrize("kind", [kind for kind, _ in kinds_of_frames()])
def test_every_kind_of_frame_is_the_same_data(kind):
    data = Dataset.from_frames(None, dict(kinds_of_frames())[kind])
    frame = data.to_frames()[1]
    noon = int(datetime.datetime(2024, 1, 1, 12, 30, 15, tzinfo=datetime.UTC).timestamp())
    assert frame.rows() == [  # sorted by time, whose fractions of seconds are cut off
        ("1", "b", None, noon + 2 * 86_400), ("1", "a", 4.0, noon + 3 * 86_400),
        ("2", "c", 1.0, noon), ("2", "a", 3.5, noon + 86_400),
    ]  # fmt: skip


def test_a_split_is_four_frames(dataset):
    for split in (dataset.leave_one_out(), dataset.global_time()):
        frames = split.to_frames()
        assert list(frames) == ["train", "validation", "test", "train_and_validation"]
        for part in ("validation", "test"):
            cases = split.cases(part)
            ids = [split.catalog[case.target].id for case in cases]
            assert frames[part]["user_id"].to_list() == [case.history.user for case in cases]
            assert frames[part]["item_id"].to_list() == ids
            assert frames[part]["rating"].to_list() == [case.rating for case in cases]
            assert all(
                case.history.times.max() <= time for case, time in zip(cases, frames[part]["timestamp"], strict=True)
            )
        assert len(frames["train"]) == len(split.train)
    whole = dataset.to_frames()[1]
    frames = dataset.leave_one_out().to_frames()
    parts = pl.concat([frames["train"], frames["validation"], frames["test"]])
    assert parts.sort(parts.columns).equals(whole.sort(whole.columns))


def test_a_history_is_a_frame_with_titles(dataset):
    history = dataset.interactions.history("17")
    frame = history.to_frame(dataset.catalog)
    assert frame.columns == ["item_id", "title", "rating", "timestamp"]
    assert frame["title"].to_list() == [dataset.catalog[row].title for row in history.rows.tolist()]
    assert history.slice(0, 0).to_frame(dataset.catalog).schema == frame.schema


def test_another_library_is_refused(dataset, monkeypatch):
    with pytest.raises(UsageError, match="a data frame of 'spark'; choose polars or pandas"):
        dataset.to_frames("spark")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match=r"data frames of pandas need .* pip install 'genre-gen\[pandas\]'"):
        dataset.to_frames("pandas")
