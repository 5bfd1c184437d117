"""What the tests ask RecBole, run by its own interpreter: one command, the answer as JSON on the last line."""

import csv
import json
import sys
from pathlib import Path

from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from recbole.utils.case_study import full_sort_topk

SETTINGS = {
    "metrics": ["Recall", "NDCG", "MRR"], "topk": [5, 10], "valid_metric": "NDCG@10", "metric_decimal_place": 9,
    "use_gpu": False, "show_progress": False, "state": "ERROR", "eval_step": 0, "seed": 0, "embedding_size": 16,
}  # fmt: skip


def config_of(model, folder, **settings):
    files = sorted(str(file) for file in folder.glob("*.yaml"))
    common = {**SETTINGS, "data_path": str(folder.parent), "checkpoint_dir": "saved", **settings}
    return Config(model=model, dataset=folder.name, config_file_list=files, config_dict=common)


def describe(folder, fields):
    """Load atomic files and tell what is in them."""
    columns = {"item": ["item_id", *fields]} if fields else {}
    config = config_of("Pop", folder, load_col={"inter": ["user_id", "item_id", "rating", "timestamp"], **columns})
    data = create_dataset(config)
    inter = data.inter_feat
    return {
        "users": data.user_num - 1,  # the first of each is padding
        "items": data.item_num - 1,
        "interactions": [
            [*data.id2token("user_id", [user]), *data.id2token("item_id", [item]), float(rating)]
            for user, item, rating in zip(inter["user_id"], inter["item_id"], inter["rating"], strict=True)
        ],
        "labels": {name: sorted(set(data.field2id_token[name][1:])) for name in fields},
    }


def run(folder, out, settings):
    """Train models on a benchmark, write the top ten of each user, and return RecBole's own figures."""
    figures = {}
    for name, own in settings.items():
        config = config_of(name, folder, **own)
        init_seed(config["seed"], True)
        data = create_dataset(config)
        train, _, test = data_preparation(config, data)
        model = get_model(name)(config, train.dataset).to(config["device"])
        trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
        trainer.fit(train, None, saved=False, show_progress=False, verbose=False)
        figures[name] = {
            key: float(value)
            for key, value in trainer.evaluate(test, load_best_model=False, show_progress=False).items()
        }
        scores, items = full_sort_topk(test.uid_list, model, test, k=10)
        users, items = data.id2token("user_id", test.uid_list), data.id2token("item_id", items)
        with (out / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["user_id", "item_id", "score"])
            for user, row, ids in zip(users, scores.tolist(), items, strict=True):
                writer.writerows([user, item, score] for item, score in zip(ids, row, strict=True))
    return figures


def main(command, folder, *arguments):
    folder = Path(folder)
    answer = describe(folder, arguments) if command == "describe" else run(
        folder, Path(arguments[0]), json.loads(arguments[1])
    )  # fmt: skip
    print(json.dumps(answer, default=str))


main(*sys.argv[1:])
