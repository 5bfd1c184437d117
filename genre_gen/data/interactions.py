"""Interactions: all users' histories."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.arguments import check_count, check_type
from genre_gen.data.catalog import Catalog
from genre_gen.data.events import EventKinds, Hidden, HiddenItems
from genre_gen.data.frames import Library, in_library
from genre_gen.data.history import History, any_rated, measures, numbers_of, selected
from genre_gen.data.ids import other_form
from genre_gen.data.normal_form import close_matches, composed
from genre_gen.errors import DataError, UnknownUserError, UsageError, quoted
from genre_gen.folders.arrays import count_in, expect, json_in, texts

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Reviews:
    """Reviews of items by users."""

    summaries: Sequence[str]  # the headline of each review, or ""
    texts: Sequence[str]  # the text of each review, or ""


class Interactions:
    """All users' histories in one compressed array (CSR): user ``u`` owns ``offsets[u]:offsets[u + 1]``.

    Attributes:
        users: user ids; a user's position is its *user row*.
        offsets: int64 ``[n_users + 1]``. All arrays are read-only, and so are those of the histories cut from them.
        rows: int64 ``[n]`` catalog rows, each user's in time order (ties keep file order).
        ratings: float32 ``[n]`` or None.
        times: int64 ``[n]`` or None.
        n_items: number of items of the catalog.
        reviews: the reviews, if the domain reads them; only training needs them, so they are not saved.
        review_of: int64 ``[n]``, the index of each interaction's review; None without reviews.
        kinds: the kinds of event that are in it; None without ``[events]``.
        kind_of: uint8 ``[n]``, the index of each interaction's kind; None without kinds.
        hidden: the items that events hide from users, by place in whole histories; ``keep`` drops them.

    Example:
        >>> log = Interactions.from_columns(["ann", "ben", "ann"], np.array([0, 1, 2]), n_items=3)
        >>> log.users, log.history("ann").rows.tolist()
        (('ann', 'ben'), [0, 2])
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
        kinds: EventKinds | None = None,
        kind_of: NDArray[np.uint8] | None = None,
        hidden: HiddenItems | None = None,
    ) -> None:
        """Store arrays that already follow the layout above; ``from_columns`` builds them from a table."""
        self.users, self.n_items, self.reviews = tuple(map(str, users)), n_items, reviews
        self.offsets, self.rows, self.ratings = _frozen(offsets), _frozen(rows), _frozen(ratings)
        self.times, self.review_of = _frozen(times), _frozen(review_of)
        self.kinds, self.kind_of, self.hidden = kinds, _frozen(kind_of), hidden
        self._row_of_user = {composed(user): row for row, user in enumerate(self.users)}

    @classmethod
    def none(cls, n_items: int) -> Interactions:
        """Return interactions without users, with a catalog of ``n_items``."""
        return cls((), np.zeros(1, np.int64), np.zeros(0, np.int64), n_items)

    @classmethod
    def from_columns(
        cls,
        users: Sequence[str] | NDArray[np.str_],
        rows: NDArray[np.int64],
        n_items: int,
        ratings: NDArray[np.float32] | None = None,
        times: NDArray[np.int64] | None = None,
        reviews: Reviews | None = None,
        exact_times: NDArray[np.int64] | NDArray[np.float64] | None = None,
        kinds: EventKinds | None = None,
        kind_of: NDArray[np.uint8] | None = None,
        hidden: HiddenItems | None = None,
    ) -> Interactions:
        """Group a log (one entry per interaction, file order) into histories.

        Sorts each user's interactions by time; equal times keep file order (44 % of ML-100K's users end on a tie,
        so the rule decides results). ``exact_times``, in any unit, replace ``times`` in sorting and are not kept.
        Users keep the order of their first appearance.

        Raises:
            DataError: no entries, columns of different length, or rows outside the catalog.
        """
        check_count(n_items, "n_items", "give the number of items of the catalog")
        check_type(users, (Sequence, np.ndarray), "users", "a list of user ids")
        rows = numbers_of(rows, "rows", whole=True)
        ratings, times = (None if values is None else numbers_of(values, name)
                          for name, values in (("ratings", ratings), ("times", times)))  # fmt: skip
        for column in (rows, ratings, times, exact_times, None if reviews is None else reviews.summaries, kind_of):
            if column is not None and len(column) != len(users):
                raise DataError(f"columns have {len(users)} and {len(column)} entries; they must have the same length")
        if len(rows) == 0:
            raise DataError("no interactions left; check the column mapping and the filters")
        if rows.min() < 0 or rows.max() >= n_items:
            raise DataError(f"catalog rows run from 0 to {n_items - 1}, not from {rows.min()} to {rows.max()}")
        row_of_user: dict[str, int] = defaultdict(itertools.count().__next__)  # a new user gets the next number
        user_rows = np.fromiter(map(row_of_user.__getitem__, map(str, users)), np.int64, len(rows))
        if not all(user is composed(user) for user in row_of_user):  # ids in two forms are one user
            one_form: dict[str, int] = defaultdict(itertools.count().__next__)
            user_rows = np.array([one_form[composed(user)] for user in row_of_user])[user_rows]
            row_of_user = one_form
        when = times if exact_times is None else exact_times
        order = np.lexsort((user_rows,) if when is None else (when, user_rows))  # stable: file order breaks ties
        counts = np.bincount(user_rows)
        return cls(
            list(row_of_user),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            rows[order].astype(np.int64),
            n_items,
            None if ratings is None else ratings[order].astype(np.float32),
            None if times is None else np.floor(times[order]).astype(np.int64),
            reviews,
            None if reviews is None else order.astype(np.int64),
            kinds,
            None if kind_of is None else kind_of[order].astype(np.uint8),
            hidden,
        )

    def with_items(self, n_items: int) -> Interactions:
        """Return the same interactions with a larger catalog, whose further items have none.

        Example:
            >>> data.interactions.with_items(50).n_items
            50

        Raises:
            UsageError: ``n_items`` is less than the number of items that there are.
        """
        if n_items < self.n_items:
            raise UsageError(f"n_items = {n_items}; give {self.n_items} or more, the number of items that there are")
        other = copy.copy(self)
        other.n_items = n_items
        return other

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.rows)

    @property
    def rated(self) -> bool:
        """Tell whether any interaction has a rating; ``ratings`` may also be all NaN."""
        return any_rated(self.ratings)

    @cached_property
    def weights(self) -> NDArray[np.float32] | None:
        """Return each interaction's weight in counts: float32 ``[n]``; None where all count the same."""
        if self.kinds is None or self.kind_of is None or set(self.kinds.weights) == {1.0}:
            return None
        return _frozen(np.array(self.kinds.weights, np.float32)[self.kind_of])

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """Return which interactions evaluations may ask for: bool ``[n]``, all of them without kinds of events."""
        if self.kinds is None or self.kind_of is None:
            return np.ones(len(self.rows), bool)
        return np.array(self.kinds.measured, bool)[self.kind_of]

    def counts_by_kind(self) -> dict[str, int] | None:
        """Return how many interactions there are of each kind of event; None without kinds.

        Example:
            >>> data.interactions.counts_by_kind() is None
            True
        """
        if self.kinds is None or self.kind_of is None:
            return None
        counts = np.bincount(self.kind_of, minlength=len(self.kinds.names)).tolist()
        return dict(zip(self.kinds.names, counts, strict=True))

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """Return the user row of each interaction: int64 ``[n]``."""
        return _frozen(np.repeat(np.arange(len(self.users)), np.diff(self.offsets)))

    def user_row(self, user: str) -> int:
        """Return the row of a user id, a string or a number, ``196.0`` being ``196``; raises UnknownUserError."""
        written = composed(str(user))
        known = written if written in self._row_of_user else other_form(written, self._row_of_user)
        if known is None:
            told = self.unknown(str(user))
            such = f" (such as {', '.join(self.users[:3])})" if self.users and not told.endswith("?") else ""
            raise UnknownUserError(f"{told}{such}; give a history of titles instead")
        return self._row_of_user[known]

    def find_user(self, user: str) -> int | None:
        """Return the row of a user id as it is written; None if there is no such user, which costs nothing more.

        Example:
            >>> data.interactions.find_user("17") is None, data.interactions.find_user("17.0") is None
            (False, True)
        """
        return self._row_of_user.get(composed(user))

    def unknown(self, user: str) -> str:
        """Return, for a message, that no user has an id, with the ids that it may be a slip of."""
        close = " or ".join(map(quoted, close_matches(user, self.users)))
        text = f"no user {quoted(user)} among {len(self.users):,} users"
        return f"{text}, did you mean {close}?" if close else text

    def history_at(self, user_row: int) -> History:
        """Return the history in a user row."""
        user, part = self.users[user_row], slice(int(self.offsets[user_row]), int(self.offsets[user_row + 1]))
        history = History(self.rows, self.ratings, self.times, user).take(part)
        return history if self.hidden is None else replace(history, hidden=self.hidden.of(user))

    def hidden_from(self, user: str) -> Hidden | None:
        """Return the items that events hide from a user, who need not have a history; None if there are none.

        Example:
            >>> data.interactions.hidden_from("17") is None
            True
        """
        return None if self.hidden is None else self.hidden.of(str(user))

    def history(self, user: str) -> History:
        """Return a user's history, see ``user_row``; raises UnknownUserError."""
        return self.history_at(self.user_row(user))

    def histories(self) -> list[History]:
        """Return all histories in user-row order."""
        return [self.history_at(row) for row in range(len(self.users))]

    def keep(self, chosen: NDArray[np.bool_]) -> Interactions:
        """Return the chosen interactions only (bool ``[n]``); users without any are removed, and what is hidden too."""
        counts = np.bincount(self.owners[chosen], minlength=len(self.users))
        present = np.flatnonzero(counts)
        return Interactions(
            [self.users[row] for row in present],
            np.concatenate([[0], np.cumsum(counts[present])]).astype(np.int64),
            self.rows[chosen],
            self.n_items,
            selected(self.ratings, chosen),
            selected(self.times, chosen),
            self.reviews,
            selected(self.review_of, chosen),
            self.kinds,
            selected(self.kind_of, chosen),
        )

    def review(self, position: int) -> tuple[str, str]:
        """Return headline and text of an interaction's review, or two empty strings."""
        if self.reviews is None or self.review_of is None:
            return "", ""
        written = int(self.review_of[position])
        return self.reviews.summaries[written], self.reviews.texts[written]

    def to_frame(
        self, catalog: Catalog, library: Library = "polars", positions: NDArray[np.integer] | None = None
    ) -> Any:
        """Return a data frame with an interaction a row, in the order of the arrays.

        ``user_id`` and ``item_id`` are text; ``rating`` (float32, null where not rated), ``timestamp`` (int64, seconds
        since 1970) and ``event`` (the kind of event) are left out where the data has none.

        Args:
            catalog: the items.
            library: ``polars`` or ``pandas``.
            positions: int64 ``[m]``, the interactions that are wanted, in this order; None for all.

        Example:
            >>> data.interactions.to_frame(data.catalog)["user_id"].n_unique()
            30

        Raises:
            UsageError, MissingPackageError: as :func:`genre_gen.data.frames.in_library`.
        """
        import polars as pl

        chosen = np.arange(len(self))
        if positions is not None:
            chosen = numbers_of(positions, "positions", whole=True).astype(np.int64)
            if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self)):
                raise UsageError(
                    f"positions run from {chosen.min()} to {chosen.max()}; give some of 0 to {len(self) - 1}"
                )
        check_type(catalog, Catalog, "catalog", "the catalog of these interactions, such as data.catalog")
        ids = pl.Series("item_id", [item.id for item in catalog], pl.String)
        users = pl.Series("user_id", self.users, pl.String)
        ratings, times = selected(self.ratings, chosen), selected(self.times, chosen)
        columns = [users[self.owners[chosen]], ids[self.rows[chosen]], *measures(ratings, times)]
        if self.kinds is not None and self.kind_of is not None:
            columns.append(pl.Series("event", self.kinds.names, pl.String)[self.kind_of[chosen].astype(np.int64)])
        return in_library(pl.DataFrame(columns), library)

    def fingerprint(self) -> str:
        """Return a hash of who had which items in which order and by which events, to tell whether logs are equal."""
        digest = hashlib.sha256(json.dumps(self.users).encode())
        digest.update(self.offsets.tobytes() + self.rows.tobytes())
        if self.kinds is not None and self.kind_of is not None:
            digest.update(self.kinds.to_json().encode() + self.kind_of.tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays, ready for safetensors; ``from_arrays`` restores it."""
        arrays = {"offsets": self.offsets, "rows": self.rows, "n_items": np.array([self.n_items])}
        arrays["users"] = np.frombuffer(json.dumps(self.users).encode(), dtype=np.uint8)
        optional: dict[str, NDArray[Any] | None] = {
            "ratings": self.ratings,
            "times": self.times,
            "kind_of": self.kind_of,
        }
        if self.kinds is not None:
            arrays["kinds"] = np.frombuffer(self.kinds.to_json().encode(), dtype=np.uint8)
        if self.hidden is not None:
            arrays |= self.hidden.arrays()
        return arrays | {name: array for name, array in optional.items() if array is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Interactions:
        """Build interactions from the output of ``arrays``; raises ValueError where it cannot be that."""
        users, n_items = texts(json_in(arrays, "users"), "users"), count_in(arrays, "n_items")
        offsets = expect(arrays, "offsets", "i", (len(users) + 1,), (0, 2**48))
        rows = expect(arrays, "rows", "i", (None,), (0, n_items - 1))
        if len(set(users)) < len(users):
            raise ValueError("users holds a user twice")
        if offsets[0] != 0 or offsets[-1] != len(rows) or (np.diff(offsets.astype(np.int64)) < 0).any():
            raise ValueError(f"offsets do not cut {len(rows)} rows into histories")
        optional: dict[str, Any] = {}
        if "ratings" in arrays:
            optional["ratings"] = expect(arrays, "ratings", "f", (len(rows),), missing=True).astype(np.float32)
        if "times" in arrays:
            times = optional["times"] = expect(arrays, "times", "i", (len(rows),), (-(2**62), 2**62)).astype(np.int64)
            falls = np.flatnonzero(np.diff(times) < 0) + 1
            if not np.isin(falls, offsets).all():
                raise ValueError("times of a history are not in order")
        if "kinds" in arrays:
            kinds = optional["kinds"] = EventKinds.from_arrays(arrays)
            kind_of = expect(arrays, "kind_of", "i", (len(rows),), (0, len(kinds.names) - 1))
            optional["kind_of"] = kind_of.astype(np.uint8)
        optional["hidden"] = HiddenItems.from_arrays(arrays, n_items)
        return cls(users, offsets.astype(np.int64), rows.astype(np.int64), n_items, **optional)


_Array = TypeVar("_Array", bound="NDArray[Any] | None")


def _frozen(array: _Array) -> _Array:
    """Return a read-only view; None for None."""
    if array is None:
        return array
    view = array.view()
    view.flags.writeable = False
    return view
