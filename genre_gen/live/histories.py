"""LiveHistories: trained histories and the events since."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.catalog import Catalog
from genre_gen.data.event_settings import EventSettings
from genre_gen.data.history import History
from genre_gen.data.normal_form import composed
from genre_gen.live.event_log import EventLog
from genre_gen.live.events import EventColumns, LiveEvent
from genre_gen.live.kinds import Kinds
from genre_gen.live.settle import Meaning, Steps, settled, strength_of, trained_steps
from genre_gen.recommender.state import RecommenderState

MOST_SETTLED = 20_000
"""Users whose histories are kept ready; those that were made first are dropped first."""

_UNKNOWN = -1


class _Settled(NamedTuple):
    version: object
    history: History
    seq: int


class LiveHistories:
    """Trained histories and the events since; all threads may read while one thread applies events.

    A live history is the one that the readers would make of the training log with the events appended: by the time
    that they happened, with the domain's policy for repeated items and its kinds of events. Ties keep trained
    interactions first, then the order of ``seq``. Times of trained interactions are whole seconds. If the training log
    has no times, all its interactions come first. Events of items that the catalog lacks count once it has them.
    :mod:`genre_gen.live.settle` has what cannot be known.

    Example:
        >>> histories = LiveHistories(recommender.state, Kinds(domain))
        >>> before = len(histories.history("17"))
        >>> histories.apply([LiveEvent("e1", "17", "1", "interaction", 2e9, 2e9, seq=1)])
        {'17'}
        >>> len(histories.history("17")) - before, histories.user_seq("17")
        (1, 1)
    """

    def __init__(self, state: RecommenderState, kinds: Kinds) -> None:
        """Begin with the trained histories of a state."""
        self._begin(state, kinds, EventLog())

    def _begin(self, state: RecommenderState, kinds: Kinds, log: EventLog) -> None:
        self.state, self.kinds = state, kinds
        self._log, self._trained = log, state.histories
        self._timed = self._trained.times is not None or not len(self._trained)
        self._rows: NDArray[np.int64] = np.zeros(0, np.int64)  # of item codes; -1: the catalog lacks it
        self._meaning = Meaning.of([])  # of kind codes
        self._ready: dict[str, _Settled] = {}
        self._lock = threading.Lock()
        settings = [kinds.settings(name) for name in kinds.names]
        # Of several kinds it is unknown which hid an item: then it stays hidden.
        self._hides = any(kind.hides for kind in settings)
        levels = sorted({strength_of(kind) for kind in settings if kind.history})
        trained = self._trained.kinds
        self._strengths = None if trained is None else np.array(
            [levels.index(strength_of(kinds.settings(name))) for name in trained.names], np.int64
        )  # fmt: skip
        self._default_strength = max(0, len(levels) - 1)
        had = [kind for kind in settings if kind.history]
        self._uniform = len(levels) == 1 and not any(kind.hides or kind.negative for kind in had)

    def load(self, columns: EventColumns) -> None:
        """Add the stored events of a log at the start of a server: a million in seconds."""
        self._log.load(columns)

    def apply(self, events: Sequence[LiveEvent]) -> set[str]:
        """Add stored events, in the order of their ``seq``; return the users whose list may change.

        A reader sees all of these events of a user, or none of them.
        """
        added = self._log.add(events)
        rows, meaning = self._codes()
        matters = (meaning.history | meaning.hides | meaning.negative).tolist()
        return {user for user, item, kind in added if matters[kind] and rows[item] != _UNKNOWN}

    def history(self, user: str, *, until_seq: int | None = None) -> History:
        """Return a user's history, also as of an event (inclusive); empty for an unknown user."""
        return self.history_and_seq(user, until_seq=until_seq)[0]

    def history_and_seq(self, user: str, *, until_seq: int | None = None) -> tuple[History, int]:
        """Return a user's history and the ``seq`` of the last event in it, 0 without events."""
        user = composed(user)
        version = self._log.version(user)
        ready = self._ready.get(user)
        if ready is None or ready.version is not version:
            ready = self._settle(user, version)
        if until_seq is None or ready.seq <= until_seq:
            return ready.history, ready.seq
        records = self._log.of(user)
        records = records[records["seq"] <= until_seq]
        return self._made(user, records), int(records["seq"].max(initial=0))

    def user_seq(self, user: str) -> int:
        """Return the ``seq`` of the user's last event, 0 without events."""
        return int(self._log.of(composed(user))["seq"].max(initial=0))

    def knows(self, user: str) -> bool:
        """Tell whether a user has a trained history, hidden items or events."""
        user = composed(user)
        if len(self._log.of(user)):
            return True
        trained = self._trained_history(user)
        return len(trained) > 0 or trained.hidden is not None

    def merge(self, user: str, into: str) -> None:
        """Give a user's events to another user; what was trained stays where it is."""
        self._log.move(composed(user), composed(into))

    def forget(self, user: str) -> None:
        """Drop a user's events and trained history; later events are those of a new user."""
        self._log.forget(composed(user))

    def rebase(self, state: RecommenderState) -> LiveHistories:
        """Return the same events over another state: they are kept by item id, and both share what is applied later."""
        other = LiveHistories.__new__(LiveHistories)
        other._begin(state, Kinds(state.domain), self._log)
        return other

    def _settle(self, user: str, version: object) -> _Settled:
        records = self._log.of(user)
        ready = _Settled(version, self._made(user, records), int(records["seq"].max(initial=0)))
        if len(records) and self._log.version(user) is version:  # others cost nothing to make
            with self._lock:
                self._ready[user] = ready
                if len(self._ready) > MOST_SETTLED:
                    del self._ready[next(iter(self._ready))]
        return ready

    def _made(self, user: str, records: NDArray[np.void]) -> History:
        trained = self._trained_history(user)
        every, meaning = self._codes()
        rows = every[records["item"]]
        if len(rows) and rows.min() == _UNKNOWN:
            records, rows = records[rows != _UNKNOWN], rows[rows != _UNKNOWN]
        if not len(records):
            return trained
        domain, kinds = self.state.domain, records["kind"]
        ratings = records["rating"].copy()
        if domain.data.not_rated:
            ratings[np.isin(ratings, np.array(domain.data.not_rated, np.float32))] = np.nan
        uniform = self._uniform and trained.hidden is None and bool(meaning.history[kinds].all())
        times = records["happened"].copy() if self._timed else None
        later = Steps(rows, times, ratings, None if uniform else meaning.take(kinds))
        strength = None if uniform else self._strength(user)
        steps = trained_steps(trained, strength, hides=self._hides, timed=self._timed).then(later)
        with_ratings = self._trained.ratings is not None
        made = settled(steps, domain.data.policies.duplicates, user, with_ratings=with_ratings)
        return made if len(made) else replace(made, user=None)

    def _trained_history(self, user: str) -> History:
        """Return a user's trained history; a stranger's has no user, so that nothing is cached for one."""
        histories = self._trained
        if user in self._log.forgotten:
            return History(np.zeros(0, np.int64))
        row = histories.find_user(user)
        if row is not None:
            return histories.history_at(row)
        return History(np.zeros(0, np.int64), hidden=histories.hidden_from(user))

    def _strength(self, user: str) -> NDArray[np.int64]:
        row = None if user in self._log.forgotten else self._trained.find_user(user)
        if row is None:
            return np.zeros(0, np.int64)
        begin, end = self._trained.offsets[row : row + 2].tolist()
        if self._strengths is None or self._trained.kind_of is None:
            return np.full(end - begin, self._default_strength)
        return self._strengths[self._trained.kind_of[begin:end]]

    def _codes(self) -> tuple[NDArray[np.int64], Meaning]:
        """Return the row of each item code of the log, and the meaning of each kind code."""
        rows, meaning, log = self._rows, self._meaning, self._log
        if len(rows) == len(log.items) and len(meaning.history) == len(log.kinds):
            return rows, meaning
        with self._lock:
            names = log.items.of[len(self._rows) :]
            self._rows = np.concatenate([self._rows, _rows_of(names, self.state.catalog)])
            known = {name: self.kinds.settings(name) for name in self.kinds.names}
            nothing = EventSettings()
            self._meaning = _meaning([known.get(name, nothing) for name in log.kinds.of], [*known.values()])
            return self._rows, self._meaning


def _rows_of(items: Sequence[str], catalog: Catalog) -> NDArray[np.int64]:
    return np.array([catalog.row(item) if item in catalog else _UNKNOWN for item in items], np.int64)


def _meaning(kinds: list[EventSettings], every: list[EventSettings]) -> Meaning:
    """Return the meaning of some kinds, with strengths among all kinds of the domain."""
    whole = Meaning.of([*kinds, *every])
    return whole.take(np.arange(len(kinds)))
