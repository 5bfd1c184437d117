"""Interactions and histories, and the two splits: leave-one-out and global time."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from genre_gen.errors import DataError, UnknownUserError, UsageError

NO_CASES = (
    "leave-one-out takes users with three interactions, global-time users on both sides of its moments; "
    "split otherwise, or give more data"
)
"""What a split that leaves no cases needs, for messages."""


@dataclass(frozen=True)
class History:
    """One user's items in time order, oldest first.

    Attributes:
        rows: int64 ``[n]`` catalog rows; an item may repeat where the domain allows it.
        ratings: float32 ``[n]``, NaN where not rated; None where the data has no ratings at all.
        times: int64 ``[n]`` seconds since 1970; None where the data has no times.
        user: the user's id in the data, or None for a history given by hand.
    """

    rows: NDArray[np.int64]
    ratings: NDArray[np.float32] | None = None
    times: NDArray[np.int64] | None = None
    user: str | None = None

    @classmethod
    def from_events(
        cls, rows: Sequence[int], ratings: Sequence[float] | None = None, times: Sequence[int] | None = None
    ) -> History:
        """Build a history by hand, of no user.

        Args:
            rows: catalog rows.
            ratings: one for each row, NaN where not rated.
            times: one for each row, in seconds since 1970; they decide the order (equal times keep theirs).

        Raises:
            UsageError: as many ratings or times as rows are needed.
        """
        for name, values in (("ratings", ratings), ("times", times)):
            if values is not None and len(values) != len(rows):
                raise UsageError(f"{len(rows)} items and {len(values)} {name}; give one for each item, or none at all")
        stars = None if ratings is None else np.asarray(ratings, np.float32)
        history = cls(
            np.asarray(rows, np.int64),
            None if stars is None or np.isnan(stars).all() else stars,
            None if times is None else np.asarray(times, np.int64),
        )
        return history if history.times is None else history.take(np.argsort(history.times, kind="stable"))

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.rows)

    @property
    def rated(self) -> bool:
        """Tell whether anything is rated; data may have ratings and still none here."""
        return self.ratings is not None and not np.isnan(self.ratings).all()

    def take(self, selection: slice | NDArray[Any]) -> History:
        """Return some of the interactions, as numpy selects them: a slice, a bool mask or positions."""
        return History(
            self.rows[selection],
            None if self.ratings is None else self.ratings[selection],
            None if self.times is None else self.times[selection],
            self.user,
        )

    def last(self, n: int) -> History:
        """Return the ``n`` most recent interactions."""
        return self.slice(max(0, len(self) - n), len(self))

    def slice(self, start: int, stop: int) -> History:
        """Return interactions ``start`` to ``stop`` (exclusive)."""
        return self.take(slice(start, stop))

    def without(self, rows: Collection[int]) -> History:
        """Return the history with every interaction with some items left out."""
        return self.take(~np.isin(self.rows, np.fromiter(rows, np.int64)))

    def until(self, moment: int) -> History:
        """Return the interactions at or before a moment in seconds since 1970; raises UsageError without times."""
        if self.times is None:
            raise UsageError("this history has no times, so it cannot be cut at a moment; give times, or no moment")
        return self.take(self.times <= moment)


@dataclass(frozen=True)
class Case:
    """One question of an evaluation: given this history, which item came next?

    Attributes:
        history: what a model may see.
        target: catalog row of the item to find.
        rating: the rating the user gave it; NaN if none.
    """

    history: History
    target: int
    rating: float = float("nan")


@dataclass(frozen=True)
class Split:
    """Training interactions and the cases to tune and to report on.

    Attributes:
        train: what models learn from.
        validation: cases to choose settings on.
        test: cases to report on; their histories include the validation item.
        name: ``leave-one-out`` or ``global-time``.
        train_and_validation: the training interactions and those of the validation part: what models may learn from
            once everything is chosen.
    """

    train: Interactions
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    name: str
    train_and_validation: Interactions

    def cases(self, part: Literal["validation", "test"]) -> tuple[Case, ...]:
        """Return the cases of one part."""
        return self.validation if part == "validation" else self.test


@dataclass(frozen=True)
class Reviews:
    """What users wrote of items.

    Attributes:
        summaries: the headline of each review, "" where there is none.
        texts: the review itself, "" where there is none.
    """

    summaries: Sequence[str]
    texts: Sequence[str]


class Interactions:
    """All users' histories in one compressed array (CSR): user ``u`` owns ``offsets[u]:offsets[u + 1]``.

    Attributes:
        users: user ids; a user's position is its *user row*.
        offsets: int64 ``[n_users + 1]``. All arrays are read-only, and so are those of the histories cut from them.
        rows: int64 ``[n]`` catalog rows, each user's in time order (ties keep file order).
        ratings: float32 ``[n]`` or None.
        times: int64 ``[n]`` or None.
        n_items: size of the catalog the rows point into.
        reviews: what was written, where the domain has it read; only training needs it, so it is not saved.
        review_of: int64 ``[n]``, which of the reviews goes with each interaction; None without reviews.
    """

    def __init__(
        self,
        users: Sequence[str],
        offsets: NDArray[np.int64],
        rows: NDArray[np.int64],
        n_items: int,
        ratings: NDArray[np.float32] | None = None,
        times: NDArray[np.int64] | None = None,
        reviews: Reviews | None = None,
        review_of: NDArray[np.int64] | None = None,
    ) -> None:
        """Hold arrays that already follow the layout above; build from a table with ``from_columns``."""
        self.reviews = reviews
        self.review_of = None if review_of is None else _frozen(review_of)
        self.users, self.n_items = tuple(map(str, users)), n_items
        self.offsets, self.rows = _frozen(offsets), _frozen(rows)
        self.ratings = None if ratings is None else _frozen(ratings)
        self.times = None if times is None else _frozen(times)
        self._row_of_user = {user: row for row, user in enumerate(self.users)}

    @classmethod
    def from_columns(
        cls,
        users: Sequence[str] | NDArray[np.str_],
        rows: NDArray[np.int64],
        n_items: int,
        ratings: NDArray[np.float32] | None = None,
        times: NDArray[np.int64] | None = None,
        reviews: Reviews | None = None,
    ) -> Interactions:
        """Group a log (one entry per interaction, file order) into histories.

        Sorts each user's interactions by time; equal times keep file order (44 % of ML-100K's users end on a tie,
        so the rule decides results). Users keep the order of their first appearance.

        Raises:
            DataError: no entries, columns of different length, or rows outside the catalog.
        """
        for column in (rows, ratings, times, None if reviews is None else reviews.summaries):
            if column is not None and len(column) != len(users):
                raise DataError(f"columns of {len(users)} and {len(column)} entries; they must be of one length")
        if len(rows) == 0:
            raise DataError("no interactions left; check the column mapping and the filters")
        if rows.min() < 0 or rows.max() >= n_items:
            raise DataError(f"catalog rows run from 0 to {n_items - 1}, not from {rows.min()} to {rows.max()}")
        row_of_user: dict[str, int] = defaultdict(itertools.count().__next__)  # a new user gets the next number
        user_rows = np.fromiter(map(row_of_user.__getitem__, map(str, users)), np.int64, len(rows))
        order = np.lexsort((user_rows,) if times is None else (times, user_rows))  # stable: file order breaks ties
        counts = np.bincount(user_rows)
        return cls(
            list(row_of_user),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            rows[order].astype(np.int64),
            n_items,
            None if ratings is None else ratings[order].astype(np.float32),
            None if times is None else times[order].astype(np.int64),
            reviews,
            None if reviews is None else order.astype(np.int64),
        )

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.rows)

    @property
    def rated(self) -> bool:
        """Tell whether anything is rated; data may have ratings and still none here."""
        return self.ratings is not None and not np.isnan(self.ratings).all()

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """Return the user row of each interaction: int64 ``[n]``."""
        return _frozen(np.repeat(np.arange(len(self.users)), np.diff(self.offsets)))

    def user_row(self, user: str) -> int:
        """Return the row of a user, whose id may also be given as the number it is in the data.

        Raises:
            UnknownUserError: no such user.
        """
        try:
            return self._row_of_user[str(user)]
        except KeyError:
            raise UnknownUserError(
                f"no user {user!r} among {len(self.users)} users (such as {', '.join(self.users[:3])}); "
                "give a history of titles instead"
            ) from None

    def history_at(self, user_row: int) -> History:
        """Return the history in a user row."""
        everything = History(self.rows, self.ratings, self.times, self.users[user_row])
        return everything.slice(int(self.offsets[user_row]), int(self.offsets[user_row + 1]))

    def history(self, user: str) -> History:
        """Return a user's history, see ``user_row``; raises UnknownUserError."""
        return self.history_at(self.user_row(user))

    def histories(self) -> list[History]:
        """Return all histories in user-row order."""
        return [self.history_at(row) for row in range(len(self.users))]

    def keep(self, chosen: NDArray[np.bool_]) -> Interactions:
        """Return the chosen interactions only (bool ``[n]``); users left without any disappear."""
        counts = np.bincount(self.owners[chosen], minlength=len(self.users))
        present = np.flatnonzero(counts)
        return Interactions(
            [self.users[row] for row in present],
            np.concatenate([[0], np.cumsum(counts[present])]).astype(np.int64),
            self.rows[chosen],
            self.n_items,
            None if self.ratings is None else self.ratings[chosen],
            None if self.times is None else self.times[chosen],
            self.reviews,
            None if self.review_of is None else self.review_of[chosen],
        )

    def review(self, position: int) -> tuple[str, str]:
        """Return headline and text of the review that goes with an interaction; two empty texts where none does."""
        if self.reviews is None or self.review_of is None:
            return "", ""
        written = int(self.review_of[position])
        return self.reviews.summaries[written], self.reviews.texts[written]

    def leave_one_out(self) -> Split:
        """Hold out each user's last item for test and the one before for validation.

        Users with fewer than three interactions stay in train whole and make no case.
        """
        held_out = 2
        lengths = np.diff(self.offsets)
        held = lengths > held_out
        from_end = np.repeat(self.offsets[1:], lengths) - np.arange(len(self.rows))
        chosen = (from_end > held_out) | ~np.repeat(held, lengths)
        cases: list[list[Case]] = [[], []]
        for user_row in np.flatnonzero(held):
            history = self.history_at(int(user_row))
            for part, back in enumerate((2, 1)):
                cases[part].append(_case(history, len(history) - back))
        train_and_validation = self.keep((from_end > 1) | ~np.repeat(held, lengths))
        return Split(self.keep(chosen), tuple(cases[0]), tuple(cases[1]), "leave-one-out", train_and_validation)

    def split(self, name: str) -> Split:
        """Split by a split's name, ``leave-one-out`` or ``global-time``; raises UsageError for another."""
        splits = {"leave-one-out": self.leave_one_out, "global-time": self.global_time}
        if name not in splits:
            raise UsageError(f"no split {name!r}; choose {' or '.join(splits)}")
        return splits[name]()

    def global_time(self, validation: float = 0.1, test: float = 0.1) -> Split:
        """Train on everything before one moment; each user's first item after it is a case.

        Args:
            validation: share of all interactions (by time) in the first later period.
            test: share of them in the last period.

        Users without an interaction before a period make no case in it: they are new, and the split is about the rest.

        Raises:
            DataError: the data has no times, or all of them are the same.
            UsageError: shares that leave nothing to train on.
        """
        if self.times is None:
            raise DataError("a global-time split needs times; this data has none, use leave_one_out()")
        if not (validation > 0 and test > 0 and validation + test < 1):
            raise UsageError(f"validation {validation} and test {test} must be positive and leave a share to train on")
        begins = np.quantile(self.times, [1 - test - validation, 1 - test])
        parts: tuple[list[Case], list[Case]] = ([], [])
        for history in self.histories():
            # Interactions before each moment; the first one after it is the case, if it lies before the next moment.
            before = [*np.searchsorted(history.times, begins), len(history)]  # type: ignore[arg-type]
            for part, first, until in zip(parts, before, before[1:], strict=False):
                if 0 < first < until:
                    part.append(_case(history, int(first)))
        before_all = self.times < begins[0]
        if not before_all.any():
            raise DataError("no interaction lies before the others; use leave_one_out()")
        train_and_validation = self.keep(self.times < begins[1])
        return Split(self.keep(before_all), tuple(parts[0]), tuple(parts[1]), "global-time", train_and_validation)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays, ready for safetensors; ``from_arrays`` restores it."""
        arrays = {"offsets": self.offsets, "rows": self.rows, "n_items": np.array([self.n_items])}
        arrays["users"] = np.frombuffer(json.dumps(self.users).encode(), dtype=np.uint8)
        optional = {"ratings": self.ratings, "times": self.times}
        return arrays | {name: array for name, array in optional.items() if array is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Interactions:
        """Restore what ``arrays`` returned."""
        users = json.loads(np.asarray(arrays["users"]).tobytes())
        n_items = int(arrays["n_items"][0])
        return cls(users, arrays["offsets"], arrays["rows"], n_items, arrays.get("ratings"), arrays.get("times"))


_Array = TypeVar("_Array", bound="NDArray[Any]")


def _frozen(array: _Array) -> _Array:
    """Return a view that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def sample_cases(cases: Sequence[Case], limit: int) -> Sequence[Case]:
    """Return at most ``limit`` cases in their order: the same ones each time."""
    if len(cases) <= limit:
        return cases
    chosen = np.random.default_rng(0).choice(len(cases), limit, replace=False)
    return [cases[place] for place in sorted(chosen.tolist())]


def check_rows(rows: NDArray[np.int64], n_items: int) -> None:
    """Raise UsageError where histories hold a catalog row that a model has never been told of."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_items:
        raise UsageError(
            f"a history holds catalog row {rows.max() if rows.max() >= n_items else rows.min()}, but the model was "
            f"fitted on {n_items} items; fit it again on the present catalog"
        )


def allowed_items(histories: Sequence[History], n_items: int, repeat: bool = False) -> NDArray[np.bool_]:
    """Return what may be recommended: bool ``[len(histories), n_items]``, all items, or all but the seen ones."""
    allowed = np.ones((len(histories), n_items), dtype=bool)
    if not repeat:
        for row, history in enumerate(histories):
            allowed[row, history.rows] = False
    return allowed


def _case(history: History, position: int) -> Case:
    rating = float("nan") if history.ratings is None else float(history.ratings[position])
    return Case(history.slice(0, position), int(history.rows[position]), rating)
