"""RecBole itself reads our files, and its lists and figures are ours."""

import ast
import json

import polars as pl
import pytest
from odd_data import odd_dataset

from genre_gen import Dataset
from genre_gen.evaluation.picks import evaluate_picks

MODELS = {
    "Pop": {"epochs": 1, "train_batch_size": 1},  # it counts an item once per batch
    "ItemKNN": {"k": 20, "epochs": 1},
    "BPR": {"epochs": 2},
}


def described(recbole, folder, *fields):
    loaded = recbole("describe", folder, *fields)
    columns = {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float32}
    frame = pl.DataFrame(loaded["interactions"], schema=columns, orient="row")
    return loaded, frame.with_columns(pl.col("rating").fill_nan(None))


@pytest.mark.parametrize("data", ["sample", "odd"])
def test_atomic_files_are_loaded_whole(recbole, dataset, tmp_path, data):
    data, field = {"sample": (dataset, "genre"), "odd": (odd_dataset(), "kind")}[data]
    data.to_recbole(tmp_path / "films")
    loaded, frame = described(recbole, tmp_path / "films", field)
    items, interactions = data.to_frames()
    assert (loaded["users"], loaded["items"]) == (len(data.interactions.users), len(data.catalog))
    expected = interactions.drop("timestamp")
    if expected["rating"].null_count():  # where ratings are missing, RecBole takes the mean
        expected = expected.with_columns(pl.col("rating").fill_null(strategy="mean"))
    assert frame.drop("rating").equals(expected.drop("rating"))
    assert frame["rating"].to_list() == pytest.approx(expected["rating"].to_list(), abs=1e-6)
    assert loaded["labels"][field] == sorted({label for labels in items[field] for label in labels})


@pytest.mark.parametrize("name", ["leave-one-out", "global-time"])
def test_its_lists_have_the_same_figures_here(recbole, tiny_recommender, dataset, tmp_path, name):
    split = dataset.split(name)
    split.to_recbole(tmp_path / "films")
    theirs = recbole("run", tmp_path / "films", tmp_path, json.dumps(MODELS))
    letters = {"R": "recall", "N": "ndcg", "MRR": "mrr"}
    for model in MODELS:
        report = evaluate_picks(tiny_recommender.state, split, "test", tmp_path / f"{model}.csv")
        assert len(report.users) == len(split.test)
        assert theirs[model]["recall@10"] > 0
        for short, long in letters.items():
            for cut in (5, 10):
                ours = report.results[0].figure(f"{short}@{cut}")
                assert theirs[model][f"{long}@{cut}"] == pytest.approx(ours, abs=1e-6), (model, short, cut)


def test_files_that_recbole_brings_are_read_alike(recbole, recbole_example):
    data = Dataset.load("movies", recbole_example)
    loaded, _ = described(recbole, recbole_example)
    assert loaded["users"] == len(data.interactions.users) == 943
    assert loaded["items"] == len({item for item in data.interactions.rows.tolist()}) == 1682
    assert len(loaded["interactions"]) == len(data.interactions) == 100_000


def test_the_script_of_the_guide_prints_our_figures(guide_script, tiny_recommender, dataset, tmp_path):
    split = dataset.leave_one_out()
    split.to_recbole(tmp_path / "exports" / "movies")
    theirs = ast.literal_eval(guide_script("recbole", "bpr.py")[-1])
    result = evaluate_picks(tiny_recommender.state, split, "test", tmp_path / "bpr.csv").results[0]
    for name, metric in (("recall@10", "R@10"), ("ndcg@10", "N@10"), ("mrr@10", "MRR@10")):
        assert theirs[name] == pytest.approx(result.figure(metric), abs=5e-5)  # it prints four digits
