"""Does the recommender keep its promises? Every list that every user can get is checked against the data.

    python eval/guarantees.py runs/movies [-n 10 50 200] [--where "..."] [--json eval/results/guarantees.json]

For all users of the data, each n, and each of several filters (and once with a language model whose weights are broken)
this counts: items that the catalog lacks, items twice in a list, items that the user has had, items that the filter
takes out, lists that are longer or shorter than they must be (n, or all that is allowed), short lists that give no
reason, and lists out of order. All of these must be 0. What is allowed is worked out here anew.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from leaderboard import told
from numpy.typing import NDArray

from genre_gen.blending.blend import Blend
from genre_gen.data.filters import Filters
from genre_gen.data.interactions import History
from genre_gen.errors import UsageError
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.requests import Recommendations
from genre_gen.recommender.state import LLM_MEMBER

POPULAR = 100  # most interacted items, taken out by one of the filters
FEW = 5  # items left by another


@dataclass(frozen=True)
class Request:
    """A filter, in the words of a user and as the rows that it leaves: bool ``[n_items]``."""

    name: str
    left: NDArray[np.bool_]
    where: str | None = None
    exclude: Sequence[str] = ()
    include: Sequence[str] | None = None

    def filters(self, recommender: Recommender) -> Filters:
        """Return what the recommender makes of it."""
        return Filters(recommender.catalog, self.where, self.exclude, self.include, recommender.domain.repeat)


@dataclass
class Counts:
    """What was found for one filter and one n."""

    request: str
    n: int
    lists: int = 0
    items: int = 0
    invalid: int = 0
    duplicate: int = 0
    seen: int = 0
    filtered: int = 0
    wrong_length: int = 0
    short: int = 0
    no_reason: int = 0
    disordered: int = 0
    seconds: float = field(default=0.0)

    @property
    def broken(self) -> int:
        """Return the number of broken promises; a list may be short where no more is allowed, if it says so."""
        return (
            self.invalid
            + self.duplicate
            + self.seen
            + self.filtered
            + self.wrong_length
            + self.no_reason
            + self.disordered
        )

    def add(self, picks: Recommendations, catalog: set[str], had: set[str], allowed: set[str]) -> None:
        """Check one list; sets hold ids, ``allowed`` those that the filter leaves, had or not."""
        got = [pick.item.id for pick in picks]
        most = len(allowed - had)
        self.lists += 1
        self.items += len(got)
        self.invalid += sum(one not in catalog for one in got)
        self.duplicate += len(got) - len(set(got))
        self.seen += sum(one in had for one in got)
        self.filtered += sum(one not in allowed for one in got)
        self.wrong_length += len(got) != min(self.n, most)
        self.short += len(got) < self.n
        self.no_reason += len(got) < self.n and not any("items" in note for note in picks.notes)
        scores = [pick.score for pick in picks]
        ranks = [pick.rank for pick in picks]
        self.disordered += scores != sorted(scores, reverse=True) or ranks != list(range(1, len(got) + 1))


def main() -> None:
    """Check, print the table, write the JSON; exit code 1 for a broken promise or a failure, 2 for wrong use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="runs/movies", help="folder of a trained recommender")
    parser.add_argument(
        "-n", type=int, nargs="+", default=[10, 50, 200], help="items per list; more than there are: all"
    )
    parser.add_argument("--where", help="a filter; by default one made from the catalog's first field")
    parser.add_argument("--json", type=Path, default=Path("eval/results/guarantees.json"))
    options = parser.parse_args()
    with told():
        recommender = Recommender.from_pretrained(options.run)
        found = list(check(recommender, options.n, options.where))
    print(table(found))
    result = {
        "run": Path(options.run).name,
        "users": len(recommender.histories.users),
        "items": len(recommender.catalog),
        "broken": sum(one.broken for one in found),
        "rows": [asdict(one) for one in found],
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    raise SystemExit(1 if result["broken"] else 0)


def check(recommender: Recommender, sizes: Sequence[int], where: str | None = None) -> Iterator[Counts]:
    """Yield the counts of every filter and n, and of a recommender whose language model is broken."""
    sizes = sorted({min(n, len(recommender.catalog)) for n in sizes})
    histories = recommender.histories.histories()
    for request in requests(recommender, where):
        for n in sizes:
            yield count(recommender, histories, request, n)
    spoil(recommender)
    nothing, *_ = requests(recommender, where)
    broken = count(recommender, histories, nothing, sizes[0])
    broken.request = "none, and the language model broken"
    yield broken


def requests(recommender: Recommender, where: str | None = None) -> list[Request]:
    """Return filters of every kind: none, by attributes, lists of items to exclude or include, and all at once."""
    catalog = recommender.catalog
    ids = np.array([item.id for item in catalog])
    where = where or common(recommender)
    counts = np.bincount(recommender.histories.rows, minlength=len(catalog))
    unpopular = np.ones(len(catalog), bool)
    unpopular[np.argsort(-counts, kind="stable")[: min(POPULAR, len(catalog) // 4)]] = False
    stock = np.random.default_rng(0).random(len(catalog)) < 0.5  # noqa: PLR2004 - half of them
    few = np.zeros(len(catalog), bool)
    few[np.argsort(-counts, kind="stable")[:FEW]] = True
    matching = catalog.where(where)
    excluded, included, few_ids = ids[~unpopular].tolist(), ids[stock].tolist(), ids[few].tolist()
    return [
        Request("none", np.ones(len(catalog), bool)),
        Request(f"where {where}", matching, where),
        Request(f"without the {len(excluded)} most popular", unpopular, exclude=excluded),
        Request("half of the catalog in stock", stock, include=included),
        Request("these three together", matching & unpopular & stock, where, excluded, included),
        Request(f"{FEW} popular items only", few, include=few_ids),
    ]


def common(recommender: Recommender) -> str:
    """Return an expression that takes out the items with the most common word of the first field that has words."""
    for name in recommender.catalog.fields:
        values = [item.attributes[name] for item in recommender.catalog]
        words = [word for value in values for word in (value if isinstance(value, tuple) else (value,))]
        texts = [word for word in words if isinstance(word, str) and "'" not in word]
        if texts:
            return f"{name} != '{max(sorted(set(texts)), key=texts.count)}'"
    raise UsageError("the catalog has no field with words; give --where")


def count(recommender: Recommender, histories: Sequence[History], request: Request, n: int) -> Counts:
    """Recommend to all histories under one filter, and count."""
    counts, begin = Counts(request.name, n), time.perf_counter()
    ids = [item.id for item in recommender.catalog]
    allowed = {ids[row] for row in np.flatnonzero(request.left)}
    made = recommender.recommend_many(histories, n, request.filters(recommender))
    for history, picks in zip(histories, made, strict=True):
        had = set() if recommender.domain.repeat else {ids[row] for row in history.rows}
        counts.add(picks, set(ids), had, allowed)
    counts.seconds = round(time.perf_counter() - begin, 1)
    return counts


def spoil(recommender: Recommender) -> None:
    """Make the language model's scores NaN, and give it the main say."""
    members = dict.fromkeys(recommender.members, 0.1)
    recommender.blend = Blend({LLM_MEMBER: 0.9, **members})
    recommender.generator.llm.code_embedding.data.fill_(float("nan"))
    recommender.generator.clear_caches()


def table(found: Sequence[Counts]) -> str:
    """Return the counts for people."""
    names = ["lists", "items", "invalid", "duplicate", "seen", "filtered", "wrong_length", "no_reason", "disordered"]
    names += ["short", "seconds"]
    width = max(len(one.request) for one in found)
    lines = [f"{'filter':{width}}  {'n':>5}  " + "  ".join(name.replace("_", " ") for name in names)]
    for one in found:
        cells = "  ".join(f"{getattr(one, name):>{len(name)},}" for name in names)
        lines.append(f"{one.request:{width}}  {one.n:>5}  {cells}")
    broken = sum(one.broken for one in found)
    lines.append(f"{broken:,} broken promises in {sum(one.lists for one in found):,} lists")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
