"""How much does a request in free text improve the ranking, and is it obeyed?

    python -m eval.requests.queries runs/movies [--split leave-one-out] [--part test]

For each case of a split a request is made from the attributes of the target item: two of its labels, and its decade if
the catalog has years. It is like the request of a user who knows the kind of item but not the title. The case is ranked
in several ways: without the request; with it; with that of another user (a negative control, which must not help); with
a denial of a label that the item lacks; and with the title of the nearest item ("something like ..."), which must not
be recommended itself.

Figures are R@10 and N@10 with intervals, the share of the picks with the requested labels, and the number of picks that
break a hard preference, which must be 0. They are over every second user, with the weight of ``[query]``; the curve
over weights is over the other users, on whom the weight may be chosen. Exit code 1 if a hard preference was broken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.bench.cases import named_split
from eval.bench.results import finite, p_text, record, table
from eval.bench.script import new_parser, script
from genre_gen.blending.blend import Blend
from genre_gen.data.history import allowed_items
from genre_gen.data.labels import Labels
from genre_gen.data.splits import Case
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import LLM_ALONE, scorers
from genre_gen.evaluation.protocol import check_trained_for
from genre_gen.evaluation.significance import interval, paired_test
from genre_gen.metrics import ndcg_at, ranks, recall_at
from genre_gen.query.parsed import ParsedQuery
from genre_gen.query.parser import QueryParser
from genre_gen.ranking import Ranking
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import LLM_MEMBER, QUERY_MEMBER, RecommenderState

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
YEARS = 1000  # larger numbers are years, which requests name by decade


@dataclass(frozen=True)
class Request:
    """The request of one case.

    Attributes:
        text: the request.
        labels: requested label columns.
        denied: denied label columns.
        decade: first year of the requested decade, or None.
        named: row of an item that is named and must not be recommended.
    """

    text: str
    labels: tuple[int, ...] = ()
    denied: tuple[int, ...] = ()
    decade: int | None = None
    named: int | None = None


@dataclass
class Counts:
    """The results of one kind of request, in the order of the cases."""

    ranks: list[float] = field(default_factory=list)
    fulfilled: list[float] = field(default_factory=list)
    picks: int = 0
    broken: int = 0


class Asker:
    """Makes requests about the items of a catalog."""

    def __init__(self, state: RecommenderState) -> None:
        """Find the labels and years; raises UsageError if no item has labels."""
        self.catalog, self.reader = state.catalog, state.query_parser
        labels = Labels.of_domain(state.catalog, state.domain)
        if labels is None:
            raise UsageError("the catalog has no labels for requests; use one with a list field")
        self.labels = labels
        self.has: NDArray[np.bool_] = labels.matrix.toarray() > 0
        numbers = QueryParser(self.catalog, state.domain.query).vocabulary.numbers
        years = [column for column in numbers.values() if np.nanmin(column) >= YEARS]
        self.years: NDArray[np.float64] = years[0] if years else np.full(len(self.catalog), np.nan)

    def asked(self, row: int, rng: np.random.Generator) -> dict[str, Request]:
        """Return the requests of a case whose target is the item in ``row``."""
        columns = np.flatnonzero(self.has[row])
        columns = np.sort(rng.choice(columns, min(2, len(columns)), replace=False)) if len(columns) else columns
        lacked = int(rng.choice(np.flatnonzero(~self.has[row])))
        names = [self.labels.names[column] for column in columns]
        text = f"something {' and '.join(names)}"
        year = self.years[row]
        decade = None if np.isnan(year) else int(year // 10 * 10)
        wished = tuple(columns.tolist())
        near = self.reader.matcher.similar_to(row).copy()
        near[row] = -1.0
        nearest = int(near.argmax())
        return {
            LABELS: Request(text, wished),
            ALL: Request(text if decade is None else f"{text} from the {decade}s", wished, decade=decade),
            DENIED: Request(f"no {self.labels.names[lacked]}", denied=(lacked,)),
            LIKE: Request(f'something like "{self.catalog[nearest].title}"', named=nearest),
        }

    def broken(self, request: Request, rows: NDArray[np.int64]) -> int:
        """Return the number of picks that break a hard preference of a request, counted independently."""
        wrong = self.has[rows][:, list(request.denied)].any(axis=1)
        if request.decade is not None:
            inside = (self.years[rows] >= request.decade) & (self.years[rows] < request.decade + 10)
            wrong |= ~inside
        wrong |= rows == (-1 if request.named is None else request.named)
        return int(wrong.sum())

    def fulfilled(self, request: Request, rows: NDArray[np.int64]) -> float:
        """Return the mean share of the requested labels that picks have; nan without requested labels."""
        if not request.labels or not len(rows):
            return float("nan")
        return float(self.has[rows][:, list(request.labels)].mean())


def requests(asker: Asker, cases: Sequence[Case], seed: int = 0) -> list[dict[str, Request]]:
    """Return each case's requests; the control is the request of the case before it in a shuffled ring."""
    rng = np.random.default_rng(seed)
    asked = [asker.asked(case.target, rng) for case in cases]
    ring = rng.permutation(len(cases))
    for number, other in zip(ring, np.roll(ring, 1), strict=True):
        asked[number][OTHER] = asked[other][ALL]
    return asked


def measured(state: RecommenderState, cases: Sequence[Case]) -> dict[tuple[str, float], Counts]:
    """Rank every case without and with each of its requests, with each weight."""
    asker, reader = Asker(state), state.query_parser
    asked = requests(asker, cases)
    counts: dict[tuple[str, float], Counts] = defaultdict(Counts)
    parsed = {request.text: reader.parse(request.text) for of_case in asked for request in of_case.values()}
    weights = sorted({*WEIGHTS, state.domain.query.weight})
    for begin in range(0, len(cases), BATCH):
        part = cases[begin : begin + BATCH]
        histories = [case.history for case in part]
        allowed = allowed_items(histories, len(state.catalog), state.domain.repeat)
        scores = {name: scorer(histories) for name, scorer in scorers(state).items()}
        scores[LLM_MEMBER] = scores.pop(LLM_ALONE)
        for number, case in enumerate(part):
            of_user = {name: values[[number]] for name, values in scores.items()}
            plain = Request("", asked[begin + number][ALL].labels)
            for name, request in {WITHOUT: plain, **asked[begin + number]}.items():
                query = parsed.get(request.text) or ParsedQuery()
                for weight in weights:
                    mask, blended = _ranked(state, of_user, allowed[number], query, weight)
                    rows = Ranking.from_scores(blended[0], CUTOFF, mask).rows
                    counted = counts[name, weight]
                    counted.ranks.append(_rank_of(case.target, mask, blended))
                    counted.fulfilled.append(asker.fulfilled(request, rows))
                    counted.picks += len(rows)
                    counted.broken += asker.broken(request, rows)
    return counts


def _rank_of(target: int, mask: NDArray[np.bool_], blended: NDArray[np.float32]) -> float:
    """Return the rank of a case's target, infinite if the request excludes it."""
    return float(ranks(blended, np.array([target]), mask[None])[0]) if mask[target] else np.inf


def _ranked(
    state: RecommenderState,
    scores: Mapping[str, NDArray[np.float32]],
    allowed: NDArray[np.bool_],
    query: ParsedQuery,
    weight: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return the allowed items ``[n_items]`` and the blended scores ``[1, n_items]``, as in serving."""
    mask = allowed if query.where is None else allowed & state.catalog.where(query.where)
    if query.items:
        mask = mask.copy()
        mask[[state.catalog.find(title) for title in query.items]] = False
    fulfilled = state.query_parser.score(query)
    filled = state.mask_cold_items(scores, state.blend.members)
    if fulfilled is None:
        return mask, state.blend.combine(filled, mask[None]).total
    blend = Blend({**state.blend.weights, QUERY_MEMBER: weight})
    return mask, blend.combine({**filled, QUERY_MEMBER: fulfilled[None]}, mask[None]).total


def summary(counted: Mapping[tuple[str, float], Counts], weight: float) -> dict[str, Any]:
    """Return the figures over every second user for a weight, and those over the other users for each weight."""
    users = len(counted[WITHOUT, weight].ranks)
    others = np.arange(users) % 2 == 0
    curve = {
        str(tried): _mean(ndcg_at(np.array(counted[ALL, tried].ranks), CUTOFF)[others])
        for tried in sorted({weight_tried for _, weight_tried in counted})
    }
    plain = ndcg_at(np.array(counted[WITHOUT, weight].ranks), CUTOFF)[~others]
    rows = []
    for name in (WITHOUT, LABELS, ALL, DENIED, LIKE, OTHER):
        counts = counted[name, weight]
        of_half = np.array(counts.ranks)[~others]
        ndcg = ndcg_at(of_half, CUTOFF)
        rows.append(
            {
                "request": name,
                f"R@{CUTOFF}": _mean(recall_at(of_half, CUTOFF)),
                f"N@{CUTOFF}": _mean(ndcg),
                "interval": list(interval(ndcg)),
                "p": None if name == WITHOUT else paired_test(ndcg, plain),
                "fulfilled": _mean(np.array(counts.fulfilled)[~others]),
                "picks": counts.picks,
                "broken": counts.broken,
            }
        )
    return {
        "users": int((~others).sum()),
        "weight": weight,
        "others": int(others.sum()),
        "curve": curve,
        "rows": rows,
    }


def _mean(values: NDArray[np.float64]) -> float:
    numbers = values[~np.isnan(values)]
    return round(float(numbers.mean()), 4) if len(numbers) else float("nan")


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    about = (
        f"{result['data']}, {result['part']}, {result['users']:,} users, weight {result['weight']:g}; N@{CUTOFF} of "
        f"{result['others']:,} others by weight: "
        + ", ".join(f"{weight} {value:.4f}" for weight, value in result["curve"].items())
    )
    rows = []
    for row in result["rows"]:
        low, high = row["interval"]
        figures = (f"{row[f'R@{CUTOFF}']:.4f}", f"{row[f'N@{CUTOFF}']:.4f}", f"{low:.4f} to {high:.4f}")
        fulfilled = "" if row["fulfilled"] is None else f"{row['fulfilled']:.3f}"
        rows.append((row["request"], *figures, p_text(row["p"]), fulfilled, f"{row['broken']:,} of {row['picks']:,}"))
    names = (f"R@{CUTOFF}", f"N@{CUTOFF}", f"95 % of N@{CUTOFF}", "p", "labels fulfilled", "hard preferences broken")
    return f"{about}\n\n{table(('request', *names), rows)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write; exit code 1 if a hard preference was broken."""
    with script(new_parser(__doc__, "run", "split", "part"), arguments) as options:
        state = Recommender.from_pretrained(options.run).state
        split = named_split(options.split, state.histories, state.catalog)
        check_trained_for(state.trained_on, split, options.part)
        counts = measured(state, split.cases(options.part))
        about = {"data": state.domain.name, "part": options.part, "seed": 0}
        result = finite({**about, **summary(counts, state.domain.query.weight)})
        text = markdown(result)
        record(options.out, "queries", options.run.name, result, text)
        print(text)
        raise SystemExit(1 if any(row["broken"] for row in result["rows"]) else 0)


if __name__ == "__main__":
    main()
