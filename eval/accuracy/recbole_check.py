"""Does the protocol agree with another library's? RecBole's Pop, ItemKNN, EASE and BPR and ours on one split.

    python -m eval.accuracy.recbole_check --data ml-100k --python PATH/TO/PYTHON

RecBole requires NumPy below 2, so it is installed in an environment of its own, whose interpreter ``--python`` names:

    python3.11 -m venv recbole_env && recbole_env/bin/pip install recbole "torch>=2.6,<2.14" "numpy<2" "ray<=2.6"

It gets our leave-one-out split as three files (its own split breaks ties of timestamps differently). As in RecBole, all
models here learn from the training part only, score by it, and rank the test items among all items outside the training
and validation part, so these figures are lower than the leaderboard's. EASE and ItemKNN have the same formulas in both
and must agree to a few ranks of ties; ItemKNN keeps all neighbours, since RecBole chooses them from the other side.
Popularity may differ by ties, which RecBole breaks by position and we count half. BPR is random, has different code and
step sizes in both, and is not tuned.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eval.bench.cases import Bench
from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from eval.models.implicit_models import BPR
from genre_gen.collaborative import Ease, ItemKNN, Popularity
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import Split
from genre_gen.errors import ConfigError
from genre_gen.evaluation.protocol import Scorer, evaluate_scorers

COLUMNS = ("R@5", "R@10", "N@5", "N@10")
L2, NEIGHBOURS, FACTORS, EPOCHS = 200.0, 100_000, 64, 50

DRIVER = """
import json, sys
from pathlib import Path
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

folder, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
common = {
    "data_path": str(folder), "checkpoint_dir": str(folder / "saved"), "benchmark_filename": ["train", "valid", "test"],
    "load_col": {"inter": ["user_id", "item_id"]}, "eval_args": {"order": "RO", "group_by": "user", "mode": "full"},
    "metrics": ["Recall", "NDCG"], "topk": [5, 10], "valid_metric": "NDCG@10", "metric_decimal_place": 6,
    "use_gpu": False, "show_progress": False, "state": "ERROR", "seed": 0, "eval_step": 0,
}
figures = {}
for name, settings in asked.items():
    config = Config(model=name, dataset="check", config_dict={**common, **settings})
    init_seed(config["seed"], True)
    dataset = create_dataset(config)
    train, valid, test = data_preparation(config, dataset)
    model = get_model(name)(config, train.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
    trainer.fit(train, None, saved=False, show_progress=False, verbose=False)
    figures[name] = dict(trainer.evaluate(test, load_best_model=False, show_progress=False))
(folder / "figures.json").write_text(json.dumps({n: {k: float(v) for k, v in f.items()} for n, f in figures.items()}))
"""
SETTINGS: dict[str, dict[str, Any]] = {
    "Pop": {"epochs": 1, "train_batch_size": 1},  # it counts an item once per batch, so a batch must be one interaction
    "ItemKNN": {"k": NEIGHBOURS, "shrink": 0.0, "epochs": 1},
    "EASE": {"reg_weight": L2, "epochs": 1},
    "BPR": {"embedding_size": FACTORS, "epochs": EPOCHS},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both and write the table; exit code 1 if RecBole fails."""
    parser = new_parser(__doc__, "data")
    parser.add_argument("--python", type=Path, required=True, help="interpreter of an environment with RecBole")
    parser.add_argument("--minutes", type=float, default=30.0, help="time limit of RecBole")
    with script(parser, arguments) as options:
        version = recbole_version(options.python)
        bench = Bench.open(options.data)
        theirs = run_recbole(options.python, bench.split, options.minutes)
        ours = run_ours(bench)
        models = {name: {"recbole": theirs[name], "ours": ours[name]} for name in SETTINGS}
        result = {"recbole": version, "settings": SETTINGS, "models": models}
        text = markdown(result)
        record(options.out, "recbole_check", bench.name, result, text)
        print(text)


def recbole_version(python: Path) -> str:
    """Return RecBole's version; raises ConfigError if the interpreter or RecBole is missing."""
    command = [str(python), "-c", "import recbole; print(recbole.__version__)"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ConfigError(f"--python {python} does not run ({problem}); name an interpreter with RecBole") from None
    if done.returncode:
        raise ConfigError(f"RecBole is not installed for --python {python} ({last_line(done.stderr)})")
    return last_line(done.stdout)


def run_recbole(python: Path, split: Split, minutes: float) -> dict[str, dict[str, float]]:
    """Return RecBole's figures by model and column; raises ConfigError if it fails."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_split(folder / "check", split)
        (folder / "driver.py").write_text(DRIVER, encoding="utf-8")
        command = [str(python.absolute()), "driver.py", str(folder), json.dumps(SETTINGS)]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=False, timeout=60 * minutes
            )
        except subprocess.TimeoutExpired:
            raise ConfigError(f"RecBole took more than {minutes:g} minutes; give it more with --minutes") from None
        if done.returncode:
            raise ConfigError(f"RecBole failed: {last_line(done.stderr)}")
        answer = json.loads((folder / "figures.json").read_text("utf-8"))
    letters = {"R": "recall", "N": "ndcg"}
    return {
        name: {column: figures[f"{letters[column[0]]}{column[1:]}"] for column in COLUMNS}
        for name, figures in answer.items()
    }


def write_split(folder: Path, split: Split) -> None:
    """Write the three parts as RecBole's atomic files ``check.train.inter`` and so on."""
    folder.mkdir(parents=True)
    owners = np.repeat(split.train.users, np.diff(split.train.offsets))
    parts = {"train": list(zip(owners, split.train.rows.tolist(), strict=True))}
    for part, cases in (("valid", split.validation), ("test", split.test)):
        parts[part] = [(case.history.user, case.target) for case in cases]
    for part, pairs in parts.items():
        lines = ["user_id:token\titem_id:token", *(f"{user}\t{row}" for user, row in pairs)]
        (folder / f"check.{part}.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_ours(bench: Bench) -> dict[str, dict[str, float]]:
    """Return the figures of our counterparts, which weight all interactions equally, like RecBole's."""
    train = bench.split.train
    models: dict[str, Model] = {
        "Pop": Popularity(),
        "ItemKNN": ItemKNN(NEIGHBOURS, shrink=0.0, recency=0.0),
        "EASE": Ease(L2, recency=0.0),
        "BPR": BPR(FACTORS, iterations=EPOCHS),
    }
    scorers = {name: trained_view(model.fit(train), train) for name, model in models.items()}
    report = evaluate_scorers(scorers, bench.split.test, train.n_items, (5, 10))
    return {name: {column: report[name].figure(column) for column in COLUMNS} for name in models}


class Model(Protocol):
    """The interface of the counterparts."""

    def fit(self, interactions: Interactions) -> Model:
        """Learn."""

    def score(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """Score all items."""


def trained_view(model: Model, train: Interactions) -> Scorer:
    """Return a scorer that passes only each user's training interactions to the model, as in RecBole."""

    def score(histories: Sequence[History]) -> NDArray[np.float32]:
        return model.score([train.history(history.user or "") for history in histories])

    return score


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    rows = [
        (name, by, *(f"{figures[column]:.4f}" for column in COLUMNS))
        for name, both in result["models"].items()
        for by, figures in both.items()
    ]
    about = f"Leave-one-out, RecBole {result['recbole']} and ours, fitted on the training part"
    return f"{about}\n\n{table(('model', 'by', *COLUMNS), rows, words=2)}"


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no output"


if __name__ == "__main__":
    main()
