"""What is a request in free text worth, and is it obeyed?

    python eval/queries.py runs/movies [--part test] [--out eval/results]

For each case of a split a request is made up from what the item to find is like (two of its labels, and its decade
where the catalog has years), as someone would say it who knows what he wants but not what it is called. It is ranked
without the request, with it, with that of another user (a negative control, which must not help), with a denial of a
label that the item lacks, and with the title of the item nearest to it ("something like ..."), which must not come
itself. Told are R@10 and N@10 with intervals, the share of the picks that have the labels asked for, and how many picks
break a hard wish, which must be none. The figures are of every other user, under the weight that ``[query]`` has; what
each weight gives is told for the others, on whom it may be chosen.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from leaderboard import told
from numpy.typing import NDArray

from genre_gen.blending.blend import Blend
from genre_gen.data.interactions import allowed_items
from genre_gen.data.labels import Labels
from genre_gen.data.splits import Case
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import LLM_ALONE, check_trained_for
from genre_gen.evaluation.significance import interval, paired_test
from genre_gen.metrics import ndcg_at, ranks, recall_at
from genre_gen.query.parsed import ParsedQuery
from genre_gen.query.parser import QueryParser
from genre_gen.ranking import Ranking
from genre_gen.recommender.recommender import QUERY, Recommender
from genre_gen.recommender.state import LLM_MEMBER

CUTOFF = 10
BATCH = 64
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
WITHOUT, LABELS, ALL, DENIED, LIKE, OTHER = (
    "no request",
    "two labels",
    "two labels and the decade",
    "a denied label",
    "like the item nearest to it",
    "another user's labels and decade",
)
SMALLEST = 1e-4  # p-values that are told
YEARS = 1000  # numbers from here on are years, of which people name decades


@dataclass(frozen=True)
class Request:
    """What is asked for one case.

    Attributes:
        text: as a user says it.
        labels: label columns that are wished for.
        denied: label columns that are denied.
        decade: its first year; None where none is asked for.
        named: row of an item that is named, and so not asked for.
    """

    text: str
    labels: tuple[int, ...] = ()
    denied: tuple[int, ...] = ()
    decade: int | None = None
    named: int | None = None


@dataclass
class Counts:
    """What was found for one way to ask, in the order of the cases."""

    ranks: list[float] = field(default_factory=list)
    fulfilled: list[float] = field(default_factory=list)
    picks: int = 0
    broken: int = 0


class Asker:
    """Makes up requests about the items of a catalog."""

    def __init__(self, recommender: Recommender) -> None:
        """Find the labels and years; raises UsageError where no item has labels."""
        self.catalog, self.reader = recommender.catalog, recommender.query_parser
        labels = Labels.of_domain(recommender.catalog, recommender.domain)
        if labels is None:
            raise UsageError("the catalog has no labels to ask for; take one with a list field")
        self.labels = labels
        self.has: NDArray[np.bool_] = labels.matrix.toarray() > 0
        numbers = QueryParser(self.catalog, recommender.domain.query).vocabulary.numbers
        years = [column for column in numbers.values() if np.nanmin(column) >= YEARS]
        self.years: NDArray[np.float64] = years[0] if years else np.full(len(self.catalog), np.nan)

    def asked(self, row: int, rng: np.random.Generator) -> dict[str, Request]:
        """Return the requests of a case whose item to find stands in this row."""
        own = np.flatnonzero(self.has[row])
        own = np.sort(rng.choice(own, min(2, len(own)), replace=False)) if len(own) else own
        lacked = int(rng.choice(np.flatnonzero(~self.has[row])))
        names = [self.labels.names[column] for column in own]
        text = f"something {' and '.join(names)}"
        year = self.years[row]
        decade = None if np.isnan(year) else int(year // 10 * 10)
        wished = tuple(own.tolist())
        near = self.reader.matcher.similar_to(row).copy()
        near[row] = -1.0
        beside = int(near.argmax())
        return {
            LABELS: Request(text, wished),
            ALL: Request(text if decade is None else f"{text} from the {decade}s", wished, decade=decade),
            DENIED: Request(f"no {self.labels.names[lacked]}", denied=(lacked,)),
            LIKE: Request(f'something like "{self.catalog[beside].title}"', named=beside),
        }

    def broken(self, request: Request, rows: NDArray[np.int64]) -> int:
        """Return how many picks break a hard wish of a request; worked out here anew."""
        wrong = self.has[rows][:, list(request.denied)].any(axis=1)
        if request.decade is not None:
            inside = (self.years[rows] >= request.decade) & (self.years[rows] < request.decade + 10)
            wrong |= ~inside
        wrong |= rows == (-1 if request.named is None else request.named)
        return int(wrong.sum())

    def fulfilled(self, request: Request, rows: NDArray[np.int64]) -> float:
        """Return the share of the wished labels that the picks have on average; nan without wishes or picks."""
        if not request.labels or not len(rows):
            return float("nan")
        return float(self.has[rows][:, list(request.labels)].mean())


def requests(asker: Asker, cases: Sequence[Case], seed: int = 0) -> list[dict[str, Request]]:
    """Return each case's requests; the control is the request of the case before it in a shuffled ring."""
    rng = np.random.default_rng(seed)
    own = [asker.asked(case.target, rng) for case in cases]
    ring = rng.permutation(len(cases))
    for place, other in zip(ring, np.roll(ring, 1), strict=True):
        own[place][OTHER] = own[other][ALL]
    return own


def measured(recommender: Recommender, cases: Sequence[Case]) -> dict[tuple[str, float], Counts]:
    """Rank every case without and with each of its requests, under each weight."""
    asker, reader = Asker(recommender), recommender.query_parser
    asked = requests(asker, cases)
    found: dict[tuple[str, float], Counts] = defaultdict(Counts)
    parsed = {one.text: reader.parse(one.text) for each in asked for one in each.values()}
    for begin in range(0, len(cases), BATCH):
        part = cases[begin : begin + BATCH]
        histories = [case.history for case in part]
        allowed = allowed_items(histories, len(recommender.catalog), recommender.domain.repeat)
        scores = {name: scorer(histories) for name, scorer in recommender.scorers().items()}
        scores[LLM_MEMBER] = scores.pop(LLM_ALONE)
        for place, case in enumerate(part):
            one = {name: values[[place]] for name, values in scores.items()}
            plain = Request("", asked[begin + place][ALL].labels)
            for name, request in {WITHOUT: plain, **asked[begin + place]}.items():
                for weight in sorted({*WEIGHTS, recommender.domain.query.weight}):
                    mask, blended = _ranked(
                        recommender, one, allowed[place], parsed.get(request.text) or ParsedQuery(), weight
                    )
                    counts = found[name, weight]
                    # A target that the request takes out is never found; with it gone the rest cannot tell.
                    inside = bool(mask[case.target])
                    counts.ranks.append(
                        float(ranks(blended, np.array([case.target]), mask[None])[0]) if inside else np.inf
                    )
                    rows = Ranking.from_scores(blended[0], CUTOFF, mask).rows
                    counts.fulfilled.append(asker.fulfilled(request, rows))
                    counts.picks += len(rows)
                    counts.broken += asker.broken(request, rows)
    return found


def _ranked(
    recommender: Recommender,
    scores: Mapping[str, NDArray[np.float32]],
    allowed: NDArray[np.bool_],
    parsed: ParsedQuery,
    weight: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return what may be recommended ``[n_items]`` and the blended scores ``[1, n_items]``, as serving does."""
    mask = allowed if parsed.where is None else allowed & recommender.catalog.where(parsed.where)
    if parsed.items:
        mask = mask.copy()
        mask[[recommender.catalog.find(title) for title in parsed.items]] = False
    fulfilled = recommender.query_parser.score(parsed)
    known = recommender.with_gaps(scores, recommender.blend.members)
    if fulfilled is None:
        return mask, recommender.blend.combine(known, mask[None])
    blend = Blend({**recommender.blend.weights, QUERY: weight})
    return mask, blend.combine({**known, QUERY: fulfilled[None]}, mask[None])


def summary(found: Mapping[tuple[str, float], Counts], weight: float) -> dict[str, Any]:
    """Return the figures of every other user under a weight, and what each weight gives for the rest of them."""
    users = len(found[WITHOUT, weight].ranks)
    others = np.arange(users) % 2 == 0
    curve = {
        one: _mean(ndcg_at(np.array(found[ALL, one].ranks), CUTOFF)[others])
        for one in sorted({tried for _, tried in found})
    }
    plain = ndcg_at(np.array(found[WITHOUT, weight].ranks), CUTOFF)[~others]
    rows = []
    for name in (WITHOUT, LABELS, ALL, DENIED, LIKE, OTHER):
        counts = found[name, weight]
        places = np.array(counts.ranks)[~others]
        ndcg = ndcg_at(places, CUTOFF)
        rows.append(
            {
                "request": name,
                f"R@{CUTOFF}": _mean(recall_at(places, CUTOFF)),
                f"N@{CUTOFF}": _mean(ndcg),
                "interval": list(interval(ndcg)),
                "p": None if name == WITHOUT else paired_test(ndcg, plain),
                "fulfilled": _mean(np.array(counts.fulfilled)[~others]),
                "picks": counts.picks,
                "broken": counts.broken,
            }
        )
    curves = {str(one): value for one, value in curve.items()}
    return {
        "users": int((~others).sum()),
        "weight": weight,
        "others": int(others.sum()),
        "curve": curves,
        "rows": rows,
    }


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 4) if len(known) else float("nan")


def table(result: Mapping[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        f"{result['data']}, {result['part']}, {result['users']:,} users, weight {result['weight']:g}; N@{CUTOFF} of "
        f"{result['others']:,} others by weight: "
        + ", ".join(f"{weight} {value:.4f}" for weight, value in result["curve"].items()),
        "",
        f"| request | R@{CUTOFF} | N@{CUTOFF} | 95 % of N@{CUTOFF} | p | labels fulfilled | hard wishes broken |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        low, high = row["interval"]
        p = "" if row["p"] is None else "< .0001" if row["p"] < SMALLEST else f"{row['p']:.4f}"
        fulfilled = "" if np.isnan(row["fulfilled"]) else f"{row['fulfilled']:.3f}"
        lines.append(
            f"| {row['request']} | "
            f"{row[f'R@{CUTOFF}']:.4f} | {row[f'N@{CUTOFF}']:.4f} | {low:.4f} to {high:.4f} | {p} | "
            f"{fulfilled} | {row['broken']:,} of {row['picks']:,} |"
        )
    return "\n".join(lines)


@told()
def main() -> None:
    """Measure, print, write; exit code 1 where a hard wish was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a trained recommender")
    parser.add_argument("--split", default="leave-one-out", help="leave-one-out or global-time; as in training")
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--out", type=Path, default=Path("eval/results"))
    options = parser.parse_args()
    recommender = Recommender.from_pretrained(options.run)
    split = recommender.histories.split(options.split)
    check_trained_for(recommender, split, options.part)
    found = measured(recommender, split.cases(options.part))
    result = {
        "data": recommender.domain.name,
        "part": options.part,
        "seed": 0,
        **summary(found, recommender.domain.query.weight),
    }
    print(table(result))
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1).replace("NaN", "null")
    (options.out / f"queries_{recommender.domain.name}.json").write_text(text + "\n", encoding="utf-8")
    raise SystemExit(1 if any(row["broken"] for row in result["rows"]) else 0)


if __name__ == "__main__":
    main()
