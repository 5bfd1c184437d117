"""Lists of other libraries: their columns, scores without ranks, and the forms of files they write."""

import numpy as np
import polars as pl
import pytest

from genre_gen.data.writers import write_lists
from genre_gen.errors import DataError
from genre_gen.evaluation.picks import evaluate_picks, read_picks

KEYS = ["user_id", "item_id", "rank"]
EXPECTED = [("7", "a", 1), ("7", "b", 2), ("9", "c", 1)]


def rows(picks):
    return sorted(read_picks(picks).select(KEYS).rows())


@pytest.mark.parametrize("user", ["user_id", "user", "userId"])
@pytest.mark.parametrize("item", ["item_id", "item", "itemId"])
@pytest.mark.parametrize("score", ["score", "prediction"])
def test_columns_are_known_by_the_names_that_libraries_use(user, item, score):
    frame = pl.DataFrame({user: [7, 9, 7], item: ["b", "c", "a"], score: [0.5, 0.1, 0.75]})
    assert rows(frame) == EXPECTED
    assert rows(frame.with_columns(rank=pl.Series([2, 1, 1]), **{score: -pl.col(score)})) == EXPECTED  # ranks decide


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.csv", "a.tsv", "a.inter"])
def test_every_form_of_file_is_read(tmp_path, name):
    frame = pl.DataFrame({"user_id": [7, 7, 9], "item_id": ["a", "b", "c"], "score": [2.5, 1.5, 1e-3]})
    if name.endswith((".parquet", ".jsonl")):
        (frame.write_parquet if name.endswith("parquet") else frame.write_ndjson)(tmp_path / name)
    else:
        if name.endswith(".inter"):
            frame.columns = ["user_id:token", "item_id:token", "score:float"]
        frame.write_csv(tmp_path / name, separator="," if name.endswith("csv") else "\t")
    assert rows(tmp_path / name) == EXPECTED


def test_lists_of_lenskit_are_read_the_empty_ones_too(tmp_path):
    table = pl.DataFrame({"user_id": [7, 7, 8, 9], "item_id": ["a", "b", None, "c"], "score": [2.0, 1.0, None, 1.0]})
    write_lists(tmp_path / "run.parquet", table)
    assert rows(tmp_path / "run.parquet") == EXPECTED


def test_ties_keep_the_order_of_the_rows_and_what_has_no_score_is_left_out():
    scores = [1.0, 2.0, 2.0, float("nan"), float("-inf"), None, 2.0]
    frame = pl.DataFrame({"user_id": ["u"] * 7, "item_id": list("abcdefg"), "score": scores})
    found = read_picks(frame).sort("rank")
    assert found["item_id"].to_list() == ["b", "c", "g", "a"]
    assert found["rank"].to_list() == [1, 2, 3, 4]


def test_frames_of_pandas_are_picks_too():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"user_id": [7.0, 7.0, 9.0], "item_id": ["a", "b", "c"], "rank": [1, 2, 1]})
    assert rows(frame) == EXPECTED


def test_a_frame_of_answers_is_evaluated_as_the_model_is(mixed, dataset):
    split = dataset.leave_one_out()
    frame = mixed.recommend(users=[case.history for case in split.test], n=20).to_frame()
    report = evaluate_picks(mixed.state, split, "test", frame)
    ours = mixed.evaluate(split, (5, 10), baselines=False)["GENRE"]
    assert report.results[0].name == "picks"
    for metric in ("R@5", "N@5", "R@10", "N@10"):
        assert report.results[0].figure(metric) == pytest.approx(ours.figure(metric))
    np.testing.assert_array_equal(
        evaluate_picks(mixed.state, split, "test", frame.drop("rank")).results[0].ranks, report.results[0].ranks
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user_id": ["1"], "item_id": ["1"]}, "no column rank or score; it has user_id, item_id"),
        ({"item_id": ["1"], "rank": [1]}, "no column user_id; it has item_id, rank"),
        ({"user_id": ["1"], "item_id": ["1"], "score": ["high"]}, "not a number as score"),
    ],
)
def test_what_is_missing_is_named(table, message):
    with pytest.raises(DataError, match=message):
        read_picks(pl.DataFrame(table))


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"its name should end in \.parquet, \.jsonl, \.csv, \.tsv, \.inter"):
        read_picks(tmp_path / "picks.xlsx")
