"""How good is how many minutes of training? Our language model beside SASRec, from what the leaderboard kept.

    python eval/training_curves.py --data ml-100k [--results eval/results]

Draws NDCG@10 on validation cases over the seconds of training (validation included) of each seed of ours and of
SASRec's best trial, as ``eval/leaderboard.py`` left them in its JSON, and writes ``training_DATA`` as ``.json`` and
``.png`` beside that. Where several trainings are averaged, the first and the means are drawn. Ours is the language
model alone, without what it is blended with; it is validated on at most ``training.validation_users`` cases, SASRec on
at most 5,000.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OURS, PEER = "GENRE, LLM alone", "sasrec"


def curves(rows: list[Mapping[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Return name of the curve -> its points, ``seconds`` and ``ndcg@10``."""
    found: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        if row["name"].startswith(OURS):
            pairs = zip(row["seeds"], row["notes"], strict=True)
            logs = {f"{row['name']}, seed {seed}": note.get("log") for seed, note in pairs}
        elif row["name"] == PEER:
            best = max(row["notes"][0]["trials"], key=lambda trial: trial["N@10"])
            logs = {PEER: best.get("log")}
        else:
            continue
        for name, log in logs.items():
            if log:  # of several trainings that are averaged the first one's, and the means
                kept = [entry for entry in log if entry.get("run", 1) == 1 or "averaged" in entry]
                found[name] = [{key: entry[key] for key in ("seconds", "ndcg@10")} for entry in kept]
    return found


def draw(found: Mapping[str, list[dict[str, float]]], title: str, file: Path) -> None:
    """Draw the curves into a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, points in found.items():
        minutes = [point["seconds"] / 60 for point in points]
        axes.plot(minutes, [point["ndcg@10"] for point in points], "." if name == PEER else "o-", label=name)
    axes.set(xlabel="minutes of training", ylabel="NDCG@10, validation", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150)
    plt.close(figure)


def main() -> None:
    """Draw the curves of one data set."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", required=True, help="as given to eval/leaderboard.py")
    options.add_argument("--results", type=Path, default=Path("eval/results"), help="folder of the leaderboard's JSON")
    given = options.parse_args()
    source = given.results / f"leaderboard_{Path(given.data).name}.json"
    if not source.is_file():
        sys.exit(f"error: {source} is not there; run eval/leaderboard.py --data {given.data} first")
    content = json.loads(source.read_text("utf-8"))
    found = curves(content["rows"])
    if not found:
        sys.exit(f"error: {source} holds no curve; run eval/leaderboard.py with the models genre and sasrec")
    target = given.results / f"training_{Path(given.data).name}"
    target.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    draw(found, f"{content['data']}, {content['split'].removesuffix(', test')}", target.with_suffix(".png"))
    for name, points in found.items():
        best = max(points, key=lambda point: point["ndcg@10"])
        print(f"{name}: best NDCG@10 {best['ndcg@10']:.4f} after {best['seconds'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
