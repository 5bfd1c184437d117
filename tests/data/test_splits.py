"""Splits leak nothing: what a case asks for is later than all that is learned from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.splits import global_time, hold_out_last, leave_one_out, sample_cases
from genre_gen.errors import DataError, UsageError
from tests.data.test_interactions import LOGS, N_ITEMS, entries, make

CATALOG = Catalog([Item(str(row), f"Item {row}") for row in range(N_ITEMS)])


@given(LOGS)
def test_leave_one_out_holds_out_the_last_two_items_without_leaks(log):
    interactions = make(log)
    split = leave_one_out(interactions, CATALOG)
    long = [history for history in interactions.histories() if len(history) >= 3]
    assert len(split.validation) == len(split.test) == len(long)
    for history, validation, test in zip(long, split.validation, split.test, strict=True):
        everything = entries(history)
        assert entries(split.train.history(history.user)) == everything[:-2] == entries(validation.history)
        assert entries(test.history) == everything[:-1]
        assert (validation.rating, test.rating) == (everything[-2], everything[-1])
        assert (validation.target, test.target) == (history.rows[-2], history.rows[-1])
        assert validation.history.user == test.history.user == history.user
    held_out = {entry for case in (*split.validation, *split.test) for entry in [int(case.rating)]}
    trained = {entry for history in split.train.histories() for entry in entries(history)}
    assert trained | held_out == set(range(len(log)))
    assert not trained & held_out


@settings(max_examples=200)
@given(LOGS, st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_global_time_trains_only_on_interactions_before_all_cases(log, validation, test):
    interactions = make(log)
    if len({time for _, _, time in log}) == 1:
        with pytest.raises(DataError):
            global_time(interactions, CATALOG, validation, test)
        return
    try:
        split = global_time(interactions, CATALOG, validation, test)
    except DataError:  # a first moment that most of the log shares
        return
    end_of_train = max(split.train.times)
    time_of = [time for _, _, time in log]
    for cases in (split.validation, split.test):
        assert len({case.history.user for case in cases}) == len(cases)
        for case in cases:
            target = int(case.rating)
            assert time_of[target] > end_of_train
            whole = entries(interactions.history(case.history.user))
            assert entries(case.history) == whole[: whole.index(target)] != []
            assert all(time_of[entry] < time_of[target] for entry in entries(case.history))
    both = [[int(case.rating) for case in cases] for cases in (split.validation, split.test)]
    assert not set(both[0]) & set(both[1])
    if all(both):
        assert max(time_of[entry] for entry in both[0]) < min(time_of[entry] for entry in both[1])


def test_global_time_by_hand():
    log = [
        *(("a", time % 6, time) for time in range(8)),
        ("a", 3, 8),
        ("a", 2, 9),
        ("b", 3, 0),
        ("b", 4, 9),
        ("c", 5, 9),
    ]
    split = global_time(make(log), CATALOG, validation=0.2, test=0.2)
    # 13 entries; quantile .6 of their times is 6.2 and .8 is 8.6; c has no past.
    assert [(case.history.user, case.target) for case in split.validation] == [("a", 1)]
    assert [(case.history.user, case.target) for case in split.test] == [("a", 2), ("b", 4)]
    assert len(split.test[0].history) == 9
    assert len(split.train) == 8


def test_global_time_refuses_invalid_shares_and_data():
    with pytest.raises(DataError, match="needs times"):
        global_time(make([("a", 0, 0)], timed=False), CATALOG)
    for shares in ((0.5, 0.5), (0, 0.1), (0.1, -0.1), (float("nan"), 0.1)):
        with pytest.raises(UsageError, match="add up to less than 1"):
            global_time(make([("a", 0, 0), ("a", 1, 1)]), CATALOG, *shares)


@given(LOGS)
def test_hold_out_last_refits_on_all_interactions(log):
    interactions = make(log)
    long = [history for history in interactions.histories() if len(history) >= 3]
    if not long:
        with pytest.raises(UsageError, match="no user has three interactions"):
            hold_out_last(interactions, CATALOG)
        return
    split = hold_out_last(interactions, CATALOG)
    assert (split.test, split.train_and_validation) == ((), interactions)
    for history, case in zip(long, split.validation, strict=True):
        assert entries(split.train.history(history.user)) == entries(case.history) == entries(history)[:-1]


def test_interactions_of_another_catalog_are_refused():
    with pytest.raises(UsageError, match="to a catalog of 6 items, but this one has 5; load both together"):
        leave_one_out(make([("a", 0, 0)]), Catalog(CATALOG[:5]))


def test_parts_are_named_and_sampled_the_same_each_time():
    split = leave_one_out(make([(user, row, row) for user in "abcde" for row in range(4)]), CATALOG)
    assert (split.cases("validation"), split.cases("test")) == (split.validation, split.test)
    with pytest.raises(UsageError, match="part = 'train'; choose validation or test"):
        split.cases("train")
    assert sample_cases(split.test, 5) is split.test
    drawn, again = ([case.history.user for case in sample_cases(split.test, 3)] for _ in range(2))
    assert drawn == again == sorted(set(drawn))
    assert len(drawn) == 3
