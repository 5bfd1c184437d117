"""Kinds of events after reading: kept by every selection, saved and restored; hidden items are never allowed."""

import re

import numpy as np
import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.events import EventKinds, Hidden, HiddenItems
from genre_gen.data.filters import Filters
from genre_gen.data.history import History, allowed_items
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import global_time, hold_out_last, leave_one_out
from genre_gen.data.summary import DataSummary
from genre_gen.errors import UsageError

KINDS = EventKinds(("view", "buy"), (0.25, 1.0), (False, True))
CATALOG = Catalog([Item(str(row), f"Item {row}") for row in range(9)])
VIEW, BUY = 0, 1


def log(*events, hidden=None):
    """Return interactions of (user, row, kind), one a second."""
    users, rows, kinds = zip(*events, strict=True)
    times, kind_of = np.arange(len(events)) * 10, np.array(kinds, np.uint8)
    return Interactions.from_columns(users, np.array(rows), 9, times=times, kinds=KINDS, kind_of=kind_of, hidden=hidden)


def hides(*places, user="ann", times=None):
    """Return one user's hidden items, from (row, place)."""
    rows, ends = (np.array(values, np.int64) for values in zip(*places, strict=True))
    return HiddenItems([user], np.array([0, len(rows)]), Hidden(rows, ends, None if times is None else np.array(times)))


SHOP = log(
    ("ann", 1, VIEW), ("ann", 2, BUY), ("ann", 3, VIEW), ("ann", 4, BUY), ("ann", 5, VIEW),
    ("ben", 1, VIEW), ("ben", 2, VIEW), ("ben", 3, BUY), ("ben", 4, VIEW),
    ("cat", 1, VIEW), ("cat", 2, VIEW), ("cat", 3, VIEW),
    ("dan", 1, VIEW), ("dan", 2, BUY),
    hidden=hides((6, 0), (7, 3), (8, 5), times=[5, 25, 99]),
)  # fmt: skip


def rows_of(interactions):
    return {history.user: history.rows.tolist() for history in interactions.histories()}


def asked(cases):
    return [(case.history.user, case.history.rows.tolist(), case.target) for case in cases]


def test_leave_one_out_asks_for_the_last_measured_event_and_cuts_what_follows():
    split = leave_one_out(SHOP, CATALOG)
    assert asked(split.test) == [("ann", [1, 2, 3], 4), ("ben", [1, 2], 3)]
    assert asked(split.validation) == [("ann", [1], 2)]  # ben has one measured event only
    others = {"cat": [1, 2, 3], "dan": [1, 2]}  # without a case, so all is learned from
    assert rows_of(split.train) == {"ann": [1], "ben": [1, 2], **others}
    assert rows_of(split.train_and_validation) == {"ann": [1, 2, 3], "ben": [1, 2], **others}
    assert split.histories.rows[split.targets("test")].tolist() == [4, 3]
    assert split.train.weights.tolist() == [0.25] * 6 + [0.25, 1.0]


def test_a_case_knows_only_what_was_hidden_before_it():
    split = leave_one_out(SHOP, CATALOG)
    ann = split.test[0].history
    assert ann.hidden.rows.tolist() == [6, 7]
    assert split.validation[0].history.hidden.rows.tolist() == [6]
    assert split.test[1].history.hidden is None
    assert SHOP.history("ann").hidden.rows.tolist() == [6, 7, 8]
    assert np.flatnonzero(~allowed_items([ann], 9)[0]).tolist() == [1, 2, 3, 6, 7]
    assert np.flatnonzero(~allowed_items([ann], 9, repeat=True)[0]).tolist() == [6, 7]


def test_the_other_splits_ask_for_measured_events_too():
    split = hold_out_last(SHOP, CATALOG)
    assert asked(split.validation) == [("ann", [1, 2, 3], 4), ("ben", [1, 2], 3)]
    assert rows_of(split.train)["ann"] == [1, 2, 3]
    assert split.train_and_validation is SHOP
    everyone = [(user, row, BUY if row == 5 else VIEW) for row in range(1, 7) for user in ("ann", "ben")]
    by_time = global_time(log(*everyone), CATALOG, validation=0.2, test=0.5)
    assert asked(by_time.test) == [("ann", [1, 2, 3, 4], 5), ("ben", [1, 2, 3, 4], 5)]  # 4 came in that period too
    assert asked(by_time.validation) == []
    with pytest.raises(UsageError, match="no user has a measured event after two others"):
        hold_out_last(log(("ann", 1, VIEW), ("ann", 2, BUY), ("ann", 3, VIEW)), CATALOG)


@pytest.mark.parametrize("measured", [(True, True), None])
def test_where_all_is_measured_splits_are_what_they_were(measured):
    kinds = None if measured is None else EventKinds(KINDS.names, KINDS.weights, measured)
    kind_of = None if kinds is None else SHOP.kind_of
    same = Interactions(SHOP.users, SHOP.offsets, SHOP.rows, 9, times=SHOP.times, kinds=kinds, kind_of=kind_of)
    split = leave_one_out(same, CATALOG)
    assert asked(split.test) == [
        ("ann", [1, 2, 3, 4], 5), ("ben", [1, 2, 3], 4), ("cat", [1, 2], 3)
    ]  # fmt: skip
    assert asked(split.validation) == [("ann", [1, 2, 3], 4), ("ben", [1, 2], 3), ("cat", [1], 2)]
    assert rows_of(split.train) == {"ann": [1, 2, 3], "ben": [1, 2], "cat": [1], "dan": [1, 2]}


def test_hidden_items_follow_their_history():
    history = SHOP.history("ann")
    assert history.last(2).hidden.places.tolist() == [0, 0, 2]
    assert history.slice(0, 3).hidden.rows.tolist() == [6, 7]
    assert history.without([1]).hidden.rows.tolist() == [6, 7, 8]
    assert history.until(25).rows.tolist() == [1, 2, 3]
    assert history.until(25).hidden.rows.tolist() == [6, 7]
    untimed = History(np.array([1]), hidden=Hidden(np.array([2]), np.array([1])))
    assert untimed.until(0).hidden.rows.tolist() == [2]
    assert (SHOP.hidden_from("ben"), SHOP.keep(SHOP.rows > 1).hidden) == (None, None)


def test_filters_leave_hidden_items_out_and_count_them():
    allowed = Filters(CATALOG, repeat=True).allowed(SHOP.history("ann"))
    assert np.flatnonzero(~allowed.mask).tolist() == [6, 7, 8]
    assert allowed.reason == "9 in the catalog, less 3 hidden by events"
    assert Filters(CATALOG).allowed(SHOP.history("ann")).mask.sum() == 1
    assert "hidden" not in Filters(CATALOG).allowed(SHOP.history("ben")).reason


def test_saved_interactions_are_the_same():
    restored = Interactions.from_arrays(SHOP.arrays())
    assert (restored.kinds, restored.kind_of.tolist()) == (KINDS, SHOP.kind_of.tolist())
    hidden = restored.hidden_from("ann")
    assert (hidden.rows.tolist(), hidden.places.tolist(), hidden.times.tolist()) == ([6, 7, 8], [0, 3, 5], [5, 25, 99])
    assert restored.fingerprint() == SHOP.fingerprint()
    other = Interactions(SHOP.users, SHOP.offsets, SHOP.rows, 9, kinds=KINDS, kind_of=1 - SHOP.kind_of)
    assert other.fingerprint() != SHOP.fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind_of": np.full(14, 2)}, "kind_of holds 2, outside 0 to 1"),
        ({"kind_of": np.zeros(3, np.uint8)}, "kind_of has the shape (3,)"),
        ({"kinds": b'[["a"], [2.0], [true]]'}, "kinds are not names, weights up to 1"),
        ({"kinds": b'[["a"], [true], [true]]'}, "kinds are not names, weights up to 1"),
        ({"kinds": b'[["a", "b"], [1.0], [true]]'}, "kinds are not names, weights up to 1"),
        ({"kinds": b'[["a", "b"], [1.0, 0.5], [1, 0]]'}, "kinds do not say what is measured"),
        ({"hidden.rows": np.array([6, 7, 9])}, "hidden.rows holds 9, outside 0 to 8"),
        ({"hidden.users": b'["ann", "ann"]', "hidden.offsets": np.array([0, 1, 3])}, "holds a user twice"),
        ({"hidden.offsets": np.array([0, 2])}, "hidden.offsets do not cut 3 rows into users"),
        ({"hidden.places": np.array([0, -1, 0])}, "hidden.places holds -1"),
    ],
)
def test_invalid_arrays_are_refused(change, message):
    arrays = {
        name: np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value for name, value in change.items()
    }
    with pytest.raises(ValueError, match=re.escape(message)):
        Interactions.from_arrays(SHOP.arrays() | arrays)


def test_the_summary_counts_by_kind():
    summary = DataSummary.of(SHOP)
    assert (summary.events, summary.hidden) == ({"view": 10, "buy": 4}, 3)
    assert DataSummary.from_dict(summary.to_dict()) == summary
    plain = DataSummary.of(log(("ann", 1, VIEW)).keep(np.array([True])))
    assert "hidden" not in plain.to_dict()
    for wrong in ({"events": [1]}, {"events": {"view": -1}}, {"hidden": "3"}):
        with pytest.raises(ValueError, match="the summary of the data"):
            DataSummary.from_dict(summary.to_dict() | wrong)
