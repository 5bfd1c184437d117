"""LensKit's files, as far as they can be checked without it; tests/peers has LensKit read them."""

import json

import polars as pl
import pytest
from odd_data import odd_dataset

from genre_gen.data.writers import write_lists
from genre_gen.errors import UsageError


def test_a_data_set_has_ids_once_and_numbers_elsewhere(dataset, tmp_path):
    for data, kind in ((dataset, "rating"), (odd_dataset(rated=False, repeats=2), "interaction")):
        files = data.to_lenskit(tmp_path / kind)
        assert [file.name for file in files] == ["user.parquet", "item.parquet", f"{kind}.parquet", "schema.json"]
        schema = json.loads((tmp_path / kind / "schema.json").read_text())
        assert schema["default_interaction"] == kind
        assert schema["relationships"][kind]["repeats"] == ("forbidden" if kind == "rating" else "present")
        users, items, log = (pl.read_parquet(file) for file in files[:3])
        assert items.equals(data.to_frames()[0])
        named = log.with_columns(
            users["user_id"].gather(log["user_num"]), items["item_id"].gather(log["item_num"])
        ).select(data.to_frames()[1].columns)
        assert named.sort(named.columns).equals(data.to_frames()[1].sort(named.columns))
        assert not any(b"ARROW:schema" in file.read_bytes() for file in files)  # which would say large_string


def test_a_split_has_two_data_sets_and_two_files_of_lists(dataset, tmp_path):
    split = dataset.leave_one_out()
    split.to_lenskit(tmp_path)
    assert len(pl.read_parquet(tmp_path / "train" / "rating.parquet")) == len(split.train)
    assert len(pl.read_parquet(tmp_path / "train_and_validation" / "rating.parquet")) == len(split.train_and_validation)
    for part in ("validation", "test"):
        lists = pl.read_parquet(tmp_path / f"{part}.parquet")
        assert lists["user_id"].to_list() == [case.history.user for case in split.cases(part)]
        found = lists.explode("items").unnest("items")["item_id"].to_list()
        assert found == [split.catalog[case.target].id for case in split.cases(part)]
    with pytest.raises(UsageError, match="the split 'all' holds nothing out for LensKit to test on"):
        dataset.hold_out_last().to_lenskit(tmp_path)


def test_a_user_without_items_has_an_empty_list(tmp_path):
    table = pl.DataFrame({"user_id": ["b", "b", "a"], "item_id": ["1", "2", None], "rank": [1, 2, None]})
    write_lists(tmp_path / "lists.parquet", table)
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    assert lists.rows() == [("b", [{"item_id": "1", "rank": 1}, {"item_id": "2", "rank": 2}]), ("a", [])]
