"""Do explanations say what picks depend on? Cited items are taken away, and the pick is scored again.

    python eval/explanations.py runs/movies [--users 200] [-n 5] [--style llm] [--attribution 0] [--json ...]

Of each explanation: whether it is true (as in ``explanations_check.py``); whether the history items that it cites are
those that the pick depends on most, by leaving out each of the last 50; and what the pick loses when they are taken
away, or when nothing else is left, beside as many random items. Then the usual measures of explanations: FMR, FCR, DIV
and USR (Li et al., NETE, CIKM 2020; PETER, ACL 2021) with an attribute value as the feature, and distinct-n (Li et al.,
NAACL 2016); how much an explanation changes with another user's history, and how little with one more item that has
nothing to do with it. Nothing is judged by a language model.

A measure counts only if controls score worse: explanations handed to other users (*shuffled*), and one explanation
given to everybody (*generic*). Where they do not, its value is null, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import leaderboard
import numpy as np
from explanations_check import Said, checker_of, measured
from numpy.typing import NDArray

from genre_gen.collaborative import SVD
from genre_gen.data.filters import Filters
from genre_gen.data.interactions import History
from genre_gen.errors import UsageError
from genre_gen.evaluation.significance import interval
from genre_gen.explain.attribution import RECENT, Attributor
from genre_gen.explain.check import Checker
from genre_gen.explain.claims import ScoreClaims
from genre_gen.explain.explainer import Explanation
from genre_gen.explain.facts import labels
from genre_gen.recommender.recommender import Recommender

TOP = 3  # cited items shall be among so many of greatest effect
DRAWS = 4  # random sets of items, for each number of items
SAMPLES = 2000
Pairs: TypeAlias = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class User:
    """One user's picks and what was measured of them.

    Attributes:
        said: the explanations.
        cited: of each, the history items that it cites.
        effects: float64 ``[2, picks, recent]``, by the language model and by the blend, of each recent item.
        recent: catalog rows of the recent items.
        lost: what -> ``[2, picks]``, by the language model and by the blend; NaN for a pick without cited items.
    """

    said: list[Said]
    cited: list[frozenset[int]]
    effects: NDArray[np.float64]
    recent: list[int]
    lost: dict[str, NDArray[np.float64]]


def main() -> None:
    """Measure, print the table, write JSON and picture; exit code 1 for a failure, and 2 for wrong use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a trained recommender")
    parser.add_argument("--users", type=int, default=200, help="how many, spread over the data")
    parser.add_argument("--scored", type=int, default=60, help="of how many of these users picks are scored again")
    parser.add_argument("-n", type=int, default=5, help="picks per user")
    parser.add_argument(
        "--style", choices=("template", "llm", "free"), default="template", help="who chooses the words"
    )
    parser.add_argument("--attribution", type=int, help="[explain] attribution [the domain's]; 0: evidence alone")
    parser.add_argument("--json", type=Path, default=Path("eval/results/explanations.json"))
    parser.add_argument("--know", help="domain whose [knowledge] is added to the run [what it was saved with]")
    options = parser.parse_args()
    with leaderboard.told():
        for name in ("users", "scored", "n"):
            if getattr(options, name) < 1:
                raise UsageError(f"{'-' * min(len(name), 2)}{name} {getattr(options, name)}; give 1 or more")
        recommender = Recommender.from_pretrained(options.run)
        if options.know:
            recommender.know(options.know)
        changes = {"explain.style": options.style, "explain.attribution": options.attribution}
        changed = {key: value for key, value in changes.items() if value is not None}
        recommender.domain = recommender.domain.changed(changed)
        result = {"run": Path(options.run).name, **evaluated(recommender, options.users, options.scored, options.n)}
        print(table(result))
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draw(result, options.json.with_suffix(".png"))


def evaluated(recommender: Recommender, users: int, scored: int, n: int) -> dict[str, Any]:
    """Return all figures of ``n`` picks each of ``users`` users; picks of ``scored`` of these are scored again."""
    known = [history for history in recommender.histories.histories() if len(history) > 1]
    chosen = known[:: max(1, len(known) // users)][:users]
    said, speed = explained(recommender, chosen, n)
    said = [one for one in said if one]
    attributor, rng = recommender.attributor(), np.random.default_rng(0)
    found = [measure(recommender, attributor, one, rng) for one in said[:: max(1, len(said) // scored)][:scored]]
    return {
        "data": recommender.domain.name,
        "items": len(recommender.catalog),
        "users": len(said),
        "picks": sum(map(len, said)),
        "users_scored_again": len(found),
        "style": recommender.domain.explain.style,
        "attribution": recommender.domain.explain.attribution,
        "blend": dict(recommender.blend.weights),
        "speed": speed,
        "grounding": measured(recommender, [one for user in said for one in user]),
        "dependence": dependence(found),
        "measures": [*rates(recommender, found), *variety(recommender, said), *changes(recommender, found)],
    }


def explained(
    recommender: Recommender, histories: Sequence[History], n: int
) -> tuple[list[list[Said]], dict[str, float]]:
    """Return each user's explained picks, and how fast they were explained (picks alone are timed and taken off)."""
    svd = recommender.members.get("svd")
    next(recommender.recommend_many(histories[:1], n, explain=True))  # indexes are built once
    begin = time.perf_counter(), time.process_time()
    bare = list(recommender.recommend_many(histories, n))
    middle = time.perf_counter(), time.process_time()
    told = list(recommender.recommend_many(histories, n, explain=True))
    end = time.perf_counter(), time.process_time()
    wall, cpu = ((last - half) - (half - first) for first, half, last in zip(begin, middle, end, strict=True))
    count = sum(map(len, bare))
    speed = {"seconds": wall, "per_second": count / wall, "per_second_of_one_core": count / cpu}
    said = []
    for history, picks in zip(histories, told, strict=True):
        rows = [recommender.catalog.row(pick.item.id) for pick in picks]
        rated = isinstance(svd, SVD) and history.ratings is not None
        expected = [one.rating for one in svd.predict(history, rows)] if rated else [None] * len(rows)  # type: ignore[union-attr]
        said.append(
            [
                Said(history, row, rating, pick.explanation)
                for pick, row, rating in zip(picks, rows, expected, strict=True)
                if pick.explanation is not None
            ]
        )
    return said, speed


def allowed_of(recommender: Recommender, history: History) -> NDArray[np.bool_]:
    """Return what may be recommended."""
    return Filters(recommender.catalog, repeat=recommender.domain.repeat).allowed(history).mask


def cited_items(explanation: Explanation, history: History) -> frozenset[int]:
    """Return the items of a history that an explanation's facts are about."""
    named = {row for fact in explanation.facts for row in (fact.subject, fact.object)}
    return frozenset(row for row in named if row is not None) & frozenset(history.rows.tolist())


def measure(recommender: Recommender, attributor: Attributor, said: list[Said], rng: np.random.Generator) -> User:
    """Take items of a user's history away, and score the picks again."""
    history, rows = said[0].history, [one.row for one in said]
    allowed = allowed_of(recommender, history)
    recent = attributor.recent(history, RECENT)
    cited = [cited_items(one.explanation, history) for one in said]
    everything = sorted(set(history.last(attributor.window).rows.tolist()))
    sizes = sorted({len(one) for one in cited if 0 < len(one) < len(everything)})
    pools = {"random": everything, "random_recent": recent[: max(10, *sizes, 0) if sizes else 10]}
    drawn = {
        (name, size): [frozenset(rng.choice(pool, min(size, len(pool)), replace=False).tolist()) for _ in range(DRAWS)]
        for name, pool in pools.items()
        for size in sizes
    }
    sets = [*cited, *(one for every in drawn.values() for one in every)]
    variants: list[frozenset[int]] = [frozenset([row]) for row in recent]
    variants += [*sets, *(frozenset(everything) - one for one in sets)]
    scored = attributor.variants(history.last(attributor.window), variants, rows, allowed)
    gone = np.stack([scored.llm[0] - scored.llm[1:], scored.score[0] - scored.score[1:]])  # [2, variants, picks]
    single, removed, kept = np.split(gone, [len(recent), len(recent) + len(sets)], axis=1)
    own = np.full((2, 2, len(said)), np.nan)  # removed or kept, model, pick
    lost = {f"{what}_{name}": np.full((2, len(said)), np.nan) for what in ("removed", "kept") for name in pools}
    starts = dict(zip(drawn, range(len(cited), len(sets), DRAWS), strict=True))
    for place, one in enumerate(cited):
        if len(one) not in sizes:
            continue
        own[:, :, place] = removed[:, place, place], kept[:, place, place]
        for name in pools:
            part = slice(starts[name, len(one)], starts[name, len(one)] + DRAWS)
            lost[f"removed_{name}"][:, place] = removed[:, part, place].mean(axis=1)
            lost[f"kept_{name}"][:, place] = kept[:, part, place].mean(axis=1)
    return User(said, cited, single.transpose(0, 2, 1), recent, {"removed_cited": own[0], "kept_cited": own[1], **lost})


def dependence(users: Sequence[User]) -> dict[str, Any]:
    """Return what picks lose without the cited items (comprehensiveness) and with nothing else (sufficiency)."""
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
    """Return the ratio of two means over users with its bootstrap interval; None for infinite."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(above), size=(SAMPLES, len(above)))
    tops, bottoms = above[draws].mean(axis=1), below[draws].mean(axis=1)
    values = np.where(bottoms > 0, tops / np.where(bottoms > 0, bottoms, 1.0), np.inf)
    low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
    mean = float(above.mean() / below.mean()) if below.mean() > 0 else float("inf")
    return {name: _finite(value) for name, value in (("mean", mean), ("low", float(low)), ("high", float(high)))}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None  # JSON has no infinity


def controls(users: Sequence[Sequence[Said]]) -> dict[str, list[list[Explanation]]]:
    """Return the users' explanations, and those that must score worse."""
    own = [[one.explanation for one in user] for user in users]
    shifted = [own[(place + 1 + len(own) // 2) % len(own)] for place in range(len(own))]
    shuffled = [[other[k % len(other)] for k in range(len(mine))] for mine, other in zip(own, shifted, strict=True)]
    generic = [[own[0][0]] * len(mine) for mine in own]
    return {"own": own, "shuffled": shuffled, "generic": generic}


def judged(
    name: str, values: dict[str, NDArray[np.float64] | float], against: Sequence[str], *, less: bool = False
) -> dict[str, Any]:
    """Return a measure beside its controls; its value is null where one of them does not score worse.

    Args:
        name: of the measure.
        values: ``own`` and controls -> one figure per user, or one in all.
        against: the controls that must be worse.
        less: smaller is better.
    """
    means = {key: float(np.mean(value)) for key, value in values.items()}
    sign = -1 if less else 1
    holds = all(sign * means["own"] > sign * means[control] for control in against)
    own = values["own"]
    result: dict[str, Any] = {"measure": name, "value": means["own"] if holds else None, "less_is_better": less}
    if holds and isinstance(own, np.ndarray):
        result["interval"] = interval(own)
    return {**result, "controls": {control: means[control] for control in against}, "reported": holds}


def rates(recommender: Recommender, users: Sequence[User]) -> list[dict[str, Any]]:
    """Return grounding precision, and how far cited items are those of greatest effect."""
    checker = checker_of(recommender)
    figures: dict[str, dict[str, NDArray[np.float64] | float]] = {}
    for version, texts in controls([user.said for user in users]).items():
        grounded, precision, recall = [], ([], []), ([], [])  # type: ignore[var-annotated]
        for user, told in zip(users, texts, strict=True):
            grounded.append(np.mean([_true(checker, one, text) for one, text in zip(user.said, told, strict=True)]))
            for model in range(2):
                shares = [_hits(user, place, text, model) for place, text in enumerate(told)]
                precision[model].append(np.nanmean([one[0] for one in shares] or [np.nan]))
                recall[model].append(np.mean([one[1] for one in shares]))
        figures.setdefault("grounding precision", {})[version] = np.array(grounded)
        for model, unit in enumerate(("LLM", "blend")):
            found = np.array(precision[model])
            figures.setdefault(f"citation precision@{TOP}, {unit}", {})[version] = found[np.isfinite(found)]
            figures.setdefault(f"citation recall@1, {unit}", {})[version] = np.array(recall[model])
    return [judged(name, values, ("shuffled", "generic")) for name, values in figures.items()]


def _true(checker: Checker, one: Said, told: Explanation) -> bool:
    measured_here = ScoreClaims.of_effects(one.explanation.effects)
    return checker.check(told.text, one.history, one.row, one.predicted, measured_here).ok


def _hits(user: User, place: int, told: Explanation, model: int) -> tuple[float, float]:
    """Return which share of the cited items is among the TOP of greatest effect, and whether the greatest is cited.

    What is cited is read from the explanation alone, so that one of another user cites items that are not there.
    """
    row = user.said[place].row
    order = [user.recent[k] for k in np.argsort(-user.effects[model, place], kind="stable")]
    best = [other for other in order if other != row]
    anchors = {("rated", "had", "shares", "linked"): "object", ("weighed", "followed_by", "liked_too"): "subject"}
    cited = {
        getattr(fact, end) for fact in told.facts for relations, end in anchors.items() if fact.relation in relations
    }
    precision = len(cited & set(best[:TOP])) / len(cited) if cited else float("nan")
    return precision, float(bool(best) and best[0] in cited)


def variety(recommender: Recommender, users: Sequence[Sequence[Said]]) -> list[dict[str, Any]]:
    """Return FMR, FCR, DIV, USR and distinct-n of all explanations together."""
    catalog = recommender.catalog
    own = [frozenset(pairs(labels(catalog[one.row]))) for user in users for one in user]
    every = frozenset(pair for item in catalog for pair in pairs(labels(item)))
    figures: dict[str, dict[str, NDArray[np.float64] | float]] = {}
    for version, texts in controls(users).items():
        told = [one for user in texts for one in user]
        named: list[Pairs] = [
            frozenset((fact.field, value) for fact in one.facts for value in fact.values) for one in told
        ]
        words = [one.text.casefold().split() for one in told]
        values = {
            "FMR": float(np.mean([bool(said) and said <= true for said, true in zip(named, own, strict=True)])),
            "FCR": len(frozenset().union(*named)) / max(len(every), 1),
            "DIV": shared(named),
            "USR": len({one.text for one in told}) / len(told),
            "distinct-1": distinct([[(word,) for word in one] for one in words]),
            "distinct-2": distinct([list(pairwise(one)) for one in words]),
        }
        for name, value in values.items():
            figures.setdefault(name, {})[version] = value
    against = {"FMR": ("shuffled", "generic")}  # shuffling leaves the others as they are
    return [
        judged(name, values, against.get(name, ("generic",)), less=name == "DIV") for name, values in figures.items()
    ]


def pairs(values: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return labels as pairs of field and value."""
    return [(field, value) for field, found in values.items() for value in found]


def shared(named: Sequence[Pairs]) -> float:
    """Return DIV: how many features two explanations share, mean over all pairs."""
    counts: dict[tuple[str, str], int] = {}
    for pair in (pair for one in named for pair in one):
        counts[pair] = counts.get(pair, 0) + 1
    return sum(count * (count - 1) for count in counts.values()) / max(len(named) * (len(named) - 1), 1)


def distinct(grams: Sequence[Sequence[Any]]) -> float:
    """Return the share of different n-grams among all."""
    flat = [gram for one in grams for gram in one]
    return len(set(flat)) / max(len(flat), 1)


def changes(recommender: Recommender, users: Sequence[User]) -> list[dict[str, Any]]:
    """Return how explanations of the same picks change with the history."""
    chance = random.Random(0)
    attributor, most = recommender.attributor(), recommender.domain.explain.attribution

    def told(history: History, rows: Sequence[int]) -> list[Explanation]:
        effects = attributor.effects(history, rows, allowed_of(recommender, history), most) if most else None
        return recommender.explainer.explain_many(history, rows, None, None, effects)

    same: dict[str, list[float]] = {"again": [], "cited": [], "swapped text": [], "swapped cited": []}
    for place, user in enumerate(users):
        history, rows = user.said[0].history, [one.row for one in user.said]
        other = users[(place + 1 + len(users) // 2) % len(users)].said[0].history
        own, swapped, more = (
            told(history, rows),
            told(other, rows),
            told(_with_stranger(recommender, user, chance), rows),
        )
        again = told(history, rows[:1])  # alone, and not among the other picks
        texts, cited = ([one.text for one in own], [cited_items(one, history) for one in own])
        same["again"].append(float(again[0].text == texts[0]))
        same["swapped text"].append(_share(texts, [one.text for one in swapped]))
        same["swapped cited"].append(_share(cited, [cited_items(one, other) for one in swapped]))
        same["cited"].append(_share(cited, [cited_items(one, history) for one in more]))
    each = {name: np.array(values) for name, values in same.items()}
    return [
        judged("personalisation", {"own": 1 - each["swapped text"], "generic": 0.0}, ("generic",)),
        judged("stability, same request", {"own": each["again"], "swapped": each["swapped text"]}, ("swapped",)),
        judged("stability, one item more", {"own": each["cited"], "swapped": each["swapped cited"]}, ("swapped",)),
    ]


def _share(one: Sequence[Any], other: Sequence[Any]) -> float:
    return float(np.mean([left == right for left, right in zip(one, other, strict=True)]))


def _with_stranger(recommender: Recommender, user: User, chance: random.Random) -> History:
    """Return a user's history with an item before all others that shares no attribute value with any of the picks."""
    history, catalog = user.said[0].history, recommender.catalog
    taken = {pair for one in user.said for pair in pairs(labels(catalog[one.row]))}
    known = {*history.rows.tolist(), *(one.row for one in user.said)}
    strangers = [
        row for row in range(len(catalog)) if row not in known and taken.isdisjoint(pairs(labels(catalog[row])))
    ]
    row = chance.choice(strangers or [row for row in range(len(catalog)) if row not in known])
    ratings = None if history.ratings is None else np.concatenate([np.full(1, np.nan, np.float32), history.ratings])
    return History(np.concatenate([[row], history.rows]), ratings)


def table(result: dict[str, Any]) -> str:
    """Return the result for people."""
    speed, grounding = result["speed"], result["grounding"]
    lines = [
        f"{result['data']}, {result['items']:,} items: {result['picks']:,} picks of {result['users']:,} users "
        f"({result['users_scored_again']:,} scored again), "
        f"style {result['style']}, attribution {result['attribution']}",
        f"{speed['per_second']:.0f} explanations a second, {speed['per_second_of_one_core']:.0f} a second of one core",
        f"{grounding['true']} of {grounding['explanations']} are true",
        "spoilt copies noticed: " + ", ".join(f"{way} {a} of {b}" for way, (a, b) in grounding["noticed"].items()),
        "",
    ]
    for unit in ("llm_log_probability", "blend_score"):
        lines.append(f"lost in {unit.replace('_', ' ')}, {result['dependence']['picks']:,} picks with cited items:")
        for name, one in result["dependence"][unit].items():
            low, high = one.get("interval") or (one["low"], one["high"])
            lines.append(f"  {name.replace('_', ' '):34} {_shown(one['mean'])}  ({_shown(low)} to {_shown(high)})")
    lines += ["", f"{'measure':34} value  (interval)  controls"]
    for one in result["measures"]:
        value = "not reported: a control scores as well" if one["value"] is None else _shown(one["value"])
        between = "" if "interval" not in one else "  ({} to {})".format(*map(_shown, one["interval"]))
        beside = ", ".join(f"{name} {_shown(figure)}" for name, figure in one["controls"].items())
        lines.append(f"{one['measure']:34} {value}{between}  {beside}")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "inf" if value is None else f"{value:.3f}"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw what picks lose, and the measures beside their controls."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)  # no display needed, and no global state of pyplot touched
    losses, bars = figure.subplots(1, 2, width_ratios=(1, 1.3))
    lost = result["dependence"]["llm_log_probability"]
    kinds = ("removed_cited", "removed_random_recent", "removed_random")
    ends = np.array([lost[kind]["interval"] for kind in kinds]).T
    means = np.array([lost[kind]["mean"] for kind in kinds])
    colours = ("#0072B2", "#999999", "#bbbbbb")
    losses.bar(range(len(kinds)), means, yerr=np.abs(ends - means), color=colours, capsize=4)
    losses.set_xticks(range(len(kinds)), ["cited", "as many of the\nlast ones", "as many random"])
    losses.set_ylabel("log-probability the pick loses, 95 % interval")
    losses.set_title("history items taken away", loc="left", fontsize=10)
    shown = [one for one in result["measures"] if one["reported"] and not one["less_is_better"]]
    places = np.arange(len(shown))[::-1]
    bars.barh(places + 0.2, [one["value"] for one in shown], height=0.4, color="#0072B2", label="explanations")
    worst = [max(one["controls"].values()) for one in shown]
    bars.barh(places - 0.2, worst, height=0.4, color="#bbbbbb", label="best control")
    bars.set_yticks(places, [one["measure"] for one in shown], fontsize=8)
    bars.legend(frameon=False, fontsize=8, loc=(0.68, 0.27))  # beside the short bars of distinct-n
    for panel in (losses, bars):
        panel.spines[["top", "right"]].set_visible(False)
    words = f"{result['data']}, {result['items']:,} items, {result['picks']:,} picks, style {result['style']}"
    figure.suptitle(f"{words}, attribution {result['attribution']}", fontsize=10)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
