"""Guarantees: check a recommender's promises by comparing its lists with the data, independently of its code.

The promises about a list: all items are in the catalog, none is repeated, none is in the user's history, and none is
excluded by a filter. The list has n items, or all allowed items and a note if there are fewer. It is ordered by
descending score. Parts sum to the scores. Rules: quotas are kept, pins are at their ranks, a list is shorter only if no
other allowed item fits into the quotas, and notes report rules that were not kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.history import History
from genre_gen.errors import UsageError
from genre_gen.evaluation.rule_promises import RulePromises
from genre_gen.recommender.requests import BOOST
from genre_gen.rules.settings import Rules

if TYPE_CHECKING:
    from genre_gen.recommender.recommender import Recommender
    from genre_gen.recommender.requests import Recommendation, Recommendations

POPULAR = 100  # number of most popular items that one of the requests excludes
FEW = 5  # number of items that another request includes
TOLERANCE = 1e-4  # of sums of parts, in single precision
BROKEN = (
    "invalid", "duplicate", "seen", "filtered", "wrong_length", "no_reason", "disordered", "over_quota", "misplaced",
    "unsatisfied", "wrong_parts",
)  # fmt: skip
"""Kinds of broken promises, as :class:`PromiseCounts` counts them."""


@dataclass(frozen=True)
class FilterRequest:
    """A filter as arguments of a request (expression, ids) and as a mask, bool ``[n_items]``, with a name.

    ``rules`` are those of the request; None means the domain's.
    """

    name: str
    allowed: NDArray[np.bool_]
    where: str | None = None
    exclude: Sequence[str] = ()
    include: Sequence[str] | None = None
    rules: Rules | None = None

    def options(self) -> dict[str, Any]:
        """Return the filter as arguments of ``Recommender.recommend``."""
        return {"where": self.where, "exclude": self.exclude, "include": self.include, "rules": self.rules}


@dataclass
class PromiseCounts:
    """Counts for one request (by name) and list length ``n``: lists, items, and broken promises.

    Attributes:
        invalid: items that are not in the catalog.
        duplicate: items that are repeated in a list.
        seen: items of the user's history, and those that events hide.
        filtered: items that the filter excludes.
        wrong_length: lists with neither n items nor all allowed items that fit into the quotas.
        short: lists of fewer than n items, which break no promise.
        no_reason: short lists without a note, and rules that were not kept without one.
        disordered: lists whose ranks, or scores of items that are not pinned, are out of order.
        over_quota: items above a quota.
        misplaced: allowed pins that are not at their ranks, and picks that are wrongly marked as pinned.
        unsatisfied: rules of ``at_least`` not kept although an item could replace a pick that no such rule needs.
        wrong_parts: items whose parts do not sum to the score, or whose boost differs from the rules.
    """

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
    over_quota: int = 0
    misplaced: int = 0
    unsatisfied: int = 0
    wrong_parts: int = 0
    seconds: float = 0.0

    @property
    def broken(self) -> int:
        """Return the number of broken promises."""
        return sum(getattr(self, kind) for kind in BROKEN)

    def add(
        self, picks: Recommendations, catalog: set[str], seen: set[str], allowed: set[str], rules: RulePromises
    ) -> None:
        """Check one list; the sets contain ids; ``allowed`` are those that the filter permits, seen or not."""
        ids = [pick.item.id for pick in picks]
        self.lists += 1
        self.items += len(ids)
        self.invalid += sum(item not in catalog for item in ids)
        self.duplicate += len(ids) - len(set(ids))
        self.seen += sum(item in seen for item in ids)
        self.filtered += sum(item not in allowed for item in ids)
        free = allowed - seen
        self.wrong_length += len(ids) != min(self.n, len(free)) and (
            len(ids) > self.n or rules.may_be_longer(ids, free)
        )
        self.short += len(ids) < self.n
        self.no_reason += len(ids) < self.n and not any("items" in note for note in picks.notes)
        self.no_reason += rules.unsaid(picks)
        scores, ranks = [pick.score for pick in picks if not pick.pinned], [pick.rank for pick in picks]
        self.disordered += scores != sorted(scores, reverse=True) or ranks != list(range(1, len(ids) + 1))
        self.over_quota += rules.over_quota(ids)
        self.misplaced += rules.misplaced(picks, free)
        self.unsatisfied += rules.unsatisfied(picks, free)
        self.wrong_parts += sum(_wrong_parts(pick, rules) for pick in picks)


@dataclass(frozen=True)
class GuaranteeReport:
    """The counts of :func:`check_guarantees`: a row for each request and list length."""

    rows: tuple[PromiseCounts, ...]

    @property
    def lists(self) -> int:
        """Return the number of lists checked."""
        return sum(row.lists for row in self.rows)

    @property
    def broken(self) -> dict[str, int]:
        """Return the number of broken promises of each kind."""
        return {kind: sum(getattr(row, kind) for row in self.rows) for kind in BROKEN}

    @property
    def kept(self) -> bool:
        """Tell whether no promise was broken."""
        return not any(self.broken.values())

    def to_dict(self) -> dict[str, Any]:
        """Return all counts as JSON values."""
        return {"lists": self.lists, "broken": sum(self.broken.values()), "rows": [asdict(row) for row in self.rows]}


def check_guarantees(
    recommender: Recommender,
    sizes: Iterable[int] = (10,),
    *,
    requests: Sequence[FilterRequest] | None = None,
    histories: Sequence[History] | None = None,
) -> GuaranteeReport:
    """Recommend with each request and list length, and count broken promises.

    Args:
        recommender: a fitted recommender, which is not changed.
        sizes: items per list; a number above the catalog's size means all items.
        requests: filters to check; None for those of :func:`filter_requests`.
        histories: histories of the users to check; None for all users of the recommender.
    """
    histories = recommender.state.histories.histories() if histories is None else histories
    lengths = sorted({min(n, len(recommender.state.catalog)) for n in sizes})
    requests = filter_requests(recommender) if requests is None else requests
    return GuaranteeReport(
        tuple(count_promises(recommender, histories, request, n) for request in requests for n in lengths)
    )


def count_promises(
    recommender: Recommender, histories: Sequence[History], request: FilterRequest, n: int
) -> PromiseCounts:
    """Recommend n items to all histories with one request, and count."""
    counts, begin = PromiseCounts(request.name, n), time.perf_counter()
    ids = [item.id for item in recommender.state.catalog]
    catalog, allowed = set(ids), {ids[row] for row in np.flatnonzero(request.allowed)}
    rules = RulePromises(
        recommender.domain.rules if request.rules is None else request.rules, recommender.state.catalog
    )
    for who, picks in recommender.recommend(users=histories, n=n, **request.options()):
        seen = {ids[row] for row in cast("History", who).barred(recommender.domain.repeat)}
        counts.add(picks, catalog, seen, allowed, rules)
    counts.seconds = round(time.perf_counter() - begin, 1)
    return counts


def _wrong_parts(pick: Recommendation, rules: RulePromises) -> bool:
    tolerance, boost = TOLERANCE * max(1.0, abs(pick.score)), rules.boost(pick.item.id)
    return abs(sum(pick.parts.values()) - pick.score) > tolerance or abs(pick.parts.get(BOOST, 0.0) - boost) > tolerance


def filter_requests(recommender: Recommender, where: str | None = None) -> list[FilterRequest]:
    """Return filters of every kind: none, by attributes, lists of items to exclude or include, and all combined.

    Without an expression, one is made from the catalog's first field of words; raises UsageError if there is none.
    """
    catalog = recommender.state.catalog
    ids = np.array([item.id for item in catalog])
    where = where or _without_the_most_common(catalog)
    counts = np.bincount(recommender.state.histories.rows, minlength=len(catalog))
    by_count = np.argsort(-counts, kind="stable")
    unpopular = np.ones(len(catalog), bool)
    unpopular[by_count[: min(POPULAR, len(catalog) // 4)]] = False
    stock = np.random.default_rng(0).random(len(catalog)) < 0.5  # noqa: PLR2004 - half of them
    few = np.zeros(len(catalog), bool)
    few[by_count[:FEW]] = True
    matching = catalog.where(where)
    excluded, included, few_ids = ids[~unpopular].tolist(), ids[stock].tolist(), ids[few].tolist()
    return [
        FilterRequest("none", np.ones(len(catalog), bool)),
        FilterRequest(f"where {where}", matching, where),
        FilterRequest(f"without the {len(excluded)} most popular", unpopular, exclude=excluded),
        FilterRequest("half of the catalog in stock", stock, include=included),
        FilterRequest("these three together", matching & unpopular & stock, where, excluded, included),
        FilterRequest(f"{FEW} popular items only", few, include=few_ids),
    ]


def _without_the_most_common(catalog: Catalog) -> str:
    """Return an expression that excludes the items with the most common word of the first field of words."""
    for name in catalog.fields:
        values = [item.attributes[name] for item in catalog]
        words = [word for value in values for word in (value if isinstance(value, tuple) else (value,))]
        texts = [word for word in words if isinstance(word, str) and "'" not in word]
        if texts:
            return f"{name} != '{max(sorted(set(texts)), key=texts.count)}'"
    raise UsageError("the catalog has no field of words; give a filter expression")
