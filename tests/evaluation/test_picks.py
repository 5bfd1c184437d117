"""Lists of other libraries: their columns, scores without ranks, and the forms of files they write."""

import numpy as np
import polars as pl
import pytest

from genre_gen.data.writers import write_lists
from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.picks import evaluate_picks, read_picks
from genre_gen.evaluation.report import Report

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


def answers(mixed, split, n=20):
    return (
        mixed.recommend(users=[case.history for case in split.test], n=n)
        .to_frame()
        .select("user_id", "item_id", "rank")
    )


def told(caplog):
    return [record.message.removeprefix("the picks: ") for record in caplog.records if record.levelname == "WARNING"]


def test_users_without_picks_are_misses_and_told(mixed, dataset, caplog):
    split = dataset.leave_one_out()
    frame = answers(mixed, split)
    whole = evaluate_picks(mixed.state, split, "test", frame)
    assert not told(caplog)
    assert "without picks" not in whole.caption()
    some = [case.history.user for case in split.test][:12]
    report = evaluate_picks(mixed.state, split, "test", frame.filter(pl.col("user_id").is_in(some)))
    ours = whole.results[0].values("N@10")
    assert report.results[0].figure("N@10") == pytest.approx(ours[:12].sum() / 30)
    assert report.caption().startswith("movies, leave-one-out, test, 30 users, 18 of them without picks")
    assert told(caplog) == [
        f"picks for 12 of 30 users; the other 18 count as misses (N@10 over those with picks: {ours[:12].mean():.4f})"
    ]
    assert report.notes["picks"]["users"] == 12
    assert Report.from_json(report.to_json()).caption() == report.caption()


def test_what_cannot_be_scored_is_told_with_its_count(mixed, dataset, caplog):
    split = dataset.leave_one_out()
    frame = answers(mixed, split)
    expected = evaluate_picks(mixed.state, split, "test", frame).results[0]
    stranger = frame.head(20).with_columns(pl.lit("stranger").alias("user_id"))
    evaluate_picks(mixed.state, split, "test", pl.concat([frame, stranger]))
    assert told(caplog) == ["1 users have no case in this split, and are left out"]
    caplog.clear()

    below = frame.with_columns(pl.col("rank") + 1)
    unknown = frame.filter(pl.col("rank") == 1).with_columns(pl.lit("none").alias("item_id"))
    result = evaluate_picks(mixed.state, split, "test", pl.concat([below, unknown])).results[0]
    np.testing.assert_array_equal(result.ranks, expected.ranks + 1)  # an unknown item keeps its rank
    assert told(caplog) == ["30 picks are of items that the catalog lacks, and count as misses"]
    caplog.clear()

    again = frame.filter(pl.col("rank") == 1).with_columns(pl.lit(25).cast(pl.Int32).alias("rank"))
    result = evaluate_picks(mixed.state, split, "test", pl.concat([frame, again, frame.head(3)])).results[0]
    np.testing.assert_array_equal(result.ranks, expected.ranks)
    assert told(caplog) == ["33 picks repeat an item of the same user; the best one counts"]
    caplog.clear()

    first = frame["user_id"][0]
    evaluate_picks(mixed.state, split, "test", frame.filter((pl.col("rank") < 4) | (pl.col("user_id") != first)))
    assert told(caplog) == ["1 users have fewer than 20 picks; what they lack counts as misses"]


def test_scores_of_repeated_items_leave_no_gap():
    frame = pl.DataFrame({"user_id": ["u"] * 4, "item_id": ["a", "a", "b", "c"], "score": [1.0, 5.0, 4.0, 3.0]})
    assert rows(frame) == [("u", "a", 1), ("u", "b", 2), ("u", "c", 3)]


def test_picks_that_the_user_had_before_are_refused_with_their_count(mixed, dataset):
    split = dataset.leave_one_out()
    had = [(case.history.user, dataset.catalog[int(row)].id, rank) for case in split.test[:5]
           for rank, row in enumerate(dict.fromkeys(case.history.rows.tolist()), 1)]  # fmt: skip
    frame = pl.DataFrame(had, ["user_id", "item_id", "rank"], orient="row")
    with pytest.raises(UsageError, match=rf"{len(had)} picks of 5 users .*pass repeat=True"):
        evaluate_picks(mixed.state, split, "test", frame)
    report = evaluate_picks(mixed.state, split, "test", frame, repeat=True)
    assert report.repeat
    assert report.notes["picks"]["users"] == 5


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"user_id": ["x", "y"], "item_id": ["1", "2"], "rank": [1, 1]}, DataError, "none of its 2 users .*such as"),
        ({"user_id": ["17"], "item_id": ["x"], "rank": [1]}, DataError, "none of its items .*is in the catalog; give"),
        ({"user_id": ["17"] * 3, "item_id": ["1", "2", "3"], "rank": [1, 1, 1]}, UsageError, "rank 1 .2 such picks"),
        ({"user_id": ["17"], "item_id": ["1"], "rank": [0]}, UsageError, "ranks must be 1 or more"),
        ({"user_id": ["17"], "item_id": ["1"], "rank": [1.5]}, DataError, "whole numbers from 1"),
    ],
)
def test_picks_that_cannot_be_scored(mixed, dataset, table, error, message):
    with pytest.raises(error, match=message):
        evaluate_picks(mixed.state, dataset.leave_one_out(), "test", pl.DataFrame(table))


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
