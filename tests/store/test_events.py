"""Events are stored once, in the order of commits, and come back as they were."""

import threading
import uuid
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_events import event

from genre_gen.errors import UsageError
from genre_gen.store.events import EventLog
from genre_gen.store.users import UserTable


@pytest.fixture
def log(database, domain):
    return EventLog(database, domain)


def test_events_come_back_as_they_were(log, write):
    full = event("e1", rating=4.5, value=12.25, list_id="l-1", position=3, session="s-1")
    bare = event("é\N{SNOWMAN}\U0001f600", happened=-5, item="Ünï 'quoted\" %s ?")
    added = write(log.add, [full, bare])
    assert (added.duplicates, added.updated) == (0, 0)
    first, second = added.stored
    assert second.seq == first.seq + 1 == log.last_seq()
    assert (replace(first, seq=0), replace(second, seq=0)) == (full, bare)
    assert log.of_user("17") == [second, first]
    assert log.of_user("17", n=1) == [second]
    assert log.of_user("17", before_seq=second.seq) == [first]
    assert log.of_user("18") == []
    assert log.count() == 2


def test_an_event_is_stored_once(log, write):
    write(log.add, [event("a"), event("b")])
    added = write(log.add, [event("b", user="18"), event("c"), event("c")])
    assert ([each.event_id for each in added.stored], added.duplicates, added.updated) == (["c"], 2, 0)
    assert log.count() == 3
    assert {each.user for each in log.of_user("17")} == {"17"}


def test_another_domain_has_its_own_events(database, log, write):
    other = EventLog(database, f"{uuid.uuid4()}")
    write(log.add, [event()])
    assert write(other.add, [event()]).duplicates == 0
    assert (log.count(), other.count()) == (1, 1)
    assert len(other.columns()) == 1


@pytest.mark.parametrize(
    ("again", "value", "updated"),
    [
        (event(value=9.0), 9.0, 1),
        (event(value=4.0), 5.0, 0),
        (event(), 5.0, 0),
        (event(value=9.0, item="50"), 5.0, 0),
        (event(value=9.0, kind="view"), 5.0, 0),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_a_larger_value_of_the_same_event_is_kept(log, write, again, value, updated, together):
    batches = [[event(value=5.0), again]] if together else [[event(value=5.0)], [again]]
    added = [write(log.add, batch) for batch in batches]
    assert sum(len(each.stored) for each in added) == 1
    assert (added[-1].duplicates, added[-1].updated) == (1, updated)
    assert log.of_user("17")[0].value == value
    if together:
        assert added[0].stored[0].value == value


@pytest.mark.parametrize("text", ["", "x" * 501, "a\0b", "\ud800", 5])
def test_what_cannot_be_stored_is_refused_whole(log, write, text):
    with pytest.raises(UsageError, match="event: the user"):
        write(log.add, [event("a"), event("b", user=text)])
    assert log.count() == 0
    assert len(write(log.add, [event("a"), event("b", user="x" * 500)]).stored) == 2


def test_columns_hold_all_events(log, write):
    events = [
        event(
            f"e{n}", user=f"u{n % 3}", item=f"i{n % 5}", kind=f"k{n % 2}", happened=n / 7, rating=n if n % 4 else None
        )
        for n in range(100)
    ]
    stored = write(log.add, events).stored
    columns = log.columns()
    assert columns.seq.tolist() == [each.seq for each in stored]
    assert [columns.users[code] for code in columns.user_codes] == [each.user for each in events]
    assert [columns.items[code] for code in columns.item_codes] == [each.item for each in events]
    assert [columns.kinds[code] for code in columns.kind_codes] == [each.kind for each in events]
    assert columns.happened.tolist() == [each.happened for each in events]
    np.testing.assert_array_equal(columns.ratings, np.array([each.rating for each in events], np.float32))
    types = (columns.seq, columns.user_codes, columns.item_codes, columns.kind_codes, columns.happened, columns.ratings)
    assert [each.dtype.str[1:] for each in types] == ["i8", "i4", "i4", "u1", "f8", "f4"]
    later = log.columns(after_seq=stored[89].seq)
    assert later.seq.tolist() == [each.seq for each in stored[90:]]


def test_no_events_have_columns(log):
    columns = log.columns()
    assert (len(columns), columns.users, columns.items, columns.kinds) == (0, (), (), ())
    assert (log.count(), log.last_seq(), log.of_user("17")) == (0, 0, [])


def test_a_place_in_the_log_is_used_once(database, log, write, domain):
    last = write(log.add, [event("a")]).stored[0].seq
    write(UserTable(database, domain).delete, "17")
    assert log.count() == 0
    assert write(log.add, [event("b")]).stored[0].seq > last


EVENTS = st.builds(
    event,
    st.sampled_from("abcdefgh"),
    user=st.sampled_from("xyz"),
    item=st.sampled_from("pq"),
    kind=st.sampled_from(["view", "click"]),
    value=st.sampled_from([None, 1.0, 2.0, 3.0]),
)


class Model:
    """What a log must hold, as a dictionary."""

    def __init__(self):
        self.events = {}

    def add(self, events):
        """Return the counts that the log must answer with."""
        told = Counter()
        for each in events:
            known = self.events.setdefault(each.event_id, each)
            if known is each:
                told["stored"] += 1
                continue
            told["duplicates"] += 1
            larger = each.value is not None and (known.value is None or each.value > known.value)
            if larger and (each.item, each.kind) == (known.item, known.kind):
                self.events[each.event_id] = replace(known, value=each.value)
                told["updated"] += 1
        return told


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.lists(EVENTS, max_size=5), max_size=4), min_size=3, max_size=3))
def test_retries_from_several_threads_store_each_event_once(database, clients):
    log = EventLog(database, f"{uuid.uuid4()}")
    committed, futures = [], []

    def send(batches):
        for sent in batches * 2:  # each is sent again
            batch = [replace(each) for each in sent]  # the model tells events by identity
            applied = lambda added, batch=batch: committed.append((batch, added))  # noqa: E731
            futures.append(database.writer.submit(lambda c, batch=batch: log.add(c, batch), applied, rows=5))

    threads = [threading.Thread(target=send, args=(batches,)) for batches in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for future in futures:
        future.result(60)

    model, seqs = Model(), []
    for batch, added in committed:
        told = {"stored": len(added.stored), "duplicates": added.duplicates, "updated": added.updated}
        assert Counter(told) == model.add(batch)
        seqs += [each.seq for each in added.stored]
    assert seqs == sorted(set(seqs))
    stored = [each for user in "xyz" for each in log.of_user(user)]
    assert sorted(stored, key=lambda each: each.seq) == [
        replace(each, seq=seq) for each, seq in zip(model.events.values(), seqs, strict=True)
    ]
