"""Live histories: what reading the log with the events appended gives, for every reader at any time."""

import threading
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.history import History
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers import build_data
from genre_gen.data.readers.frames import from_frame
from genre_gen.domain import Domain
from genre_gen.live.events import EventColumns, LiveEvent
from genre_gen.live.histories import LiveHistories
from genre_gen.live.kinds import USUAL, Kinds

ITEMS = "abcdef"
CATALOG = Catalog([Item(name, f"Item {name}") for name in ITEMS])
SHOP = {
    "view": {"history": 0.3},
    "cart": {"history": 0.6},
    "buy": {"history": 1.0, "measured": True},
    "shown": {},
}
HIDING = SHOP | {"owned": {"hides": True}, "sold": {"history": 1.0, "measured": True, "hides": True}}
NEGATIVE = SHOP | {"dislike": {"negative": True}}
POLICIES = ("keep_last", "keep_first", "keep")
USERS = [f"u{number}" for number in range(60)]
NAMED = {name: kind.model_dump() for name, kind in USUAL.items()}


def domain(events=None, duplicates="keep_last", **changes):
    """Return a domain with some kinds of events."""
    policies = {"duplicates": duplicates, "unknown_items": "drop", "times": "drop"}
    written = {"name": "shop", "repeat": duplicates == "keep", "data": {"policies": policies}, "events": events or {}}
    return Domain.from_settings(written).changed(changes)


def read(lines, of):
    """Return the interactions of lines (user, item, kind, time, rating) as the readers make them."""
    columns = ("user", "item", "event", "timestamp", "rating")
    frame = pl.DataFrame(lines, schema=dict.fromkeys(columns), orient="row", infer_schema_length=None)
    frame = frame.select(
        pl.col("user", "item", "event").cast(pl.String), pl.col("timestamp", "rating").cast(pl.Float64)
    )
    if frame["rating"].null_count() == len(frame):
        frame = frame.drop("rating")
    if frame["timestamp"].null_count() == len(frame):
        frame = frame.drop("timestamp")
    return build_data(of, from_frame(frame, "log"), None, catalog=CATALOG).interactions


def live(of, lines):
    """Return live histories over trained lines."""
    histories = read(lines, of) if lines else Interactions.none(len(CATALOG))
    return LiveHistories(SimpleNamespace(domain=of, catalog=CATALOG, histories=histories), Kinds(of))


def event(seq, user, item, kind, time, rating=None):
    return LiveEvent(f"e{seq}", user, item, kind, time, time, rating, seq=seq)


def events_of(lines):
    return [event(seq, *line) for seq, line in enumerate(lines, 1)]


def told(history, times=True):
    """Return a history as plain values; that no rating is known may be written in two ways."""
    ratings = [] if history.ratings is None else history.ratings.tolist()
    ratings = [None if np.isnan(rating) else rating for rating in ratings] or [None] * len(history)
    hidden = history.hidden
    hiding = [] if hidden is None else [*zip(hidden.rows.tolist(), hidden.places.tolist(), strict=True)]
    if times and hidden is not None:
        hiding = [*zip(hiding, hidden.times.tolist(), strict=True)]
    whens = history.times.tolist() if times and history.times is not None else []
    return history.rows.tolist(), whens, ratings, hiding


def of_interactions(interactions, user):
    """Return what the readers made for a user, who may have hidden items only."""
    row = interactions.find_user(user)
    hidden = interactions.hidden_from(user)
    return History(np.zeros(0, np.int64), hidden=hidden) if row is None else interactions.history_at(row)


class Logs:
    """Random logs of many users, a trained part and events that follow in the order of `seq`."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def lines(self, n, kinds, times, rated=0.0, items=ITEMS):
        """Return (user, item, kind, time, rating), of which a share is rated."""
        choose, ratings = self.random.choice, self.random.integers(1, 6, n).astype(float).tolist()
        known = (self.random.random(n) < rated).tolist()
        whens = [None] * n if times is None else choose(times, n).tolist()
        names = [choose(values, n).tolist() for values in (USERS, [*items], [*kinds])]
        return [*zip(*names, whens, [r if k else None for r, k in zip(ratings, known, strict=True)], strict=True)]


def check(of, reference, trained, later, alike=None):
    """Compare each user's history, applied in batches and as of some events, with the readers' own."""
    histories, events, done = live(of, trained), events_of(later), 0
    alike = alike or (lambda ours, readers, user: told(ours) == told(readers))
    n = len(events)
    for cut in (n // 3, n // 2, n // 2 + 1, n):
        batch = events[done:cut]
        histories.apply(batch) if done else histories.load(EventColumns.of(batch[::-1]))
        done = cut
        if cut != n // 2:
            wrong(histories, reference, [*trained, *later[:cut]], alike)
    for seq in (0, 1, n // 3, 2 * n // 3, n):
        wrong(histories, reference, [*trained, *later[:seq]], alike, until_seq=seq)


def wrong(histories, reference, lines, alike, **until):
    """Raise with the lines of the first user whose history differs."""
    interactions = read(lines, reference)
    for user in USERS:
        ours, readers = histories.history(user, **until), of_interactions(interactions, user)
        own = [line for line in lines if line[0] == user]
        assert alike(ours, readers, user), (own, told(ours), told(readers))


WHOLE, HALVES, LATER = np.arange(12.0), np.arange(24) / 2, np.arange(24, 40) / 2


@pytest.mark.parametrize("duplicates", POLICIES)
@pytest.mark.parametrize("kinds", [HIDING, NEGATIVE], ids=["hiding", "negative"])
def test_events_after_training_give_what_reading_them_gives(kinds, duplicates):
    of, logs = domain(kinds, duplicates), Logs(1)
    check(of, of, logs.lines(400, kinds, WHOLE), logs.lines(400, kinds, LATER, rated=0.4))


@pytest.mark.parametrize("duplicates", POLICIES)
def test_events_that_happened_long_ago_take_their_place(duplicates):
    of, logs = domain(None, duplicates), Logs(2)
    trained = logs.lines(300, ["interaction"], WHOLE, rated=1.0)
    later = logs.lines(300, ["interaction", "rating", "click"], HALVES, rated=1.0, items=ITEMS + "x")
    check(of, of.changed({"events": NAMED}), trained, later)


def test_dislikes_hide_until_the_item_is_had_again():
    of, logs = domain(), Logs(3)
    trained = logs.lines(300, ["interaction"], WHOLE)
    check(of, of.changed({"events": NAMED}), trained, logs.lines(400, USUAL, LATER))


def test_events_of_users_without_trained_histories():
    of, logs = domain(NEGATIVE), Logs(4)
    check(of, of, [("other", "a", "buy", 1.0, None)], logs.lines(500, NEGATIVE, HALVES, rated=0.5))


def test_a_recommender_without_histories_takes_the_times_of_events():
    of, logs = domain(NEGATIVE), Logs(5)
    later = [("u1", "a", "buy", 1.0, None), *logs.lines(300, NEGATIVE, HALVES)]
    histories = live(of, [])
    histories.apply(events_of(later))
    wrong(histories, of, later, lambda ours, readers, user: told(ours) == told(readers))


def test_a_log_without_times_comes_first():
    of, logs = domain(), Logs(6)
    trained = logs.lines(300, ["interaction"], None)
    later = logs.lines(300, ["interaction", "dislike"], HALVES)
    histories = live(of, trained)
    histories.apply(events_of(later))
    in_time = [(*line[:3], None, None) for line in sorted(later, key=lambda line: line[3])]
    reference = of.changed({"events": NAMED})
    wrong(histories, reference, [*trained, *in_time], lambda a, b, user: told(a, times=False) == told(b, times=False))


def test_where_kinds_hide_and_turn_down_what_training_hid_stays_hidden():
    kinds = HIDING | NEGATIVE
    of, logs = domain(kinds), Logs(7)
    trained = logs.lines(400, kinds, WHOLE)
    before = read(trained, of)

    def alike(ours, readers, user):
        hidden = [h.hidden for h in (ours, readers, of_interactions(before, user))]
        rows = [set() if each is None else {*each.rows.tolist()} for each in hidden]
        return told(ours)[:3] == told(readers)[:3] and rows[1] <= rows[0] <= rows[1] | rows[2]

    check(of, of, trained, logs.lines(400, kinds, LATER), alike)


def test_what_is_written_for_no_rating_is_none():
    of = domain(**{"data.not_rated": [-1.0], "rating_scale": [1.0, 5.0]})
    histories = live(of, [("ann", "a", "interaction", 1.0, 4.0)])
    histories.apply([event(1, "ann", "b", "rating", 2.0, -1.0), event(2, "ann", "c", "rating", 3.0, 2.0)])
    assert told(histories.history("ann"))[2] == [4.0, None, 2.0]


def test_apply_names_the_users_whose_list_may_change():
    histories = live(domain(), [("ann", "a", "interaction", 1.0, None)])
    kinds = {"ann": "interaction", "ben": "dislike", "cat": "click", "dan": "unheard-of"}
    changed = histories.apply([event(seq, user, "b", kind, 5.0) for seq, (user, kind) in enumerate(kinds.items(), 1)])
    assert changed == {"ann", "ben"}
    assert histories.apply([event(5, "eve", "no such item", "interaction", 5.0)]) == set()


def test_sequences_and_strangers():
    histories = live(domain(), [("ann", "a", "interaction", 1.0, None)])
    assert histories.knows("ann")
    assert not histories.knows("ben")
    stranger = histories.history("ben")
    assert len(stranger) == 0
    assert stranger.user is None  # nothing of a stranger is cached by name
    histories.apply([event(7, "ben", "b", "interaction", 9.0), event(8, "ben", "c", "interaction", 3.0)])
    assert (histories.user_seq("ann"), histories.user_seq("ben")) == (0, 8)
    assert histories.knows("ben")
    assert histories.history_and_seq("ben", until_seq=7)[1] == 7
    assert histories.history("ben").user == "ben"
    assert histories.history("ben") is histories.history("ben")  # made once
    with pytest.raises(ValueError, match="read-only"):
        histories.history("ben").rows[0] = 3


def test_ids_in_two_forms_are_one_user():
    histories = live(domain(), [("caf\u00e9", "a", "interaction", 1.0, None)])
    histories.load(
        EventColumns.of([event(1, "cafe\u0301", "b", "interaction", 2.0), event(2, "café", "c", "rating", 3.0)])
    )
    histories.apply([event(3, "cafe\u0301", "d", "interaction", 4.0)])
    assert histories.history("cafe\u0301").rows.tolist() == [0, 1, 2, 3]
    assert histories.history("caf\u00e9", until_seq=2).rows.tolist() == [0, 1, 2]


def test_merging_gives_the_events_to_the_other_user():
    histories = live(domain(), [("ann", "a", "interaction", 1.0, None), ("anon", "f", "interaction", 1.0, None)])
    histories.apply([event(1, "anon", "b", "interaction", 2.0), event(2, "ann", "c", "interaction", 3.0)])
    histories.merge("anon", "ann")
    assert histories.history("ann").rows.tolist() == [0, 1, 2]
    assert histories.user_seq("ann") == 2
    assert histories.history("anon").rows.tolist() == [5]  # what was trained stays
    histories.merge("ann", "ann")
    assert histories.history("ann").rows.tolist() == [0, 1, 2]


def test_a_forgotten_user_begins_again():
    histories = live(domain(), [("ann", "a", "interaction", 1.0, None)])
    histories.apply([event(1, "ann", "b", "interaction", 2.0)])
    later = histories.rebase(histories.state)
    histories.forget("ann")
    for each in (histories, later):
        assert not each.knows("ann")
        assert len(each.history("ann")) == each.user_seq("ann") == 0
    histories.apply([event(2, "ann", "c", "interaction", 3.0)])
    assert later.history("ann").rows.tolist() == [2]


def test_events_wait_for_their_item_and_follow_it_to_another_catalog():
    histories = live(domain(), [("ann", "a", "interaction", 1.0, None)])
    histories.apply([event(1, "ann", "new", "interaction", 2.0), event(2, "ann", "b", "interaction", 3.0)])
    assert histories.history("ann").rows.tolist() == [0, 1]
    more = Catalog([*CATALOG, Item("new", "New")])
    grown = histories.rebase(SimpleNamespace(**vars(histories.state) | {"catalog": more}))
    assert grown.history("ann").rows.tolist() == [0, 6, 1]
    histories.apply([event(3, "ann", "f", "interaction", 4.0)])  # on either
    assert grown.history("ann").rows.tolist() == [0, 6, 1, 5]
    turned = Catalog([Item(name, f"Item {name}") for name in reversed(ITEMS)])
    trained = read([("ben", "a", "interaction", 1.0, None)], domain())
    other = histories.rebase(SimpleNamespace(domain=domain(), catalog=turned, histories=trained))
    assert other.history("ann").rows.tolist() == [4, 0]  # b and f; what was trained is the new state's


def test_readers_never_see_a_part_of_a_batch():
    histories = live(domain(None, "keep"), [("ann", "a", "interaction", 1.0, None)])
    size, n, seen, done = 5, 300, [], threading.Event()

    def watch():
        while not done.is_set():
            history, seq = histories.history_and_seq("ann")
            seen.append((len(history) - 1, seq))

    watchers = [threading.Thread(target=watch) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    for batch in range(n):
        begin = batch * size
        histories.apply(
            [event(seq, "ann", ITEMS[seq % 6], "interaction", float(seq)) for seq in range(begin + 1, begin + 1 + size)]
        )
    done.set()
    for watcher in watchers:
        watcher.join()
    assert histories.history_and_seq("ann")[1] == n * size
    assert all(count == seq and count % size == 0 for count, seq in seen)
