"""What the tests ask LensKit, run by its own interpreter: one command, the answer as JSON on the last line."""

import json
import sys
from pathlib import Path

import pandas as pd
from lenskit.basic import PopScorer
from lenskit.batch import recommend
from lenskit.data import Dataset, ItemListCollection
from lenskit.knn import ItemKNNScorer
from lenskit.metrics import NDCG, Recall, RecipRank, RunAnalysis
from lenskit.metrics.ranking import LogRankWeight
from lenskit.pipeline import topn_pipeline

SCORERS = {"popularity": PopScorer(), "item_knn": ItemKNNScorer(k=20, feedback="implicit")}


def describe(folder):
    """Load a data set and tell what is in it."""
    data = Dataset.load(folder)
    items = data.entities("item")
    attributes = {}
    for name in data.schema.entities["item"].attributes:
        attributes[name] = items.attribute(name).arrow().to_pylist()
    matrix = data.interaction_table(format="pandas", original_ids=True)
    return {
        "name": data.name,
        "items": list(data.items.ids()),
        "users": list(data.users.ids()),
        "interactions": json.loads(matrix.to_json(orient="records")),
        "attributes": attributes,
    }


def run(split, out):
    """Train on a split, and write each model's lists in three forms; return LensKit's own figures."""
    train, test = Dataset.load(split / "train_and_validation"), lists(split / "test.parquet")
    figures = {}
    for name, scorer in SCORERS.items():
        pipeline = topn_pipeline(scorer, n=10)
        pipeline.train(train)
        found = recommend(pipeline, [key.user_id for key, _ in test], n=10, n_jobs=1)
        found.save_parquet(out / f"{name}.parquet")
        found.save_parquet(out / f"{name}-flat.parquet", layout="flat")
        found.to_df().drop(columns="rank").to_csv(out / f"{name}.csv", index=False)
        figures[name] = measure(found, test)
    return figures


def measure(found, test):
    """Return the means over users of LensKit's metrics."""
    analysis = RunAnalysis()
    for cut in (5, 10):
        analysis.add_metric(Recall(cut), f"R@{cut}")
        analysis.add_metric(NDCG(cut, weight=LogRankWeight(offset=1)), f"N@{cut}")
        analysis.add_metric(RecipRank(cut), f"MRR@{cut}")
    analysis.add_metric(NDCG(10), "as LensKit discounts")
    return analysis.measure(found, test).list_summary()["mean"].to_dict()


def lists(file):
    """Load the lists of users, from LensKit's own layout or from a table of picks."""
    table = pd.read_parquet(file)
    if "items" in table.columns:
        return ItemListCollection.load_parquet(file)
    return ItemListCollection.from_df(table[["user_id", "item_id", "rank", "score"]], "user_id")


def main(command, *arguments):
    if command == "describe":
        answer = [describe(folder) for folder in arguments]
    elif command == "run":
        answer = run(Path(arguments[0]), Path(arguments[1]))
    else:
        test, *files = arguments
        answer = [measure(lists(Path(file)), lists(Path(test))) for file in files]
    print(json.dumps(answer, default=lambda value: value.item()))


main(*sys.argv[1:])
