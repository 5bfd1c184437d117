"""Interactions and histories: grouping, order, selections."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.errors import DataError, UnknownUserError, UsageError

N_ITEMS = 6


def make(log: list[tuple[str, int, int]], timed: bool = True) -> Interactions:
    """Build from (user, item, time); the rating is the entry's position, which tells entries apart."""
    users, rows, times = zip(*log, strict=True)
    ratings = np.arange(len(log), dtype=np.float32)
    stamps = np.array(times) if timed else None
    return Interactions.from_columns(users, np.array(rows), N_ITEMS, ratings, stamps)


LOGS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, N_ITEMS - 1), st.integers(0, 4)), min_size=1, max_size=40
)


def entries(history: History) -> list[int]:
    assert history.ratings is not None
    return history.ratings.astype(int).tolist()


@given(LOGS)
def test_histories_are_the_log_in_time_order_with_ties_in_file_order(log):
    interactions, untimed = make(log), make(log, timed=False)
    assert interactions.users == tuple(dict.fromkeys(user for user, _, _ in log))
    assert len(interactions) == len(log)
    users = enumerate(interactions.histories())
    assert interactions.owners.tolist() == [user for user, history in users for _ in history.rows]
    for history, as_filed in zip(interactions.histories(), untimed.histories(), strict=True):
        own = [entry for entry, (user, _, _) in enumerate(log) if user == history.user]
        assert (entries(as_filed), as_filed.times) == (own, None)
        expected = sorted(own, key=lambda entry: log[entry][2])  # Python's sort is stable too
        assert entries(history) == expected
        assert history.rows.tolist() == [log[entry][1] for entry in expected]
        assert history.times.tolist() == [log[entry][2] for entry in expected]


@pytest.mark.parametrize(
    ("users", "rows", "message"),
    [([], [], "no interactions"), (["a"], [6], "from 0 to 5, not from 6 to 6"), (["a"], [-1], "not from -1"),
     (["a", "b"], [1], "2 and 1 entries")],
)  # fmt: skip
def test_invalid_columns(users, rows, message):
    with pytest.raises(DataError, match=message):
        Interactions.from_columns(users, np.array(rows, dtype=np.int64), N_ITEMS)


def test_arrays_cannot_be_written_through():
    rows = np.array([1, 2, 3])
    interactions = Interactions(["a"], np.array([0, 3]), rows, N_ITEMS)
    for array in (interactions.rows, interactions.history("a").rows, interactions.offsets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    rows[0] = 5  # the caller's own array stays the caller's


@given(LOGS, st.randoms())
def test_keep_is_the_log_without_the_others(log, random):
    interactions = make(log)
    chosen = np.array([random.random() < 0.5 for _ in log])
    kept = interactions.keep(chosen)
    expected = {history.user: entries(history) for history in interactions.histories()}
    position = 0
    for user in interactions.users:
        own = expected[user]
        expected[user] = [entry for entry, keep in zip(own, chosen[position:], strict=False) if keep]
        position += len(own)
    assert {history.user: entries(history) for history in kept.histories()} == {u: e for u, e in expected.items() if e}
    assert kept.n_items == N_ITEMS


@pytest.mark.parametrize("timed", [True, False])
def test_arrays_restore_all_fields(timed):
    interactions = make([("ä\n", 0, 5), ("b", 1, 3), ("ä\n", 2, 1)], timed)
    arrays = interactions.arrays()
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    again = Interactions.from_arrays({name: array.copy() for name, array in arrays.items()})
    assert (again.users, again.n_items) == (interactions.users, interactions.n_items)
    for name in ("offsets", "rows", "ratings", "times"):
        np.testing.assert_array_equal(getattr(again, name), getattr(interactions, name))


def test_slices_of_a_history():
    history = History(np.arange(5), None, np.arange(5) * 10, "a")
    assert history.last(2).rows.tolist() == [3, 4]
    assert history.last(9).rows.tolist() == [0, 1, 2, 3, 4]
    assert history.last(0).rows.tolist() == []
    assert history.slice(1, 3).times.tolist() == [10, 20]
    assert history.last(2).user == history.until(20).user == "a"
    cut = [history.until(moment).rows.tolist() for moment in (-1, 10, 19, 40)]
    assert cut == [[], [0, 1], [0, 1], [0, 1, 2, 3, 4]]
    assert len(History(np.arange(4)).until(20)) == 4


def test_a_history_by_hand_is_in_time_order():
    history = History.from_events([4, 5, 6, 7], [1, 2, float("nan"), 4], [30, 10, 30, 20])
    assert (history.rows.tolist(), history.times.tolist()) == ([5, 7, 4, 6], [10, 20, 30, 30])
    assert history.ratings[:3].tolist() == [2, 4, 1]
    assert (history.rated, history.user, history.rows.dtype, history.times.dtype) == (True, None, np.int64, np.int64)
    bare = History.from_events([4, 2], [float("nan")] * 2)
    assert (bare.rows.tolist(), bare.ratings, bare.times, bare.rated) == ([4, 2], None, None, False)
    assert len(History.from_events([])) == 0
    for wrong in ({"ratings": [1]}, {"times": [1, 2, 3]}):
        with pytest.raises(UsageError, match=r"2 items and \d (ratings|times); give one for each item"):
            History.from_events([0, 1], **wrong)


def test_users_with_numeric_ids_are_found_by_number():
    interactions = Interactions.from_columns([7, 7, 8], np.array([0, 1, 2]), 3)
    assert interactions.users == ("7", "8")
    for user in (7, np.int64(7), "7"):
        assert interactions.history(user).rows.tolist() == [0, 1]
    assert interactions.user_row("8") == 1
    with pytest.raises(UnknownUserError, match=r"no user '9' among 2 users \(such as 7, 8\); give a history"):
        interactions.history(9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": np.array([0, 3, 2])}, "do not cut"),
        ({"offsets": np.array([1, 2, 3])}, "do not cut"),
        ({"offsets": np.array([0, 2])}, "has the shape"),
        ({"offsets": np.array([0.0, 2.0, 3.0])}, "holds float64"),
        ({"rows": np.array([0, 1, 9])}, "rows holds 9, outside 0 to 2"),
        ({"rows": np.array([0, -1, 1])}, "rows holds -1"),
        ({"n_items": np.array([10**12])}, "n_items holds 1000000000000"),
        ({"n_items": np.array([0])}, "n_items holds 0"),
        ({"n_items": np.zeros(0, int)}, "has the shape"),
        ({"ratings": np.array([1, np.inf, 2], np.float32)}, "ratings holds inf"),
        ({"ratings": np.array([1, 2], np.float32)}, "has the shape"),
        ({"times": np.array([1, 2, 2**63 - 1])}, "times holds"),
        ({"times": np.array([1.0, 2.0, 3.0])}, "holds float64"),
        ({"users": np.frombuffer(b'["u", "u"]', np.uint8)}, "a user twice"),
        ({"users": np.frombuffer(b'["u", 3]', np.uint8)}, "not a list of texts"),
        ({"users": np.frombuffer(b"{", np.uint8)}, "Expecting"),
        ({"rows": None}, "rows is missing"),
    ],
)
def test_arrays_that_are_not_interactions_are_refused(changes, message):
    arrays = {
        "users": np.frombuffer(b'["u", "v"]', np.uint8),
        "offsets": np.array([0, 2, 3]),
        "rows": np.array([0, 1, 2]),
        "n_items": np.array([3]),
        "ratings": np.array([1, np.nan, 2], np.float32),
        "times": np.array([1, 2, 3]),
    }
    assert Interactions.from_arrays(arrays).history("u").rows.tolist() == [0, 1]
    with pytest.raises(ValueError, match=message):
        Interactions.from_arrays({name: value for name, value in {**arrays, **changes}.items() if value is not None})


@pytest.mark.parametrize(
    ("asked", "close"),
    [
        ("Anna-Kerenina", "'anna-karenina'"),
        ("ben.smiht", "'ben.smith'"),
        ("AB-12345", "'AB-12346'"),
        ("zzz", "(such as"),
    ],
)
def test_a_misspelt_user_is_told_who_may_be_meant(asked, close):
    users = ["anna-karenina", "ben.smith", "AB-12346", *(f"user {number}" for number in range(50))]
    log = Interactions.from_columns(users, np.zeros(len(users), np.int64), 1)
    with pytest.raises(UnknownUserError, match=re.escape(close)):
        log.history(asked)
