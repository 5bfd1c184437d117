"""How far the lists of two trained recommenders agree."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genre_gen.data.interactions import Interactions
from genre_gen.errors import CheckpointError, ConfigError, DecodingError, MissingPackageError, SourceError
from genre_gen.evaluation.saved_run import SavedRun
from genre_gen.metrics import overlap, rank_biased_overlap
from genre_gen.recommender import loading
from genre_gen.recommender.answering import answer_many
from genre_gen.recommender.requests import Request, Who

EXAMPLES = 3


@dataclass(frozen=True)
class ListExample:
    """Two lists of titles for one user, and how similar they are."""

    user: str
    rank_biased_overlap: float
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True)
class ListComparison:
    """One run's lists against those of the first run.

    Attributes:
        run: its name.
        users: how many lists were compared.
        n: items in a list, at most.
        overlap: mean share of common items.
        rank_biased_overlap: mean, see :func:`genre_gen.metrics.rank_biased_overlap`.
        other_top_pick: share of users whose first item differs.
        examples: the users whose lists differ most.
    """

    run: str
    users: int
    n: int
    overlap: float
    rank_biased_overlap: float
    other_top_pick: float
    examples: tuple[ListExample, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        return asdict(self)


Lists = Mapping[str, Sequence[tuple[str, str]]]
"""User -> (id, title) of the items, best first."""


def make_lists(folder: Path, asked: Mapping[str, Who], n: int, plugins: Collection[str] = ()) -> Lists:
    """Load a trained recommender and return its ``n`` best items for each who asks; raises what loading raises."""
    state = loading.load(folder, plugins=plugins)
    answers = answer_many(state, [Request(who, n=n) for who in asked.values()])
    return {
        name: [(pick.item.id, pick.item.title) for pick in picks] for name, picks in zip(asked, answers, strict=True)
    }


def compare_lists(run: str, first: Lists, second: Lists, n: int) -> ListComparison:
    """Compare the lists of a run with those of the first one, for the same users."""
    ids = {user: ([item for item, _ in first[user]], [item for item, _ in second[user]]) for user in first}
    closeness = {user: rank_biased_overlap(*pair) for user, pair in ids.items()}
    furthest = sorted((user for user in ids if closeness[user] < 1), key=closeness.__getitem__)[:EXAMPLES]
    return ListComparison(
        run,
        len(ids),
        n,
        float(np.mean([overlap(*pair) for pair in ids.values()])),
        float(np.mean([*closeness.values()])),
        float(np.mean([mine[:1] != theirs[:1] for mine, theirs in ids.values()])),
        tuple(
            ListExample(
                user,
                closeness[user],
                tuple(title for _, title in first[user]),
                tuple(title for _, title in second[user]),
            )
            for user in furthest
        ),
    )


def lists_of_runs(
    runs: Sequence[SavedRun], users: int | Sequence[str], histories: Sequence[Who], n: int, plugins: Collection[str]
) -> tuple[tuple[ListComparison, ...], tuple[str, ...]]:
    """Compare the lists of runs with those of the first; return that, and notes on what was not compared or differs.

    See :func:`genre_gen.evaluation.run_comparison.compare_runs` for arguments and errors.
    """
    asked: dict[str, Who] = {f"history {number}": who for number, who in enumerate(histories, 1)}
    notes: list[str] = []
    if not asked and users != 0:
        logs = [run.histories for run in runs]
        without = [run.name for run, log in zip(runs, logs, strict=True) if log is None or not len(log.users)]
        if without:
            return (), (f"lists are not compared: {', '.join(without)} has no histories of users; give some",)
        chosen = _chosen([log for log in logs if log is not None], users)
        if not chosen:
            return (), ("lists are not compared: the runs have no user in common; give histories",)
        asked = {user: user for user in chosen}
        notes += _different_histories(runs, chosen)
    if not asked:
        return (), ()
    try:
        made = [make_lists(run.folder, asked, n, plugins) for run in runs]
    except (CheckpointError, ConfigError, DecodingError, MissingPackageError, SourceError) as problem:
        return (), (f"lists are not compared: {problem}",)
    compared = [compare_lists(run.name, made[0], lists, n) for run, lists in zip(runs[1:], made[1:], strict=True)]
    return tuple(compared), tuple(notes)


def _chosen(logs: Sequence[Interactions], users: int | Sequence[str]) -> list[str]:
    """Return the users that are asked about: those given, or a sample of those of all logs, the same each time."""
    if not isinstance(users, int):
        for log in logs:
            for user in users:
                log.user_row(user)  # raises
        return list(dict.fromkeys(map(str, users)))
    shared = set.intersection(*(set(log.users) for log in logs))
    ordered = [user for user in logs[0].users if user in shared]
    if len(ordered) <= users:
        return ordered
    rows = np.random.default_rng(0).choice(len(ordered), users, replace=False)
    return [ordered[row] for row in sorted(rows.tolist())]


def _different_histories(runs: Sequence[SavedRun], users: Sequence[str]) -> Iterator[str]:
    def items(run: SavedRun, user: str) -> list[str]:
        assert run.histories is not None  # noqa: S101 - a fact for the type checker
        return [run.catalog[row].id for row in run.histories.history(user).rows.tolist()]

    for run in runs[1:]:
        different = sum(items(runs[0], user) != items(run, user) for user in users)
        if different:
            yield f"{different:,} of {len(users):,} users have another history in {run.name}, which changes lists too"
