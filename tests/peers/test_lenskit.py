"""LensKit itself reads our files, and its lists and figures are ours."""

import ast

import numpy as np
import polars as pl
import pytest
from odd_data import odd_dataset

from genre_gen import Request
from genre_gen.evaluation.picks import evaluate_picks
from genre_gen.recommender.batch import write_picks

METRICS = [f"{letters}@{cut}" for letters in ("R", "N", "MRR") for cut in (5, 10)]


def assert_same(theirs, result):
    for metric in METRICS:
        assert theirs[metric] == pytest.approx(result.figure(metric), abs=1e-6), metric


def test_data_sets_are_loaded_whole(lenskit, dataset, tmp_path):
    data_sets = [dataset, odd_dataset(), odd_dataset(rated=False), odd_dataset(timed=False), odd_dataset(repeats=2)]
    folders = [tmp_path / str(number) for number in range(len(data_sets))]
    for data, folder in zip(data_sets, folders, strict=True):
        data.to_lenskit(folder)
    for data, loaded in zip(data_sets, lenskit("describe", *folders), strict=True):
        items, interactions = data.to_frames()
        assert loaded["name"] == data.catalog.name
        assert loaded["items"] == items["item_id"].to_list()
        assert loaded["users"] == list(data.interactions.users)
        assert loaded["attributes"] == {name: items[name].to_list() for name in items.columns[1:]}
        found = pl.DataFrame(loaded["interactions"], infer_schema_length=None).select(interactions.columns)
        order = interactions.columns
        assert found.cast(interactions.schema).sort(order).equals(interactions.sort(order))


@pytest.fixture(scope="module", params=["leave-one-out", "global-time"])
def run(lenskit, dataset, request, tmp_path_factory):
    """Return a split, the folder with the lists of LensKit's models, and LensKit's figures of them."""
    split = dataset.split(request.param)
    folder = tmp_path_factory.mktemp("split")
    split.to_lenskit(folder)
    return split, folder, lenskit("run", folder, folder)


@pytest.mark.parametrize("model", ["popularity", "item_knn"])
@pytest.mark.parametrize("file", ["{}.parquet", "{}-flat.parquet", "{}.csv"])
def test_its_lists_have_the_same_figures_here(run, tiny_recommender, model, file):
    split, folder, theirs = run
    report = evaluate_picks(tiny_recommender.state, split, "test", folder / file.format(model))
    assert len(report.users) == len(split.test)
    assert theirs[model]["R@10"] > 0
    assert_same(theirs[model], report.results[0])
    # LensKit's NDCG counts the first two places alike unless it is told otherwise.
    ranks = report.results[0].ranks
    clipped = np.where(ranks <= 10, 1 / np.log2(np.clip(ranks, 2, 10)), 0)
    assert theirs[model]["as LensKit discounts"] == pytest.approx(clipped.mean())


def test_our_picks_have_the_same_figures_there(lenskit, mixed, dataset, tmp_path):
    split = dataset.leave_one_out()
    split.to_lenskit(tmp_path)
    files = [tmp_path / f"{name}.parquet" for name in ("all", "new", "two", "table", "frame")]
    popular = {"include": ["Groundhog Day (1993)", "Toy Story (1995)"]}  # who has had both gets an empty list
    for file, filters in zip(files, [{}, {"where": "year > 2000"}, popular], strict=False):
        write_picks(mixed.state, None, Request(**filters), file, part="test", layout="lenskit", progress=False)
    assert pl.read_parquet(files[2])["items"].list.len().min() == 0
    write_picks(mixed.state, None, Request(), files[3], part="test", progress=False)
    mixed.recommend(users=[case.history for case in split.test]).to_frame().write_parquet(files[4])
    figures = lenskit("measure", tmp_path / "test.parquet", *files)
    for file, theirs in zip(files, figures, strict=True):
        assert_same(theirs, evaluate_picks(mixed.state, split, "test", file).results[0])
    assert figures[3] == figures[4] == pytest.approx(figures[0])
    assert_same(figures[0], mixed.evaluate(split, (5, 10), baselines=False)["GENRE"])


def test_the_script_of_the_guide_prints_our_figures(guide_script, mixed, dataset, tmp_path):
    split = dataset.leave_one_out()
    split.to_lenskit(tmp_path / "exports" / "lenskit")
    write_picks(mixed.state, None, Request(), tmp_path / "picks.parquet", part="test", layout="lenskit", progress=False)
    printed = guide_script("lenskit", "item_knn.py")
    for name, line in zip(("item_knn", "picks"), printed[-2:], strict=True):
        result = evaluate_picks(mixed.state, split, "test", tmp_path / f"{name}.parquet").results[0]
        theirs = {"Recall@10": result.figure("R@10"), "NDCG@10": result.figure("N@10")}
        assert ast.literal_eval(line) == pytest.approx(theirs, abs=1e-6)
