"""What a trained history and the events since come to: the same as reading the log with those events appended.

The rules are those of :mod:`genre_gen.data.readers.events` and of ``data.policies.duplicates``, for one user and in
arrays. Training keeps one step for each item (or run of events with it), so three facts of the log are unknown here:

* an event that happened *before* trained ones cannot bring back steps that reading dropped;
* of the ratings that trained events gave an item, only that of its step is known;
* where some kinds hide and others turn down, an item that training hid stays hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.event_settings import EventSettings
from genre_gen.data.events import Hidden
from genre_gen.data.history import History

Duplicates = Literal["keep_first", "keep_last", "keep", "error"]


@dataclass(frozen=True, eq=False)
class Meaning:
    """What the kinds of some events mean, as arrays indexed by a code of the kind or by the event.

    Attributes:
        history: bool ``[n]``, in the histories.
        hides: bool ``[n]``.
        negative: bool ``[n]``.
        strength: int64 ``[n]``, larger for a kind that counts more.
    """

    history: NDArray[np.bool_]
    hides: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    strength: NDArray[np.int64]

    @classmethod
    def of(cls, kinds: list[EventSettings]) -> Self:
        """Return the meaning of each of some kinds."""
        levels = sorted({strength_of(kind) for kind in kinds if kind.history})
        return cls(
            np.array([kind.history > 0 for kind in kinds], bool),
            np.array([kind.hides for kind in kinds], bool),
            np.array([kind.negative for kind in kinds], bool),
            np.array([levels.index(strength_of(kind)) if kind.history else 0 for kind in kinds], np.int64),
        )

    def take(self, which: NDArray[np.integer] | NDArray[np.bool_]) -> Meaning:
        """Return that of some events."""
        return Meaning(self.history[which], self.hides[which], self.negative[which], self.strength[which])

    def join(self, other: Meaning) -> Meaning:
        """Return that of both."""
        names = ("history", "hides", "negative", "strength")
        return Meaning(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


def strength_of(kind: EventSettings) -> tuple[float, bool]:
    """Return what kinds are compared by, as readers do: the weight, then whether evaluations ask for it."""
    return kind.history, kind.measured


@dataclass(frozen=True, eq=False)
class Steps:
    """Events of one user in order.

    Attributes:
        rows: int64 ``[n]``, catalog rows.
        times: float64 ``[n]``, seconds since 1970; None if the data has no times.
        ratings: float32 ``[n]``, NaN where not rated.
        meaning: of each event; None if all are of kinds that make histories, count the same and hide nothing.
    """

    rows: NDArray[np.int64]
    times: NDArray[np.float64] | None
    ratings: NDArray[np.float32]
    meaning: Meaning | None

    def take(self, which: NDArray[np.integer]) -> Steps:
        """Return some of the events, in an order."""
        times = None if self.times is None else self.times[which]
        meaning = None if self.meaning is None else self.meaning.take(which)
        return Steps(self.rows[which], times, self.ratings[which], meaning)

    def then(self, later: Steps) -> Steps:
        """Return both by time, ties in this order; one after the other if one of them has no times.

        Both have a meaning, or neither has.
        """
        rows, ratings = np.concatenate([self.rows, later.rows]), np.concatenate([self.ratings, later.ratings])
        meaning = None if self.meaning is None or later.meaning is None else self.meaning.join(later.meaning)
        if self.times is None or later.times is None:
            return Steps(rows, None, ratings, meaning)
        both = Steps(rows, np.concatenate([self.times, later.times]), ratings, meaning)
        if not len(self.rows) or not len(later.rows) or self.times[-1] <= later.times[0]:
            return both
        return both.take(np.argsort(np.concatenate([self.times, later.times]), kind="stable"))


def trained_steps(history: History, strength: NDArray[np.int64] | None, *, hides: bool, timed: bool) -> Steps:
    """Return a trained history and its hidden items as events in order.

    Args:
        history: as the readers made it.
        strength: int64 ``[n]``, that of the kind of each interaction; None for events without a meaning.
        hides: whether what hid an item stays; otherwise a later interaction brings the item back.
        timed: whether the data has times, even if this history is empty.
    """
    n = len(history)
    ratings = np.full(n, np.nan, np.float32) if history.ratings is None else history.ratings
    times = np.zeros(0) if timed else None
    if history.times is not None:
        times = history.times.astype(np.float64)
    if strength is None:
        return Steps(history.rows, times, ratings, None)
    none, every = np.zeros(n, bool), np.ones(n, bool)
    steps = Steps(history.rows, times, ratings, Meaning(every, none, none, strength))
    hidden = history.hidden
    if hidden is None or not len(hidden.rows):
        return steps
    m = len(hidden.rows)
    out, hiding = np.zeros(m, bool), np.full(m, hides)
    when = None if hidden.times is None else hidden.times.astype(np.float64)
    unrated = np.full(m, np.nan, np.float32)
    meaning = Meaning(out, hiding, ~hiding, np.zeros(m, np.int64))
    both = replace(steps, times=None).then(Steps(hidden.rows, None, unrated, meaning))
    if times is not None and when is not None:
        both = replace(both, times=np.concatenate([times, when]))
    # An item was hidden after `places` interactions, so between that one and the next.
    return both.take(np.argsort(np.concatenate([np.arange(n) + 0.5, hidden.places]), kind="stable"))


def settled(steps: Steps, duplicates: Duplicates, user: str | None, *, with_ratings: bool) -> History:
    """Return the history of a user's events in order, as the readers make it.

    Args:
        steps: trained and later ones.
        duplicates: ``data.policies.duplicates``; where it is ``error``, an item's last event counts.
        user: whose it is.
        with_ratings: whether the history has ratings even if none is known.
    """
    hiding, places = np.zeros(0, np.int64), np.arange(len(steps.rows))
    if (meaning := steps.meaning) is not None:
        turned_down = np.flatnonzero(meaning.negative)
        hiding = _hiding(steps, meaning, turned_down)
        history = meaning.history.copy()
        for place in turned_down.tolist() if duplicates != "keep" else ():
            history[:place] &= steps.rows[:place] != steps.rows[place]
        places = np.flatnonzero(history)
    kept, ratings = _kept(steps, places, duplicates)
    times = None if steps.times is None else np.floor(steps.times).astype(np.int64)
    hidden = None
    if len(hiding):
        after = np.searchsorted(kept, hiding, side="right")
        hidden = Hidden(steps.rows[hiding], after.astype(np.int64), None if times is None else times[hiding])
    rated = with_ratings or not np.isnan(ratings).all()
    result = History(steps.rows[kept], ratings if rated else None, None if times is None else times[kept], user, hidden)
    for array in (result.rows, result.ratings, result.times):
        if array is not None:
            array.flags.writeable = False
    return result


def _hiding(steps: Steps, meaning: Meaning, turned_down: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first event that hides each item; one that turns it down counts if no history event follows."""
    rows, history, hides = steps.rows, meaning.history, meaning.hides
    final = [
        place for place in turned_down.tolist() if not (history[place + 1 :] & (rows[place + 1 :] == rows[place])).any()
    ]
    found = np.union1d(np.flatnonzero(hides), np.array(final, np.int64)) if final else np.flatnonzero(hides)
    return found if len(found) <= 1 else np.sort(found[np.unique(rows[found], return_index=True)[1]])


def _kept(
    steps: Steps, places: NDArray[np.int64], duplicates: Duplicates
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places of the events that stay of those that make histories, and their ratings."""
    rows, ratings = steps.rows[places], steps.ratings[places]
    if len(set(rows.tolist())) == len(rows):  # an event of each item, so nothing is weaker or repeated
        return places, ratings
    if duplicates == "keep":
        groups = np.cumsum(np.concatenate([[True], rows[1:] != rows[:-1]])) - 1
        n_groups = int(groups[-1]) + 1
    else:
        distinct, groups = np.unique(rows, return_inverse=True)
        n_groups = len(distinct)
    ratings = _shared(ratings, groups, n_groups, first=duplicates == "keep_first")
    stays = np.arange(len(places))
    if steps.meaning is not None:
        strength = steps.meaning.strength[places]
        most = np.zeros(n_groups, np.int64)
        np.maximum.at(most, groups, strength)
        stays = np.flatnonzero(strength == most[groups])
    if duplicates != "keep":
        one = np.empty(n_groups, np.int64)
        if duplicates == "keep_first":
            one[groups[stays][::-1]] = stays[::-1]  # of several the last assignment stays
        else:
            one[groups[stays]] = stays
        stays = np.sort(one)
    return places[stays], ratings[stays]


def _shared(
    ratings: NDArray[np.float32], groups: NDArray[np.int64], n_groups: int, *, first: bool
) -> NDArray[np.float32]:
    """Give events without a rating the first or last known one of their group."""
    missing = np.isnan(ratings)
    if not missing.any() or missing.all():
        return ratings
    known = np.flatnonzero(~missing)[:: -1 if first else 1]
    source = np.full(n_groups, -1)
    source[groups[known]] = known  # of several the last assignment stays
    from_group = source[groups]
    return np.where(missing & (from_group >= 0), ratings[from_group], ratings)
