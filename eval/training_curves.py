"""How good is how many minutes of training? Our language model beside SASRec, from what the leaderboard kept.

    python eval/training_curves.py --data ml-100k [--results eval/results]

Draws NDCG@10 on validation cases over the minutes of training (validation included) of each seed of ours and of
SASRec's best trial, as ``eval/leaderboard.py`` left them in its JSON, and writes ``training_DATA`` as ``.json`` and
``.png`` beside that. Where several trainings are averaged, the first and the means are drawn. Ours is the language
model alone, without what it is blended with. All are validated on the same users and timed by the clock; curves that
are not, such as of an older leaderboard, are refused. What is made before the first step (ours: codes and the lessons
of its teacher) does not count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaderboard import told

from genre_gen.errors import DataError

OURS, PEER = "GENRE, LLM alone", "sasrec"
AGAIN = "delete the folders of its runs of genre and sasrec, and run eval/leaderboard.py again"


@dataclass(frozen=True)
class Curve:
    """How one training went.

    Attributes:
        points: ``seconds`` by the clock, and ``ndcg@10``.
        sample: of the users validated on: how many, and a fingerprint; None where that is not known.
    """

    points: list[dict[str, float]]
    sample: Mapping[str, Any] | None


def curves(rows: list[Mapping[str, Any]]) -> dict[str, Curve]:
    """Return name of the curve -> the curve; raises DataError where SASRec's has no times by the clock."""
    found: dict[str, Curve] = {}
    for row in rows:
        if row["name"].startswith(OURS):
            for seed, note in zip(row["seeds"], row["notes"], strict=True):
                if note.get("log"):  # of several trainings that are averaged the first one's, and the means
                    kept = [entry for entry in note["log"] if entry.get("run", 1) == 1 or "averaged" in entry]
                    found[f"{row['name']}, seed {seed}"] = Curve(timed(kept, "seconds"), note.get("validated_on"))
        elif row["name"] == PEER:
            note = row["notes"][0]
            best = max(note["trials"], key=lambda trial: trial["N@10"])
            if best.get("log"):
                found[PEER] = Curve(timed(best["log"], "wall_seconds"), note.get("validated_on"))
    return found


def timed(log: list[Mapping[str, float]], clock: str) -> list[dict[str, float]]:
    """Return the points of a log, timed by that entry; raises DataError where it lacks it."""
    if any(clock not in entry for entry in log):
        raise DataError(f"{PEER} is timed by what its thread has computed, and ours by the clock; {AGAIN}")
    return [{"seconds": entry[clock], "ndcg@10": entry["ndcg@10"]} for entry in log]


def validated_on(found: Mapping[str, Curve]) -> int:
    """Return on how many users all curves are validated; raises DataError where they are not the same ones."""
    unknown = [name for name, curve in found.items() if curve.sample is None]
    if unknown:
        raise DataError(f"{', '.join(unknown)}: nothing says on which users they are validated; {AGAIN}")
    samples = {name: (curve.sample["users"], curve.sample["sample"]) for name, curve in found.items() if curve.sample}
    if len(set(samples.values())) > 1:
        told_of = ", ".join(f"{name} on {users:,}" for name, (users, _) in samples.items())
        raise DataError(f"the curves are validated on different users ({told_of}); {AGAIN}")
    return int(next(iter(samples.values()))[0])


def draw(found: Mapping[str, Curve], users: int, title: str, file: Path) -> None:
    """Draw the curves into a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, curve in found.items():
        minutes = [point["seconds"] / 60 for point in curve.points]
        axes.plot(minutes, [point["ndcg@10"] for point in curve.points], "." if name == PEER else "o-", label=name)
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
        found = curves(content["rows"])
        if not found:
            raise DataError(f"{source} holds no curve; run eval/leaderboard.py with the models genre and sasrec")
        publish(found, content, given.results / f"training_{Path(given.data).name}")


def publish(found: Mapping[str, Curve], content: Mapping[str, Any], target: Path) -> None:
    """Write JSON and picture, and print each curve's best point; raises DataError for curves of different users."""
    users = validated_on(found)
    points = {name: curve.points for name, curve in found.items()}
    text = json.dumps({"validation_users": users, "clock": "wall", "curves": points}, indent=1)
    target.with_suffix(".json").write_text(text + "\n", "utf-8")
    draw(found, users, f"{content['data']}, {content['split'].removesuffix(', test')}", target.with_suffix(".png"))
    for name, one in points.items():
        best = max(one, key=lambda point: point["ndcg@10"])
        print(f"{name}: best NDCG@10 {best['ndcg@10']:.4f} after {best['seconds'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
