"""What does each part of training bring? Our language model trained again with one thing changed at a time.

    python -m eval.accuracy.ablations --data amazon-scientific --group training [--only "lora" ...] [--minutes 10]
        [--seeds 1] [--set training.epochs=2] [--users 500]

The groups and their changes are in ``eval/accuracy/ablations.toml``. Test items are not used: the split is
leave-one-out without each user's last item. A run is stopped and blended on the validation item, tested on the item
after it, and not refit. Each run is a process of its own. Its results are kept in ``--runs`` and reused if data and
settings are the same.

The table has NDCG@10 of the language model alone and of the blend, and the difference to the unchanged run with its 95
% interval. The p-value is that of the paired permutation test, corrected by Holm within a column. Seconds of training
and scoring, and memory, follow. Intervals and p-values are over users only, without the variance between seeds; with
several ``--seeds`` the unchanged run's standard deviation over them is reported.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.bench.cases import ONE_STEP_BACK, Bench
from eval.bench.jobs import MEMORY, OUR_MODEL, SCORE, TRAIN, Job, SeededResult, result_of, run_all
from eval.bench.plots import new_figure, save
from eval.bench.results import record, table
from eval.bench.script import assignments, new_parser, say, script
from eval.bench.tuner import HEADLINE
from genre_gen.errors import GenreGenError, UsageError
from genre_gen.evaluation.baselines import GENRE, LLM_ALONE
from genre_gen.evaluation.significance import holm, interval, paired_test

STEM = "ablations"
BASE = "unchanged"
NO_REFIT = {"training.refit": "none"}
FILE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Row:
    """The results of one variant.

    Attributes:
        name: the variant's name.
        values: row of the leaderboard -> each user's NDCG@10, the mean over seeds, ``[n_users]``.
        costs: costs of the language model alone, the mean over seeds: seconds of training, seconds of scoring all
            users,
            and the peak of memory in MB.
        log: the first seed's validations.
        per_seed: row of the leaderboard -> the figure of each seed.
    """

    name: str
    values: Mapping[str, NDArray[np.float64]]
    costs: Mapping[str, float]
    log: Sequence[Mapping[str, float]]
    per_seed: Mapping[str, Sequence[float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the missing runs of a group, and write its table."""
    with script(parser(), arguments) as options:
        bench = Bench.open(options.data, ONE_STEP_BACK, options.runs, options.users)
        variants = differing(bench, chosen(options.group, options.only, assignments(options.set)))
        failed: list[str] = []
        for name, changes in variants.items():
            failed += run_all(bench, jobs(options, name, changes))
        rows = [row for name, changes in variants.items() if (row := read(bench, jobs(options, name, changes), name))]
        if not rows or rows[0].name != BASE:
            raise UsageError(f"{bench.name}, {options.group}: there is no result of the unchanged run; run it")
        print(publish(rows, bench, options))
        raise SystemExit(1 if failed else 0)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = new_parser(__doc__, "data", "minutes", "set")
    made.add_argument("--group", required=True, help="a group of ablations.toml")
    made.add_argument("--only", nargs="+", metavar="NAME", help="these variants, next to the unchanged one")
    made.add_argument("--seeds", type=int, default=1, help="runs of each variant")
    made.add_argument("--users", type=int, help="number of validation and test users, for slow scoring; default all")
    made.add_argument("--runs", type=Path, default=Path("runs/leaderboard"), help="folder of single results and logs")
    return made


def chosen(group: str, only: Sequence[str] | None, common: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings of the unchanged run and of each variant; raises UsageError for an unknown name."""
    groups = tomllib.loads(FILE.read_text("utf-8"))
    if group not in groups:
        raise UsageError(f"no group {group}; there are: {', '.join(groups)}")
    variants: dict[str, dict[str, Any]] = groups[group]["variants"]
    unknown = sorted(set(only or ()) - set(variants))
    if unknown:
        raise UsageError(f"{group}: no variant {', '.join(unknown)}; there are: {', '.join(variants)}")
    base = NO_REFIT | groups[group].get("base", {}) | dict(common)
    return {BASE: base, **{name: base | changes for name, changes in variants.items() if not only or name in only}}


def differing(bench: Bench, variants: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the variants that change something of this domain, and the unchanged one."""
    same = bench.domain.changed(variants[BASE]).settings()
    return {
        name: changes
        for name, changes in variants.items()
        if name == BASE or bench.domain.changed(changes).settings() != same
    }


def jobs(options: argparse.Namespace, name: str, changes: Mapping[str, Any]) -> list[Job]:
    """Return the runs of one variant."""
    label = f"{options.group} {name}"
    return [Job(OUR_MODEL, seed, options.minutes, changes, label) for seed in range(options.seeds)]


def read(bench: Bench, runs: Sequence[Job], name: str) -> Row | None:
    """Return the figures of a variant's runs, or None if one is missing or has other settings."""
    try:
        results = [result for job in runs if (result := result_of(bench, job)) is not None]
    except GenreGenError:  # there is no first seed with the settings
        results = []
    if len(results) < len(runs):
        say(f"{name}: left out, since it has no result for these data and settings")
        return None
    values, per_seed = {}, {}
    for number, row in enumerate(results[0]["rows"]):
        ranks = np.stack([result["ranks"][f"test_{number}"].astype(np.float64) for result in results])
        values[row] = SeededResult(row, ranks).values(HEADLINE)
        per_seed[row] = [SeededResult(row, of_seed[None]).figure(HEADLINE) for of_seed in ranks]
    number = results[0]["rows"].index(LLM_ALONE)
    costs = {key: float(np.mean([each["costs"][number][key] for each in results])) for key in (TRAIN, SCORE, MEMORY)}
    return Row(name, values, costs, results[0]["notes"]["log"], per_seed)


# --- the table --------------------------------------------------------------------------------------------------------


def publish(rows: Sequence[Row], bench: Bench, options: argparse.Namespace) -> str:
    """Write JSON, table and picture; returns the table."""
    compared = {column: compare(rows, column) for column in (LLM_ALONE, GENRE)}
    seeds = {column: rows[0].per_seed[column] for column in compared}
    spread = {column: float(np.std(figures, ddof=1)) for column, figures in seeds.items() if len(figures) > 1}
    content = {
        "data": bench.name,
        "group": options.group,
        "split": ONE_STEP_BACK,
        "set": options.set,
        "minutes": options.minutes,
        "seeds": options.seeds,
        **({"sd_over_seeds": spread} if spread else {}),
        "n_users": len(rows[0].values[GENRE]),
        "rows": [
            {"name": row.name, **row.costs, "log": list(row.log)}
            | {column: figures[number] for column, figures in compared.items()}
            for number, row in enumerate(rows)
        ],
    }
    text = markdown(content)
    sample = "" if bench.users is None else f", {bench.users} users"
    record(options.out, STEM, f"{bench.name}, {options.group}{sample}", content, text)
    draw(content, options.out / f"{STEM}_{bench.name}_{options.group}.png")
    return text


def compare(rows: Sequence[Row], column: str) -> list[dict[str, Any]]:
    """Return each row's figure, and how it differs from the first row's."""
    base = rows[0].values[column]
    figures: list[dict[str, Any]] = [{HEADLINE: float(row.values[column].mean())} for row in rows]
    p_values = [paired_test(row.values[column], base) for row in rows[1:]]
    for figure, row, p in zip(figures[1:], rows[1:], holm(p_values) if p_values else [], strict=True):
        difference = row.values[column] - base
        figure |= {"difference": float(difference.mean()), "interval": list(interval(difference)), "p_holm": float(p)}
    return figures


def markdown(content: Mapping[str, Any]) -> str:
    """Return the table."""
    caption = f"{content['data']}, {content['split']}, {content['group']}: {HEADLINE}, {content['n_users']} users"
    head = ["", "LLM alone", "difference", "p", "blend", "difference", "p", TRAIN, "ms a user", MEMORY]
    lines = []
    for row in content["rows"]:
        costs = (f"{row[TRAIN]:,.0f}", f"{1000 * row[SCORE] / content['n_users']:.2f}", f"{row[MEMORY]:,.0f}")
        lines.append([row["name"], *cells(row[LLM_ALONE]), *cells(row[GENRE]), *costs])
    notes = f"Seeds of each: {content['seeds']}. Intervals by bootstrap over users, p by Holm; costs of the LLM alone."
    return f"{caption}\n\n{table(head, lines)}\n\n{notes} {seed_note(content)}"


def seed_note(content: Mapping[str, Any]) -> str:
    """Return a note on the variance between seeds, which intervals and p-values do not include."""
    if "sd_over_seeds" not in content:
        return "Intervals and p are over users alone: each training was run once and counts as exact."
    alone, blend = (content["sd_over_seeds"][column] for column in (LLM_ALONE, GENRE))
    return (
        "Intervals and p are over users alone: the mean over seeds counts as exact. The unchanged figure's standard "
        f"deviation over seeds is {alone:.4f} (LLM alone) and {blend:.4f} (blend)."
    )


def cells(figure: Mapping[str, Any]) -> Iterator[str]:
    """Yield a figure, its difference with the interval, and its p-value."""
    yield f"{figure[HEADLINE]:.4f}"
    if "difference" not in figure:
        yield from ("", "")
        return
    low, high = figure["interval"]
    yield f"{figure['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
    yield f"{figure['p_holm']:.3f}"


def draw(content: Mapping[str, Any], file: Path) -> None:
    """Draw the differences with their intervals."""
    rows = content["rows"][:0:-1]
    figure, axes = new_figure(8, 1.6 + 0.45 * len(rows))
    for column, shift, colour, said in ((LLM_ALONE, 0.12, "C0", "LLM alone"), (GENRE, -0.12, "C1", "blend")):
        middle = np.array([row[column]["difference"] for row in rows])
        ends = np.array([row[column]["interval"] for row in rows]).reshape(-1, 2).T
        heights = np.arange(len(rows)) + shift
        axes.errorbar(middle, heights, xerr=np.abs(ends - middle), fmt="o", color=colour, label=said, capsize=2)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(np.arange(len(rows)), [row["name"] for row in rows])
    unchanged = content["rows"][0]
    figures = f"{unchanged[LLM_ALONE][HEADLINE]:.4f} alone, {unchanged[GENRE][HEADLINE]:.4f} blended"
    axes.set(xlabel=f"{HEADLINE} less that of the unchanged run ({figures})", title=content["data"])
    axes.grid(alpha=0.3, axis="x")
    axes.legend()
    save(figure, file)


if __name__ == "__main__":
    main()
