"""How good are models after how many minutes? Ours, and SASRec on the same validation users.

    python -m eval.accuracy.training_curves --data ml-100k [--results runs/eval]

Plots NDCG@10 on validation cases over the minutes of training (validation included). Our curves are the seeds in the
leaderboard's JSON, for the language model alone. SASRec is trained here with its best settings of that JSON, because
the leaderboard validated it on more users; both curves have the same users. The minutes are wall-clock time, so the
machine should be idle. Work before the first step (ours: codes and soft targets) is not included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.bench.cases import Bench
from eval.bench.peers import PEERS
from eval.bench.plots import new_figure, save
from eval.bench.results import read, record, table
from eval.bench.script import LOCAL, RESULTS, new_parser, script
from genre_gen.data.splits import sample_cases
from genre_gen.errors import DataError
from genre_gen.evaluation.baselines import LLM_ALONE

STEM = "training"
PEER = "sasrec"

Points = list[dict[str, float]]


def ours(rows: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Return name of a curve of ours -> its points, ``seconds`` and ``ndcg@10``."""
    curves: dict[str, Points] = {}
    for row in rows:
        for seed, note in zip(row["seeds"], row["notes"], strict=True) if row["name"].startswith(LLM_ALONE) else ():
            if note.get("log"):
                curves[f"{row['name']}, seed {seed}"] = [timed(entry, "seconds") for entry in note["log"]]
    return curves


def best_settings(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the settings of SASRec's best trial, or None."""
    trials = [trial for row in rows if row["name"] == PEER for trial in row["notes"][0]["trials"]]
    return dict(max(trials, key=lambda trial: trial["N@10"])["settings"]) if trials else None


def train_peer(bench: Bench, settings: Mapping[str, Any]) -> Points:
    """Train SASRec and return its curve on our validation users."""
    model = PEERS[PEER].make(settings, seed=0)
    cases = sample_cases(bench.split.validation, bench.domain.training.validation_users)
    model.fit(bench.split.train, cases, repeat=bench.domain.repeat)
    return [timed(entry, "wall_seconds") for entry in model.log]


def timed(entry: Mapping[str, float], clock: str) -> dict[str, float]:
    """Return a point of a curve, from an entry of a log."""
    return {"seconds": entry[clock], "ndcg@10": entry["ndcg@10"]}


def draw(curves: Mapping[str, Points], users: int, title: str, file: Path) -> None:
    """Draw the curves."""
    figure, axes = new_figure(7, 4.2)
    for name, points in curves.items():
        minutes = [point["seconds"] / 60 for point in points]
        axes.plot(minutes, [point["ndcg@10"] for point in points], "." if name == PEER else "o-", label=name)
    axes.set(xlabel="minutes of training and validation, by the clock", title=title)
    axes.set_ylabel(f"NDCG@10, the same {users:,} validation users")
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Plot the curves of one data set; exit code 1 if ours or SASRec's is missing."""
    parser = new_parser(__doc__, "data")
    parser.add_argument("--results", type=Path, default=LOCAL, help=f"folder of leaderboard.json [{LOCAL}]")
    with script(parser, arguments) as options:
        bench = Bench.open(options.data)
        source, key = options.results / "leaderboard.json", f"{bench.name}, {bench.split_name}"
        entries = read(source) if source.is_file() else {}
        if key not in entries:
            raise DataError(f"{source} has no entry {key!r}; run the leaderboard first, or give --results {RESULTS}")
        rows = entries[key]["rows"]
        curves, settings = ours(rows), best_settings(rows)
        if not curves or settings is None:
            raise DataError(f"{source} lacks a curve; run the leaderboard with the models genre and sasrec")
        curves[PEER] = train_peer(bench, settings)
        users = min(len(bench.split.validation), bench.domain.training.validation_users)
        content = {"validation_users": users, "clock": "wall", "curves": curves}
        text = markdown(content)
        record(options.out, STEM, bench.name, content, text)
        draw(curves, users, key, options.out / f"{STEM}_{bench.name}.png")
        print(text)


def markdown(content: Mapping[str, Any]) -> str:
    """Return a table of each curve's best point."""
    rows = []
    for name, points in content["curves"].items():
        best = max(points, key=lambda point: point["ndcg@10"])
        rows.append((name, f"{best['ndcg@10']:.4f}", f"{best['seconds'] / 60:.1f}"))
    head = ("model", "best N@10", "after minutes")
    return f"{content['validation_users']:,} validation users.\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
