"""Kinds of events: what the interactions of a history were, and the items that a user is not to be recommended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.event_settings import EventSettings
from genre_gen.folders.arrays import expect, json_in, texts

MOST_KINDS = 100


@dataclass(frozen=True)
class EventKinds:
    """The kinds of event that make histories.

    Attributes:
        names: as the log writes them.
        weights: of each kind in counts, above 0 and up to 1.
        measured: whether evaluations ask for a kind.

    Example:
        >>> kinds = EventKinds(("view", "buy"), (0.3, 1.0), (False, True))
        >>> kinds.names[1], kinds.weights[1]
        ('buy', 1.0)
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    measured: tuple[bool, ...]

    @classmethod
    def of(cls, events: Mapping[str, EventSettings]) -> Self:
        """Return the kinds of a domain that make histories."""
        kinds = {name: event for name, event in events.items() if event.history}
        any_measured = any(event.measured for event in kinds.values())
        measured = (event.measured or not any_measured for event in kinds.values())
        return cls(tuple(kinds), tuple(event.history for event in kinds.values()), tuple(measured))

    def index(self, names: Iterable[str]) -> NDArray[np.uint8]:
        """Return the index of each kind: uint8 ``[n]``."""
        place = {name: index for index, name in enumerate(self.names)}
        return np.fromiter(map(place.__getitem__, names), np.uint8)

    def to_json(self) -> str:
        """Return it as JSON; ``from_arrays`` reads it."""
        return json.dumps([self.names, self.weights, self.measured])

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Restore the kinds from the array ``kinds``, JSON in bytes; raises ValueError where it is anything else."""
        names, weights, measured = json_in(arrays, "kinds")
        kinds = cls(texts(names, "kinds"), tuple(weights), tuple(measured))
        sizes = {len(kinds.names), len(kinds.weights), len(kinds.measured)}
        numbers = all(type(weight) in {int, float} and 0 < weight <= 1 for weight in kinds.weights)
        if len(sizes) > 1 or not 0 < len(kinds.names) <= MOST_KINDS or not numbers:
            raise ValueError("kinds are not names, weights up to 1 and what is measured")
        if not all(type(flag) is bool for flag in kinds.measured):
            raise ValueError("kinds do not say what is measured")
        return kinds


@dataclass(frozen=True, eq=False)
class Hidden:
    """The items that one user is not to be recommended, whatever the history: bought, dismissed, disliked.

    Attributes:
        rows: int64 ``[m]`` catalog rows.
        places: int64 ``[m]``, the length that the history had when the item was hidden.
        times: int64 ``[m]`` seconds since 1970; None if the data has no times.

    Example:
        >>> hidden = Hidden(np.array([4, 9]), np.array([1, 3]))
        >>> hidden.within(0, 2).rows.tolist()
        [4]
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    times: NDArray[np.int64] | None = None

    def within(self, start: int, stop: int) -> Hidden:
        """Return what is hidden from a part of the history, interactions ``start`` to ``stop`` (exclusive)."""
        hidden = self._take(self.places <= stop)
        return Hidden(hidden.rows, np.maximum(hidden.places - start, 0), hidden.times)

    def until(self, moment: float) -> Hidden:
        """Return what was hidden by a moment; all of it if there are no times."""
        return self if self.times is None else self._take(self.times <= moment)

    def _take(self, chosen: NDArray[np.bool_]) -> Hidden:
        return Hidden(self.rows[chosen], self.places[chosen], None if self.times is None else self.times[chosen])


class HiddenItems:
    """The hidden items of all users; a user may have some and no history.

    Attributes:
        users: ids of users who have hidden items.
        offsets: int64 ``[n_users + 1]``: user ``u`` owns ``offsets[u]:offsets[u + 1]``.
        hidden: the items, places and times of all.

    Example:
        >>> items = HiddenItems(["ann"], np.array([0, 1]), Hidden(np.array([7]), np.array([0])))
        >>> items.of("ann").rows.tolist(), items.of("ben")
        ([7], None)
    """

    def __init__(self, users: Sequence[str], offsets: NDArray[np.int64], hidden: Hidden) -> None:
        """Store arrays that follow the layout above."""
        self.users, self.offsets, self.hidden = tuple(users), offsets, hidden

    @cached_property
    def _row_of_user(self) -> dict[str, int]:
        return {user: row for row, user in enumerate(self.users)}

    def __len__(self) -> int:
        """Return the number of pairs of a user and a hidden item."""
        return len(self.hidden.rows)

    def of(self, user: str) -> Hidden | None:
        """Return a user's hidden items; None if there are none."""
        row = self._row_of_user.get(user)
        if row is None:
            return None
        part, times = slice(int(self.offsets[row]), int(self.offsets[row + 1])), self.hidden.times
        return Hidden(self.hidden.rows[part], self.hidden.places[part], None if times is None else times[part])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays, ready for safetensors; ``from_arrays`` restores it."""
        users: NDArray[Any] = np.frombuffer(json.dumps(self.users).encode(), dtype=np.uint8)
        arrays = {"users": users, "offsets": self.offsets, "rows": self.hidden.rows, "places": self.hidden.places}
        if self.hidden.times is not None:
            arrays["times"] = self.hidden.times
        return {f"hidden.{name}": array for name, array in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_items: int) -> HiddenItems | None:
        """Restore the output of ``arrays``, or None if it is missing; raises ValueError for anything else."""
        if "hidden.users" not in arrays:
            return None
        users = texts(json_in(arrays, "hidden.users"), "hidden.users")
        offsets = expect(arrays, "hidden.offsets", "i", (len(users) + 1,), (0, 2**48)).astype(np.int64)
        rows = expect(arrays, "hidden.rows", "i", (None,), (0, n_items - 1)).astype(np.int64)
        places = expect(arrays, "hidden.places", "i", (len(rows),), (0, 2**48)).astype(np.int64)
        times = None
        if "hidden.times" in arrays:
            times = expect(arrays, "hidden.times", "i", (len(rows),), (-(2**62), 2**62)).astype(np.int64)
        if len(set(users)) < len(users):
            raise ValueError("hidden.users holds a user twice")
        if offsets[0] != 0 or offsets[-1] != len(rows) or (np.diff(offsets) < 0).any():
            raise ValueError(f"hidden.offsets do not cut {len(rows)} rows into users")
        return cls(users, offsets, Hidden(rows, places, times))
