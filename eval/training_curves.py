"""How good after how many minutes: ours, and SASRec beside it.

    python eval/training_curves.py --data ml-100k [--results eval/results]

Draws NDCG@10 on validation cases over the minutes of training (validation included). Ours are the seeds that
``eval/leaderboard.py`` has left in its JSON, the language model alone, without what it is blended with; where several
trainings are averaged, the first and the means are drawn. SASRec is trained here, with the settings that were best in
that JSON, since there it was validated on more users: both curves are of the same ones. They go by the clock, so the
machine should do nothing else. What is made before the first step (ours: codes and the lessons of its teacher) does not
count. Writes ``training_DATA`` as ``.json`` and ``.png`` beside the leaderboard's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leaderboard import PEERS, Bench, told

from genre_gen.data.splits import sample_cases
from genre_gen.errors import DataError

OURS, PEER = "GENRE, LLM alone", "sasrec"

Points = list[dict[str, float]]


def ours(rows: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Return name of a curve of ours -> its points, ``seconds`` and ``ndcg@10``."""
    found: dict[str, Points] = {}
    for row in rows:
        for seed, note in zip(row["seeds"], row["notes"], strict=True) if row["name"].startswith(OURS) else ():
            if note.get("log"):  # of several trainings that are averaged the first one's, and the means
                kept = [entry for entry in note["log"] if entry.get("run", 1) == 1 or "averaged" in entry]
                found[f"{row['name']}, seed {seed}"] = [timed(entry, "seconds") for entry in kept]
    return found


def best_settings(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the settings of SASRec's best trial; None where there is none."""
    trials = [trial for row in rows if row["name"] == PEER for trial in row["notes"][0]["trials"]]
    return dict(max(trials, key=lambda trial: trial["N@10"])["settings"]) if trials else None


def train_peer(bench: Bench, settings: Mapping[str, Any]) -> Points:
    """Train SASRec and return its curve, on the users that ours is validated on."""
    model = PEERS[PEER].make(settings, seed=0)
    cases = sample_cases(bench.split.validation, bench.domain.training.validation_users)
    model.fit(bench.split.train, cases, repeat=bench.domain.repeat)
    return [timed(entry, "wall_seconds") for entry in model.log]


def timed(entry: Mapping[str, float], clock: str) -> dict[str, float]:
    """Return a point of a curve, from an entry of a log."""
    return {"seconds": entry[clock], "ndcg@10": entry["ndcg@10"]}


def draw(found: Mapping[str, Points], users: int, title: str, file: Path) -> None:
    """Draw the curves into a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, points in found.items():
        minutes = [point["seconds"] / 60 for point in points]
        axes.plot(minutes, [point["ndcg@10"] for point in points], "." if name == PEER else "o-", label=name)
    axes.set(xlabel="minutes of training and validation, by the clock", title=title)
    axes.set_ylabel(f"NDCG@10, the same {users:,} validation users")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150)
    plt.close(figure)


def main() -> None:
    """Draw the curves of one data set; exit code 1 where there are none, or none to compare."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", required=True, help="as given to eval/leaderboard.py")
    options.add_argument("--results", type=Path, default=Path("eval/results"), help="folder of the leaderboard's JSON")
    given = options.parse_args()
    with told():
        source = given.results / f"leaderboard_{Path(given.data).name}.json"
        if not source.is_file():
            raise DataError(f"{source} is not there; run eval/leaderboard.py --data {given.data} first")
        content = json.loads(source.read_text("utf-8"))
        found, settings = ours(content["rows"]), best_settings(content["rows"])
        if not found or settings is None:
            raise DataError(f"{source} lacks a curve; run eval/leaderboard.py with the models genre and sasrec")
        bench = Bench.open(given.data, "leave-one-out", given.results)
        found[PEER] = train_peer(bench, settings)
        publish(found, bench, given.results / f"training_{Path(given.data).name}")


def publish(found: Mapping[str, Points], bench: Bench, target: Path) -> None:
    """Write JSON and picture, and print each curve's best point."""
    users = min(len(bench.split.validation), bench.domain.training.validation_users)
    text = json.dumps({"validation_users": users, "clock": "wall", "curves": found}, indent=1)
    target.with_suffix(".json").write_text(text + "\n", "utf-8")
    draw(found, users, f"{bench.name}, {bench.split_name}", target.with_suffix(".png"))
    for name, points in found.items():
        best = max(points, key=lambda point: point["ndcg@10"])
        print(f"{name}: best NDCG@10 {best['ndcg@10']:.4f} after {best['seconds'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
