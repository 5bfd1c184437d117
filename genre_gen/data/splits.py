"""Splits: the interactions that a recommender learns from, and the cases that it is tuned and evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.arguments import check_choice, check_number, check_path, check_type
from genre_gen.data.catalog import Catalog
from genre_gen.data.frames import Library, in_library
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.errors import DataError, UsageError

Part: TypeAlias = Literal["validation", "test"]

_BEFORE_TEST = 2  # interactions before a target of the test: one to validate on, and one before that
NO_CASES = (
    "leave-one-out takes users with three interactions, global-time users on both sides of its moments; "
    "choose another split, or give more data"
)
"""How to get cases from a split that has none, for messages."""


@dataclass(frozen=True, eq=False)
class Case:
    """One question of an evaluation: given this history, which item came next?

    Attributes:
        history: the interactions that a model may see.
        target: catalog row of the held-out item.
        rating: the rating the user gave it; NaN if none.

    Example:
        >>> case = split.test[0]
        >>> case.history.user, split.catalog[case.target].title, case.rating
        ('17', '…', …)
    """

    history: History
    target: int
    rating: float = float("nan")


@dataclass(frozen=True)
class Split:
    """One way to hold interactions out. Make one with ``Dataset.leave_one_out`` or ``Dataset.global_time``.

    Attributes:
        name: ``leave-one-out``, ``global-time`` or ``all`` (nothing is held out for a test).
        catalog: the items.
        histories: all interactions, held-out ones included; users' histories are looked up here.
        train: interactions that models learn from while settings are chosen.
        validation: cases to choose settings on.
        test: cases to report on; their histories include the validation item.
        train_and_validation: interactions that the refit learns from.

    Example:
        >>> split = data.leave_one_out()
        >>> len(split.train), len(split.validation), len(split.test)
        (275, 30, 30)
    """

    name: str
    catalog: Catalog
    histories: Interactions
    train: Interactions
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    train_and_validation: Interactions

    def __post_init__(self) -> None:
        """Check that interactions and catalog have the same number of items; raises UsageError."""
        for interactions in (self.histories, self.train, self.train_and_validation):
            if interactions.n_items != len(self.catalog):
                raise UsageError(
                    f"the interactions belong to a catalog of {interactions.n_items:,} items, but this one has "
                    f"{len(self.catalog):,}; load both together with Dataset.load"
                )

    def cases(self, part: Part) -> tuple[Case, ...]:
        """Return the cases of one part; raises UsageError for another name.

        Example:
            >>> len(split.cases("validation"))
            30
        """
        check_choice(part, "part", ("validation", "test"))
        return self.validation if part == "validation" else self.test

    def targets(self, part: Part) -> NDArray[np.int64]:
        """Return the positions of a part's targets in ``histories``, int64 ``[cases]``.

        Example:
            >>> bool(split.histories.rows[split.targets("test")[0]] == split.test[0].target)
            True
        """
        cases = self.cases(part)
        users = np.array([self.histories.user_row(str(case.history.user)) for case in cases], np.int64)
        return self.histories.offsets[users] + np.array([len(case.history) for case in cases], np.int64)

    def to_frames(self, library: Library = "polars") -> dict[str, Any]:
        """Return data frames: ``train``, ``validation``, ``test`` and ``train_and_validation``.

        Validation and test have one row per case, the interaction to find; see ``Interactions.to_frame`` for columns.

        Example:
            >>> {name: len(frame) for name, frame in split.to_frames().items()}
            {'train': 275, 'validation': 30, 'test': 30, 'train_and_validation': 305}

        Raises:
            UsageError, MissingPackageError: as :func:`genre_gen.data.frames.in_library`.
        """
        frames = {
            "train": self.train.to_frame(self.catalog),
            "validation": self.histories.to_frame(self.catalog, positions=self.targets("validation")),
            "test": self.histories.to_frame(self.catalog, positions=self.targets("test")),
            "train_and_validation": self.train_and_validation.to_frame(self.catalog),
        }
        return {name: in_library(frame, library) for name, frame in frames.items()}

    def to_recbole(self, folder: str | Path) -> list[Path]:
        """Write RecBole's atomic files of this split, a benchmark in its words; returns the files.

        RecBole then learns from ``train`` and ranks the targets of ``test`` among all items but the user's earlier
        ones, as our evaluation does. What lies between the two parts is its ``valid``: the validation targets, and in
        a ``global-time`` split all interactions of that period.

        Example:
            >>> [file.name for file in split.to_recbole("exports/movies")]
            ['movies.item', 'movies.train.inter', 'movies.valid.inter', 'movies.test.inter', 'movies.yaml']

        Raises:
            UsageError: nothing is held out for a test.
            DataError: ids that the format cannot hold.
        """
        from genre_gen.data.writers import write_recbole

        self._check_test("RecBole")
        between = _beyond(self.train_and_validation, self.train)
        parts = {
            "train": self.train.to_frame(self.catalog),
            "valid": self.train_and_validation.to_frame(self.catalog, positions=between),
            "test": self.histories.to_frame(self.catalog, positions=self.targets("test")),
        }
        return write_recbole(check_path(folder, "folder"), self.catalog, parts)

    def to_lenskit(self, folder: str | Path) -> list[Path]:
        """Write what LensKit needs for the same evaluation; returns the files.

        ``train`` and ``train_and_validation`` are folders for ``lenskit.data.Dataset.load``, ``validation.parquet``
        and ``test.parquet`` the targets for ``lenskit.data.ItemListCollection.load_parquet``, a list per user. What
        learns from ``train_and_validation`` has seen the histories of ``test``.

        Example:
            >>> split.to_lenskit("exports/lenskit")[-1].name
            'test.parquet'

        Raises:
            UsageError: nothing is held out for a test.
        """
        from genre_gen.data.writers import write_lenskit, write_lists

        self._check_test("LensKit")
        files, folder = list[Path](), check_path(folder, "folder")
        for name in ("train", "train_and_validation"):
            files += write_lenskit(folder / name, self.catalog, getattr(self, name))
        frames = self.to_frames()
        for part in ("validation", "test"):
            files.append(folder / f"{part}.parquet")
            write_lists(files[-1], frames[part])
        return files

    def _check_test(self, library: str) -> None:
        if not self.test:
            raise UsageError(f"the split {self.name!r} holds nothing out for {library} to test on; {NO_CASES}")


def check_split(split: object) -> Split:
    """Return a split; raises UsageError for a data set, a name or anything else."""
    return check_type(split, Split, "split", "a split of a data set, such as data.leave_one_out()")


def leave_one_out(interactions: Interactions, catalog: Catalog) -> Split:
    """Hold out each user's last item for test and the one before for validation.

    Users with fewer than three interactions stay in the train part as a whole and have no case. With kinds of events,
    the targets are the last ones of a measured kind: what comes after the target of the test is left out, and a user
    with one of them only has no case to validate on.
    """
    test = _last_targets(interactions, _BEFORE_TEST)
    validation = _last_targets(interactions, 1, before=test)
    train, train_and_validation = (_cut(interactions, at) for at in (np.where(validation < 0, test, validation), test))
    cases = _cases(interactions, validation), _cases(interactions, test)
    return Split("leave-one-out", catalog, interactions, train, *cases, train_and_validation)


def hold_out_last(interactions: Interactions, catalog: Catalog) -> Split:
    """Hold out each user's last item for validation; raises UsageError if no user has three interactions.

    With kinds of events it is the last one of a measured kind.
    """
    last = _last_targets(interactions, _BEFORE_TEST)
    if (last < 0).all():
        few = "three interactions" if interactions.measured.all() else "a measured event after two others"
        raise UsageError(f"no user has {few}, so there is nothing to validate on; give more data")
    return Split("all", catalog, interactions, _cut(interactions, last), _cases(interactions, last), (), interactions)


def global_time(interactions: Interactions, catalog: Catalog, validation: float = 0.1, test: float = 0.1) -> Split:
    """Train on everything before one moment; each user's first item after it is a case.

    With kinds of events it is the first one of a measured kind, and its history has what came before.

    ``test`` is the share of all interactions (by time) in the last period, ``validation`` the share in the period
    before. A user without an interaction before a period has no case in it.

    Raises:
        DataError: the data has no times, or all times are equal.
        UsageError: the shares leave nothing to train on.
    """
    if interactions.times is None:
        raise DataError("a global-time split needs times, and this data has none; split by leave-one-out")
    shares = "give shares of all interactions, such as 0.1, which add up to less than 1"
    validation, test = check_number(validation, "validation", shares), check_number(test, "test", shares)
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise UsageError(f"validation {validation} and test {test} must be positive and add up to less than 1")
    begins = np.quantile(interactions.times, [1 - test - validation, 1 - test])
    parts: tuple[list[Case], list[Case]] = ([], [])
    for history, start in zip(interactions.histories(), interactions.offsets.tolist(), strict=False):
        # Interactions before each moment; the first one after it is the case, if it lies before the next moment.
        before = [*np.searchsorted(history.times, begins).tolist(), len(history)]  # type: ignore[arg-type]
        for part, first, until in zip(parts, before, before[1:], strict=False):
            targets = np.flatnonzero(interactions.measured[start + first : start + until])
            if first > 0 and len(targets):
                part.append(_case(history, first + int(targets[0])))
    if not (interactions.times < begins[0]).any():
        raise DataError("all interactions have the same time; split by leave-one-out")
    train, train_and_validation = (interactions.keep(interactions.times < begin) for begin in begins)
    validation_cases, test_cases = tuple(parts[0]), tuple(parts[1])
    return Split("global-time", catalog, interactions, train, validation_cases, test_cases, train_and_validation)


SPLITS = {"leave-one-out": leave_one_out, "global-time": global_time, "all": hold_out_last}
"""The splits by name."""


def sample_cases(cases: Sequence[Case], limit: int) -> Sequence[Case]:
    """Return at most ``limit`` cases in their order; the same cases on each call."""
    if len(cases) <= limit:
        return cases
    chosen = np.random.default_rng(0).choice(len(cases), limit, replace=False)
    return [cases[position] for position in sorted(chosen.tolist())]


def _last_targets(interactions: Interactions, least: int, before: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Return the place of each user's last measured interaction with ``least`` others before it: int64 ``[n_users]``.

    -1 stands for none. With ``before``, one place a user, only earlier places count.
    """
    places = np.arange(len(interactions)) - interactions.offsets[interactions.owners]
    chosen = interactions.measured & (places >= least)
    if before is not None:
        chosen &= places < before[interactions.owners]
    last = np.full(len(interactions.users), -1)
    last[interactions.owners[chosen]] = places[chosen]  # places of a user ascend, so the last one stays
    return last


def _cut(interactions: Interactions, at: NDArray[np.int64]) -> Interactions:
    """Return each user's interactions before a place; all where it is -1."""
    places = np.arange(len(interactions)) - interactions.offsets[interactions.owners]
    stops = at[interactions.owners]
    return interactions.keep((places < stops) | (stops < 0))


def _beyond(longer: Interactions, shorter: Interactions) -> NDArray[np.int64]:
    """Return the positions in ``longer`` of what each user has in it after the part that ``shorter`` has as well."""
    lengths = dict(zip(shorter.users, np.diff(shorter.offsets).tolist(), strict=True))
    common = np.array([lengths.get(user, 0) for user in longer.users], np.int64)
    place = np.arange(len(longer)) - longer.offsets[longer.owners]
    return np.flatnonzero(place >= common[longer.owners])


def _cases(interactions: Interactions, at: NDArray[np.int64]) -> tuple[Case, ...]:
    """Return the cases whose targets lie at one place a user; none where it is -1."""
    return tuple(_case(interactions.history_at(row), int(at[row])) for row in np.flatnonzero(at >= 0).tolist())


def _case(history: History, position: int) -> Case:
    rating = float("nan") if history.ratings is None else float(history.ratings[position])
    return Case(history.slice(0, position), int(history.rows[position]), rating)
