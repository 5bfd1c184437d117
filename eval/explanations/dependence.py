"""Do explanations cite what picks depend on? Cited items are removed, and the pick is scored again.

    python -m eval.explanations.dependence runs/movies [--users 200] [-n 5] [--style llm] [--attribution 0]

For each explanation: whether it is true (as in ``eval.explanations.truth``); whether the history items that it cites
are those that the pick depends on most, by leaving out each of the last 50; and how the pick's score changes if they
are removed, or if only they are kept, compared with as many random items. Then the usual measures of explanations: FMR,
FCR, DIV and USR (Li et al., NETE, CIKM 2020; PETER, ACL 2021) with an attribute value as the feature, and distinct-n
(Li et al., NAACL 2016); how much an explanation changes with another user's history, and how little with one more
unrelated item. No language model is used as a judge.

A measure is reported only if two controls score worse: explanations of other users (*shuffled*), and one explanation
for all users (*generic*). Otherwise its value is null, with a note in the table.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.bench.plots import BLUE, GREY, new_figure, save
from eval.bench.results import finite, record, table
from eval.bench.script import at_least_one, new_parser, script
from eval.explanations.measures import User, allowed_of, changes_of, cited_items, rates, variety
from eval.explanations.truth import STYLES, Said, answers, load, measured
from genre_gen.collaborative import SVD
from genre_gen.data.history import History
from genre_gen.evaluation.significance import interval
from genre_gen.explain.attribution import RECENT, Attributor
from genre_gen.recommender.state import RecommenderState

DRAWS = 4  # random sets of items, for each number of items
SAMPLES = 2000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write table and picture."""
    parser = new_parser(__doc__, "run")
    parser.add_argument("--users", type=int, default=200, help="number of users, spread over the data")
    parser.add_argument("--scored", type=int, default=60, help="number of these users whose picks are scored again")
    parser.add_argument("-n", type=int, default=5, help="picks per user")
    parser.add_argument("--style", choices=STYLES, default="template", help="style of explanations")
    parser.add_argument("--attribution", type=int, help="[explain] attribution [the domain's]; 0: evidence only")
    parser.add_argument("--know", help="domain whose [knowledge] is added to the run [as it was saved]")
    with script(parser, arguments) as options:
        at_least_one(options, "users", "scored", "n")
        changes = {"explain.style": options.style, "explain.attribution": options.attribution}
        changed = {key: value for key, value in changes.items() if value is not None}
        state = load(options.run, options.know, changed)
        result = finite(evaluated(state, options.users, options.scored, options.n))
        text = markdown(result)
        record(options.out, "explanation_dependence", options.run.name, result, text)
        draw(result, options.out / f"explanation_dependence_{options.run.name}.png")
        print(text)


def evaluated(state: RecommenderState, users: int, scored: int, n: int) -> dict[str, Any]:
    """Return all figures of ``n`` picks each of ``users`` users; picks of ``scored`` of these are scored again."""
    usable = [history for history in state.histories.histories() if len(history) > 1]
    chosen = usable[:: max(1, len(usable) // users)][:users]
    said, speed = explained(state, chosen, n)
    said = [picks for picks in said if picks]
    attributor, rng = state.attributor, np.random.default_rng(0)
    measures = [measure(state, attributor, picks, rng) for picks in said[:: max(1, len(said) // scored)][:scored]]
    return {
        "data": state.domain.name,
        "items": len(state.catalog),
        "users": len(said),
        "picks": sum(map(len, said)),
        "users_scored_again": len(measures),
        "style": state.domain.explain.style,
        "attribution": state.domain.explain.attribution,
        "blend": dict(state.blend.weights),
        "speed": speed,
        "grounding": measured(state, [picks for user in said for picks in user]),
        "dependence": dependence(measures),
        "measures": [*rates(state, measures), *variety(state, said), *changes_of(state, measures)],
    }


def explained(
    state: RecommenderState, histories: Sequence[History], n: int
) -> tuple[list[list[Said]], dict[str, float]]:
    """Return each user's explained picks, and the speed of explaining (without the time of the picks)."""
    svd = state.members.get("svd")
    answers(state, histories[:1], n, explain=True)  # indexes are built once
    begin = time.perf_counter(), time.process_time()
    bare = answers(state, histories, n)
    middle = time.perf_counter(), time.process_time()
    explained_picks = answers(state, histories, n, explain=True)
    end = time.perf_counter(), time.process_time()
    wall, cpu = ((last - half) - (half - first) for first, half, last in zip(begin, middle, end, strict=True))
    count = sum(map(len, bare))
    speed = {"seconds": wall, "per_second": count / wall, "per_second_of_one_core": count / cpu}
    said = []
    for history, picks in zip(histories, explained_picks, strict=True):
        rows = [state.catalog.row(pick.item.id) for pick in picks]
        predictions = svd.predict(history, rows) if isinstance(svd, SVD) and history.ratings is not None else None
        expected = [None] * len(rows) if predictions is None else [each.rating for each in predictions]
        said.append(
            [
                Said(history, row, rating, pick.explanation)
                for pick, row, rating in zip(picks, rows, expected, strict=True)
                if pick.explanation is not None
            ]
        )
    return said, speed


def measure(state: RecommenderState, attributor: Attributor, said: list[Said], rng: np.random.Generator) -> User:
    """Remove items of a user's history, and score the picks again."""
    history, rows = said[0].history, [each.row for each in said]
    allowed = allowed_of(state, history)
    recent = attributor.recent(history, RECENT)
    cited = [cited_items(each.explanation, history) for each in said]
    everything = sorted(set(history.last(attributor.window).rows.tolist()))
    sizes = sorted({len(items) for items in cited if 0 < len(items) < len(everything)})
    pools = {"random": everything, "random_recent": recent[: max(10, *sizes, 0) if sizes else 10]}
    drawn = {
        (name, size): [frozenset(rng.choice(pool, min(size, len(pool)), replace=False).tolist()) for _ in range(DRAWS)]
        for name, pool in pools.items()
        for size in sizes
    }
    sets = [*cited, *(items for draws in drawn.values() for items in draws)]
    variants: list[frozenset[int]] = [frozenset([row]) for row in recent]
    variants += [*sets, *(frozenset(everything) - items for items in sets)]
    scored = attributor.variants(history.last(attributor.window), variants, rows, allowed)
    gone = np.stack([scored.llm[0] - scored.llm[1:], scored.score[0] - scored.score[1:]])  # [2, variants, picks]
    single, removed, kept = np.split(gone, [len(recent), len(recent) + len(sets)], axis=1)
    of_cited = np.full((2, 2, len(said)), np.nan)  # removed or kept, model, pick
    lost = {f"{what}_{name}": np.full((2, len(said)), np.nan) for what in ("removed", "kept") for name in pools}
    starts = dict(zip(drawn, range(len(cited), len(sets), DRAWS), strict=True))
    for pick, items in enumerate(cited):
        if len(items) not in sizes:
            continue
        of_cited[:, :, pick] = removed[:, pick, pick], kept[:, pick, pick]
        for name in pools:
            part = slice(starts[name, len(items)], starts[name, len(items)] + DRAWS)
            lost[f"removed_{name}"][:, pick] = removed[:, part, pick].mean(axis=1)
            lost[f"kept_{name}"][:, pick] = kept[:, part, pick].mean(axis=1)
    lost |= {"removed_cited": of_cited[0], "kept_cited": of_cited[1]}
    return User(said, cited, single.transpose(0, 2, 1), recent, lost)


def dependence(users: Sequence[User]) -> dict[str, Any]:
    """Return the loss of picks without the cited items (comprehensiveness) and with only them (sufficiency)."""
    result: dict[str, Any] = {}
    for model, unit in enumerate(("llm_log_probability", "blend_score")):
        means = {
            name: np.array([float(np.nanmean(user.lost[name][model])) for user in users if _cites(user)])
            for name in users[0].lost
        }
        figures: dict[str, Any] = {
            name: {"mean": float(values.mean()), "interval": interval(values)} for name, values in means.items()
        }
        for name in ("random", "random_recent"):
            figures[f"removed_ratio_{name}"] = ratio(means["removed_cited"], means[f"removed_{name}"])
            more = means[f"kept_{name}"] - means["kept_cited"]
            figures[f"kept_saves_against_{name}"] = {"mean": float(more.mean()), "interval": interval(more)}
        result[unit] = figures
    result["users"] = sum(map(_cites, users))
    result["picks"] = int(sum(np.isfinite(user.lost["removed_cited"][0]).sum() for user in users))
    return result


def _cites(user: User) -> bool:
    return bool(np.isfinite(user.lost["removed_cited"]).any())


def ratio(above: NDArray[np.float64], below: NDArray[np.float64], seed: int = 0) -> dict[str, Any]:
    """Return the ratio of two means over users with its bootstrap interval."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(above), size=(SAMPLES, len(above)))
    tops, bottoms = above[draws].mean(axis=1), below[draws].mean(axis=1)
    values = np.where(bottoms > 0, tops / np.where(bottoms > 0, bottoms, 1.0), np.inf)
    low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
    mean = float(above.mean() / below.mean()) if below.mean() > 0 else float("inf")
    return {"mean": mean, "low": float(low), "high": float(high)}


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables."""
    speed, grounding, dependence = result["speed"], result["grounding"], result["dependence"]
    noticed = ", ".join(f"{way} {caught} of {made}" for way, (caught, made) in grounding["noticed"].items())
    about = (
        f"{result['data']}, {result['items']:,} items: {result['picks']:,} picks of {result['users']:,} users "
        f"({result['users_scored_again']:,} scored again), style {result['style']}, attribution "
        f"{result['attribution']}. {speed['per_second']:.0f} explanations a second, "
        f"{speed['per_second_of_one_core']:.0f} a second of one core. {grounding['true']} of "
        f"{grounding['explanations']} are true. Corrupted copies noticed: {noticed}."
    )
    lost = []
    for unit in ("llm_log_probability", "blend_score"):
        for name, figure in dependence[unit].items():
            low, high = figure.get("interval") or (figure["low"], figure["high"])
            words = (unit.replace("_", " "), name.replace("_", " "))
            lost.append((*words, _shown(figure["mean"]), f"{_shown(low)} to {_shown(high)}"))
    measures = []
    for measure in result["measures"]:
        value = "not reported: a control scores as well" if measure["value"] is None else _shown(measure["value"])
        interval_text = "{} to {}".format(*map(_shown, measure["interval"])) if "interval" in measure else ""
        worse = ", ".join(f"{name} {_shown(figure)}" for name, figure in measure["controls"].items())
        measures.append((measure["measure"], value, interval_text, worse))
    return "\n\n".join(
        [
            about,
            f"What {dependence['picks']:,} picks with cited items lose:",
            table(("of", "history items", "lost", "95 %"), lost, words=2),
            table(("measure", "value", "95 %", "controls"), measures),
        ]
    )


def _shown(value: float | None) -> str:
    return "inf" if value is None else f"{value:.3f}"


def draw(result: Mapping[str, Any], file: Path) -> None:
    """Plot the losses of picks, and the measures with their controls."""
    figure, (losses, bars) = new_figure(11, 4.6, 2, width_ratios=(1, 1.3))
    lost = result["dependence"]["llm_log_probability"]
    kinds = ("removed_cited", "removed_random_recent", "removed_random")
    ends = np.array([lost[kind]["interval"] for kind in kinds]).T
    means = np.array([lost[kind]["mean"] for kind in kinds])
    losses.bar(range(len(kinds)), means, yerr=np.abs(ends - means), color=(BLUE, GREY, GREY), capsize=4)
    losses.set_xticks(range(len(kinds)), ["cited", "as many of the\nlast ones", "as many random"])
    losses.set_ylabel("log-probability the pick loses, 95 % interval")
    losses.set_title("history items taken away", loc="left", fontsize=10)
    shown = [measure for measure in result["measures"] if measure["reported"] and not measure["less_is_better"]]
    heights = np.arange(len(shown))[::-1]
    values, worst = [each["value"] for each in shown], [max(each["controls"].values()) for each in shown]
    bars.barh(heights + 0.2, values, height=0.4, color=BLUE, label="explanations")
    bars.barh(heights - 0.2, worst, height=0.4, color=GREY, label="best control")
    bars.set_yticks(heights, [measure["measure"] for measure in shown], fontsize=8)
    bars.legend(frameon=False, fontsize=8, loc=(0.68, 0.27))  # next to the short bars of distinct-n
    words = f"{result['data']}, {result['items']:,} items, {result['picks']:,} picks, style {result['style']}"
    figure.suptitle(f"{words}, attribution {result['attribution']}", fontsize=10)
    save(figure, file)


if __name__ == "__main__":
    main()
