"""Kinds of events: which make histories, how several of one item fold, what turns an item down, and what is counted."""

import re

import polars as pl
import pytest

from genre_gen.data.readers import load_data
from genre_gen.errors import ConfigError, DataError
from tests.data.readers.reader_files import domain, write

ITEMS = "item_id,title\n" + "".join(f"{name},Item {name}\n" for name in "abcdef")
SHOP = {
    "view": {"history": 0.3},
    "cart": {"history": 0.6},
    "buy": {"history": 1.0, "measured": True},
    "owned": {"hides": True},
    "dislike": {"negative": True},
    "shown": {},
}


def load(tmp_path, log, events=None, header="user_id,item_id,event,timestamp", **changes):
    """Load a log written as ``ann a view 10``, an event a line."""
    lines = [header, *(line.strip().replace(" ", ",") for line in log.strip().splitlines())]
    write(tmp_path / "set", items__csv=ITEMS, interactions__csv="\n".join(lines) + "\n")
    events = {} if events == {} else events or SHOP
    return load_data(domain("shop", {}, events=events, **changes), tmp_path / "set")


def histories(data):
    """Return user -> [(item, kind, time)]."""
    frame = data.interactions.to_frame(data.catalog)
    return {
        user: frame.filter(user_id=user).select("item_id", "event", "timestamp").rows()
        for user in data.interactions.users
    }


def hidden(data, user):
    """Return the items that are hidden from a user, each with the length of the history then."""
    found = data.interactions.hidden_from(user)
    return {} if found is None else {
        data.catalog[row].id: place for row, place in zip(found.rows.tolist(), found.places.tolist(), strict=True)
    }  # fmt: skip


def problems(data):
    return [(problem.kind, problem.count, problem.location, problem.value, problem.action) for problem in data.report]


def test_the_strongest_event_with_an_item_counts_at_its_own_time(tmp_path):
    data = load(
        tmp_path,
        """ann a view 10
           ann b view 20
           ann a cart 30
           ann a buy 40
           ann a view 50
           ann c buy 35
           ann c buy 60""",
    )
    assert histories(data) == {"ann": [("b", "view", 20), ("a", "buy", 40), ("c", "buy", 60)]}
    assert problems(data) == [
        ("event weaker than another with the item", 3, "line 2", "'view'", "folded"),
        ("item more than once for one user", 1, "line 7", "'c'", "dropped"),
    ]
    assert data.interactions.counts_by_kind() == {"view": 1, "cart": 0, "buy": 2}
    assert data.interactions.weights.tolist() == pytest.approx([0.3, 1.0, 1.0])
    assert data.interactions.measured.tolist() == [False, True, True]
    first = load(
        tmp_path, "ann a view 10\nann a buy 40\nann a buy 60\nann a view 5", data__policies__duplicates="keep_first"
    )
    assert histories(first) == {"ann": [("a", "buy", 40)]}


def test_where_items_repeat_only_events_in_a_row_fold(tmp_path):
    data = load(
        tmp_path,
        """ann a view 10
           ben b view 15
           ann a view 20
           ann a cart 30
           ann b view 40
           ann a view 50
           ann a view 60
           ann a buy 70
           ann a buy 80""",
        data__policies__duplicates="keep",
        repeat=True,
    )
    assert histories(data)["ann"] == [
        ("a", "cart", 30), ("b", "view", 40), ("a", "buy", 70), ("a", "buy", 80)
    ]  # fmt: skip
    assert histories(data)["ben"] == [("b", "view", 15)]


def test_an_item_turned_down_leaves_the_history_and_is_hidden_until_it_is_had_again(tmp_path):
    log = """ann a view 10
             ann b view 20
             ann a dislike 30
             ann c dislike 5
             ann c view 40
             ann d dislike 50
             ben a dislike 10"""
    data = load(tmp_path, log)
    assert histories(data) == {"ann": [("b", "view", 20), ("c", "view", 40)]}
    assert hidden(data, "ann") == {"a": 1, "d": 2}
    assert hidden(data, "ben") == {"a": 0}  # who has no history
    assert problems(data) == [
        ("event with an item that was turned down later", 1, "line 2", "'view'", "kept out of histories"),
        ("event 'dislike'", 4, "line 4", "'dislike'", "kept out of histories"),
    ]
    music = load(tmp_path, log, data__policies__duplicates="keep", repeat=True)
    assert [item for item, _, _ in histories(music)["ann"]] == ["a", "b", "c"]  # what was heard was heard
    assert hidden(music, "ann") == {"a": 2, "d": 3}


def test_hiding_alone_leaves_histories_as_they_are(tmp_path):
    events = {"view": {"history": 1.0}, "buy": {"history": 1.0, "hides": True}, "owned": {"hides": True}}
    log = "ann a view 10\nann b owned 15\nann c buy 20\nann d view 30\nann b view 40\nann e shown 50"
    data = load(tmp_path, log, {**events, "shown": {}}, data__policies__duplicates="keep", repeat=True)
    assert [item for item, _, _ in histories(data)["ann"]] == ["a", "c", "d", "b"]
    assert hidden(data, "ann") == {"b": 1, "c": 2}
    assert data.interactions.weights is None
    assert data.interactions.measured.all()  # no kind says so, so all are
    assert ("event 'shown'", 1, "line 7", "'shown'", "kept out of histories") in problems(data)


def test_without_times_the_order_of_the_file_counts(tmp_path):
    log = "ann a view\nann b buy\nann a dislike\nann c view\nann d dislike\nann d buy"
    data = load(tmp_path, log, header="user_id,item_id,event")
    assert data.interactions.to_frame(data.catalog)["item_id"].to_list() == ["b", "c", "d"]
    assert hidden(data, "ann") == {"a": 1}
    assert data.interactions.hidden_from("ann").times is None


def test_kinds_that_the_table_lacks_are_refused_or_counted_each(tmp_path):
    log = "ann a view 10\nann b gift 20\nann c gift 30\nann d  40\nann e buy 50"
    with pytest.raises(DataError, match=re.escape(
        "line 3: kind of event that [events] lacks: 'gift' (the first of 2); correct the file, or set "
        'data.policies.unknown_events = "drop"'
    )):  # fmt: skip
        load(tmp_path, log)
    data = load(tmp_path, log, data__policies__unknown_events="drop")
    lacks = "kind of event that [events] lacks"
    assert problems(data) == [(lacks, 2, "line 3", "'gift'", "dropped"), (lacks, 1, "line 5", "''", "dropped")]
    assert [item for item, _, _ in histories(data)["ann"]] == ["a", "e"]
    many = "\n".join(f"ann a kind{number} {number}" for number in range(15)) + "\nann b buy 9"
    counts = [problem.count for problem in load(tmp_path, many, data__policies__unknown_events="drop").report]
    assert counts == [1] * 10 + [5]


def test_a_log_that_is_all_left_out_is_refused(tmp_path):
    with pytest.raises(DataError, match="no interactions left"):
        load(tmp_path, "ann a shown 10\nann b dislike 20")


def test_the_column_is_one_of_the_usual_or_a_named_one(tmp_path):
    log, events = "ann a 1 10\nann b 2 20", {"1": {"history": 0.5}, "2": {"history": 1.0}}
    data = load(tmp_path, log, events, header="user_id,item_id,behavior_type,timestamp")
    assert histories(data) == {"ann": [("a", "1", 10), ("b", "2", 20)]}
    header = "user_id,item_id,what,timestamp"
    named = load(tmp_path, log, events, header=header, data__columns__event="what")
    assert histories(named) == histories(data)
    with pytest.raises(DataError, match=r"no column 'event' or .* for the kind of event; .*set data.columns.event"):
        load(tmp_path, log, events, header=header)
    numbers = {"user_id": ["ann", "ann"], "item_id": ["a", "b"], "behavior_type": [1, 2], "timestamp": [10, 20]}
    write(tmp_path / "typed", items__csv=ITEMS)
    pl.DataFrame(numbers).write_parquet(tmp_path / "typed" / "interactions.parquet")
    settings = domain("shop", {}, events=events, data__interactions="interactions.parquet", data__items="items.csv")
    assert histories(load_data(settings, tmp_path / "typed")) == histories(data)


def test_a_rating_of_another_event_with_the_item_is_kept(tmp_path):
    header, events = "user_id,item_id,event,timestamp,rating", {"rate": {"history": 0.5}, "buy": {"history": 1.0}}
    log = "ann a buy 10 \nann a rate 20 2\nann a rate 30 4\nann b buy 40 \nann c rate 50 5"
    data = load(tmp_path, log, events, header=header)
    assert data.interactions.ratings.tolist() == pytest.approx([4, float("nan"), 5], nan_ok=True)
    first = load(tmp_path, log, events, header=header, data__policies__duplicates="keep_first")
    assert first.interactions.ratings.tolist()[0] == 2


def test_without_events_every_line_counts_and_nothing_changes(tmp_path):
    log = "ann a view 10\nann b dislike 20\nann a buy 30"
    data = load(tmp_path, log, {})
    assert data.interactions.to_frame(data.catalog).columns == ["user_id", "item_id", "timestamp"]
    assert data.interactions.rows.tolist() == [1, 0]
    assert (data.interactions.kinds, data.interactions.weights, data.interactions.hidden) == (None, None, None)
    assert set(data.interactions.arrays()) == {"offsets", "rows", "n_items", "users", "times"}


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ({"view": {"hides": True}}, "events: no kind is in the histories; give one of them history = 1.0"),
        ({"view": {"history": 2}}, "events.view.history: should be less than or equal to 1"),
        ({"view": {"history": 1.0, "negative": True}}, "events.view: a negative kind is in no history"),
        ({"view": {"history": 1.0}, "buy": {"measured": True}}, "events.buy: measured needs a weight in the history"),
        ({"view": {"histroy": 1.0}}, "events.view.histroy: unknown key, did you mean 'history'?"),
        ({str(n): {"history": 1.0} for n in range(101)}, "events: "),
    ],
)
def test_tables_that_contradict_themselves_are_refused(events, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        domain("shop", {}, events=events)


def test_a_column_without_a_table_is_refused():
    with pytest.raises(ConfigError, match=re.escape("data.columns.event needs [events], such as")):
        domain("shop", {}, data__columns__event="event")
