"""EventLog in memory: the stored events of all users, as compact arrays that are replaced and never written to."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.normal_form import composed
from genre_gen.errors import UsageError
from genre_gen.live.events import EventColumns, LiveEvent

RECORD = np.dtype(
    [("seq", np.int64), ("happened", np.float64), ("item", np.int32), ("rating", np.float32), ("kind", np.uint8)],
    align=True,
)
"""One event of a user, 32 bytes; items and kinds by their codes."""

Row: TypeAlias = tuple[int, float, int, float, int]
"""The values of one record."""

MOST_KINDS = 256
MOST_ROWS = 32


class Names:
    """Texts and their codes, which are given in the order of first appearance.

    Example:
        >>> names = Names()
        >>> names.code("a"), names.code("b"), names.code("a"), names.of
        (0, 1, 0, ['a', 'b'])
    """

    def __init__(self) -> None:
        """Begin without names."""
        self.of: list[str] = []
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self.of)

    def code(self, name: str) -> int:
        """Return the code of a name, a new one if needed; one thread at a time."""
        code = self._codes.get(name)
        if code is None:
            self.of.append(name)
            code = self._codes[name] = len(self.of) - 1
        return code


NONE: NDArray[np.void] = np.zeros(0, RECORD)
NONE.flags.writeable = False


class UserEvents:
    """All events of one user: an array, and rows that follow it until they are read. It is replaced by each change."""

    __slots__ = ("_state",)

    def __init__(self, records: NDArray[np.void], rows: tuple[Row, ...] = ()) -> None:
        """Hold records in order and rows in the order of their arrival."""
        self._state = records, rows

    def records(self) -> NDArray[np.void]:
        """Return the events in order; several threads may be the first to ask."""
        records, rows = self._state
        if rows:
            records = merged(records, np.array(list(rows), RECORD))
            self._state = records, ()
        return records

    def then(self, row: Row) -> UserEvents:
        """Return these and one more."""
        records, rows = self._state
        if len(rows) < MOST_ROWS:
            return UserEvents(records, (*rows, row))
        return UserEvents(self.records(), (row,))


class EventLog:
    """The events of all users: those loaded in one array, and for each user with later ones a :class:`UserEvents`.

    A user's events are in the order of the time that they happened, ties by ``seq``. Threads may read while one writes.
    Users are ids in the form NFC.

    Attributes:
        items: the ids of the items, and their codes.
        kinds: the kinds of events, and their codes.
        forgotten: users whose trained history does not count any more.
    """

    def __init__(self) -> None:
        """Begin without events."""
        self.items, self.kinds = Names(), Names()
        self.forgotten: frozenset[str] = frozenset()
        self.lock = threading.Lock()  # of those that write
        self._loaded: NDArray[np.void] = NONE
        self._part_of: Mapping[str, tuple[int, int]] = {}  # user -> where its events are in the array
        self._own: dict[str, UserEvents] = {}  # user -> all its events, if there are any since loading

    def of(self, user: str) -> NDArray[np.void]:
        """Return a user's events, ``RECORD [n]``."""
        own = self._own.get(user)
        return self._of_loaded(user) if own is None else own.records()

    def version(self, user: str) -> object:
        """Return an object that is replaced whenever a user's events change."""
        return self._own.get(user, self._loaded)

    def load(self, columns: EventColumns) -> None:
        """Add many events; the first time, and until others are added, all are kept in one array."""
        with self.lock:
            users = [composed(user) for user in columns.users]
            records = self._records(columns)
            codes = columns.user_codes
            if len(set(users)) < len(users):  # ids in two forms are one user
                names = Names()
                codes = np.array([names.code(user) for user in users], np.int32)[codes]
                users = names.of
            order = np.lexsort((records["seq"], records["happened"], codes))
            records, codes = records[order], codes[order]
            ends = np.searchsorted(codes, np.arange(len(users)), side="right").tolist()
            parts = {user: (begin, end) for user, begin, end in zip(users, [0, *ends], ends, strict=False)}
            if not len(self._loaded) and not self._own:
                records.flags.writeable = False
                self._part_of, self._loaded = parts, records
                return
            for user, (begin, end) in parts.items():
                self._own[user] = UserEvents(merged(self.of(user), records[begin:end]))

    def add(self, events: Sequence[LiveEvent]) -> list[tuple[str, int, int]]:
        """Add events; return the user of each, and the codes of its item and kind.

        Readers see all new events of a user at once.
        """
        with self.lock:
            changed: dict[str, UserEvents] = {}
            added = []
            for event in events:
                user, item, kind = composed(event.user), self.items.code(event.item), self._kind(event.kind)
                rating = np.nan if event.rating is None else event.rating
                own = changed.get(user) or self._own.get(user) or UserEvents(self._of_loaded(user))
                changed[user] = own.then((event.seq, event.happened, item, rating, kind))
                added.append((user, item, kind))
            self._own.update(changed)
            return added

    def move(self, user: str, into: str) -> None:
        """Give a user's events to another."""
        with self.lock:
            moved = self.of(user)
            if user != into and len(moved):
                self._own[into] = UserEvents(merged(self.of(into), moved))
                self._own[user] = UserEvents(NONE)

    def forget(self, user: str) -> None:
        """Drop a user's events, and remember the user as forgotten."""
        with self.lock:
            self.forgotten |= {user}
            self._own[user] = UserEvents(NONE)

    def _of_loaded(self, user: str) -> NDArray[np.void]:
        part = self._part_of.get(user)
        return NONE if part is None else self._loaded[part[0] : part[1]]

    def _records(self, columns: EventColumns) -> NDArray[np.void]:
        items = np.array([self.items.code(item) for item in columns.items], np.int32)
        kinds = np.array([self._kind(kind) for kind in columns.kinds], np.uint8)
        records = np.empty(len(columns), RECORD)
        records["seq"], records["happened"], records["rating"] = columns.seq, columns.happened, columns.ratings
        if len(columns):
            records["item"], records["kind"] = items[columns.item_codes], kinds[columns.kind_codes]
        return records

    def _kind(self, name: str) -> int:
        code = self.kinds.code(name)
        if code >= MOST_KINDS:
            raise UsageError(f"more than {MOST_KINDS} kinds of events; give each event one of the domain's kinds")
        return code


def merged(events: NDArray[np.void], new: NDArray[np.void]) -> NDArray[np.void]:
    """Return events in the order of time, ties by ``seq``; those of ``events`` are in it already."""
    if len(new) > 1:
        new = new[np.lexsort((new["seq"], new["happened"]))]
    both = np.concatenate([events, new])
    if len(events) and len(new) and _key(new[0]) < _key(events[-1]):
        both = both[np.lexsort((both["seq"], both["happened"]))]
    both.flags.writeable = False
    return both


def _key(event: np.void) -> tuple[float, int]:
    return float(event["happened"]), int(event["seq"])
