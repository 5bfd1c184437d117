"""The judges of the server's scripts: histories, comparisons, searches and counts, by construction."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from eval.bench.results import record
from eval.live import __main__ as everything
from eval.live import changes, claims, faults, freshness, hostile, load, replay, server
from eval.live.api import Api
from eval.live.audience import LEAD, event_calls, list_calls, strangers, trained_users
from eval.live.client import Outcome
from eval.live.library import Comparison, Logged, agree, merged
from eval.live.streams import Message
from genre_gen.data.history import History

NAN = float("nan")


def test_a_history_is_put_together_in_order_of_time():
    trained = History(np.array([3, 1]), np.array([4.0, NAN], np.float32), np.array([10, 20]), "u")
    events = [Logged(5, 30.5, NAN), Logged(6, 20, 2.0), Logged(3, 40, 5.0)]
    found = merged(trained, events, rated=True)
    assert found.rows.tolist() == [1, 6, 5, 3]  # of equal times, the trained one first; 3 at its last time
    assert found.times.tolist() == [20, 20, 30, 40]
    assert found.ratings.tolist() == pytest.approx([NAN, 2, NAN, 5], nan_ok=True)
    assert merged(None, [Logged(2, 1, NAN)], rated=False).ratings is None


def test_lists_are_compared_by_place_and_score():
    own = [("a", 3.0), ("b", 2.0), ("c", 1.99995), ("d", 1.0)]
    assert agree(["a", "c"], own)
    assert not agree(["c", "a"], own)
    assert not agree(["a", "a"], own)
    assert not agree(["a", "x"], own)
    found = Comparison()
    found.add("same", ["a", "b"], [3.0, 2.0], own)
    found.add("tied", ["a", "c"], [3.0, 2.00001], own)
    found.add("other", ["a", "d"], [3.0, 1.0], own)
    assert (found.lists, found.same, found.tied, found.different) == (3, 1, 1, 1)
    assert found.furthest == pytest.approx(6e-5, rel=0.01)
    assert found.examples[0].startswith("other: a, d; the library: a, b")


@pytest.fixture
def library(tiny_recommender):
    """Return the part of a library that makes audiences."""
    state = tiny_recommender.state
    return SimpleNamespace(state=state, users=list(state.histories.users), ids=[item.id for item in state.catalog])


def test_strangers_have_the_newest_part_of_a_history(library):
    audience = strangers(library, 3, 40)
    assert len(set(audience.users)) == 40
    first = library.state.histories.history(library.users[0]).last(3)
    stored = [made for made in audience.before if made["user"] == audience.users[0]]
    assert [made["item"] for made in stored] == [library.ids[row] for row in first.rows]
    assert [made["at"] for made in stored] == first.times.tolist()
    assert len({made["event_id"] for made in audience.before}) == len(audience.before)


def test_half_of_the_requests_follow_a_new_event(library):
    audience = trained_users(library)
    had = {user: set(seen) for user, seen in audience.seen.items()}
    calls, users = list_calls(Api(1), audience, 100, 3.0, seed=4)
    moments = [call.at for call in calls]
    assert moments == sorted(moments)
    lists = {round(call.at, 9): user for call, user in zip(calls, users, strict=True) if call.kind == "list"}
    events = [(call, user) for call, user in zip(calls, users, strict=True) if call.kind == "event"]
    assert 0.3 < len(events) / len(lists) < 0.7
    for call, user in events:
        assert lists[round(call.at + LEAD, 9)] == user
        (made,) = json.loads(call.data.partition(b"\r\n\r\n")[2])["events"]
        assert made["user"] == user
    first = json.loads(events[0][0].data.partition(b"\r\n\r\n")[2])["events"][0]
    assert library.ids.index(first["item"]) not in had[first["user"]]


def test_reports_hold_as_many_events_as_asked_for(library):
    calls = event_calls(Api(1), trained_users(library), 50, 1.0, size=3)
    events = [made for call in calls for made in json.loads(call.data.partition(b"\r\n\r\n")[2])["events"]]
    assert len(events) == 3 * len(calls) == len({made["event_id"] for made in events})


@pytest.mark.parametrize("bound", [0, 100, 260, 300, 555, 900])
def test_the_highest_rate_is_found_by_steps(bound):
    asked = []

    def bears(rate):
        asked.append(rate)
        return rate <= bound

    found = load.highest(bears, 300, steps=8)
    assert found <= bound or not found
    if bound >= 100:
        assert found >= 0.8 * bound
    assert len(asked) <= 8
    assert load.highest(bears, 300, known=bound >= 300, steps=8) == pytest.approx(found, rel=0.05)


def outcome(users, seqs, moments, streams):
    count = len(users)
    bodies = {place: json.dumps({"seq": seq}).encode() for place, seq in enumerate(seqs)}
    status = np.array([200 if seq else 503 for seq in seqs])
    moments = np.array(moments, float)
    return Outcome(np.array(["event"] * count), moments, moments, moments, status, bodies, 0.0, 0.0, [], streams)


def test_a_push_is_the_first_list_that_knows_of_the_event():
    heard = [[Message(1.0, "g.0.4", "", "{}"), Message(2.5, "g.0.6", "", "{}"), Message(3.0, "g.0.9", "", "{}")], None]
    found = outcome(["a", "a", "b", "a", "a"], [5, 6, 7, 10, 0], [1.5, 2.0, 2.0, 2.5, 2.6], heard)
    delays = freshness.push_delays(found, ["a", "a", "b", "a", "a"], ["a", "b"])
    assert delays.tolist() == [1.0, 0.5, np.inf, np.inf, np.inf]


def test_a_withdrawn_item_is_looked_for_only_while_it_is_withdrawn():
    race = changes.Race(gone=[("x", 10.0, 20.0)])
    race.lists = [
        (9.0, 11.0, ["x"]),  # began before the acknowledgement
        (11.0, 12.0, ["y"]),
        (19.0, 21.0, ["x"]),  # may have been made after it was brought back
    ]
    assert race.broken() == (1, 0)
    race.lists.append((12.0, 13.0, ["y", "x"]))
    assert race.broken() == (2, 1)
    assert race.others() == 3


def test_metrics_are_read():
    text = '# HELP a b\na_total{x="1",y="2"} 3.0\nb 4e-05\nc NaN\nd text\n'
    found = server.parsed(text)
    assert found['a_total{x="1",y="2"}'] == 3.0
    assert found["b"] == 4e-05
    assert "d" not in found


def test_every_hostile_request_has_a_name_of_its_own():
    names = [request.name for request in hostile.requests()]
    assert len(names) == len(set(names)) > 40


def test_all_parts_of_the_scripts_are_in_the_order():
    steps = {(step.module, step.part) for step in everything.STEPS}
    assert {part for module, part in steps if module == "faults"} == set(faults.PARTS)
    for module in (load, freshness, changes, replay):
        name = module.__name__.rpartition(".")[2]
        assert any(step == name for step, _ in steps)


def test_claims_are_compared_with_figures(tmp_path, run, capsys):
    figures = {"lists": {"stale": 1, "tries": 5}, "push": {"ms": {"p99": 149.0}}}
    record(tmp_path, "live_freshness", "movies", {"parts": figures}, "")
    record(tmp_path, "live_faults", "movies", {"parts": {"clock": {"broken": 0}}}, "")
    assert run(claims, tmp_path / "movies", "--out", tmp_path) == 1
    text = capsys.readouterr().out
    assert "| stale lists right after an event | at most 0.0 | 1.0 | no |" in text
    assert "| event to pushed list, 99th percentile | at most 150.0 ms | 149.0 ms | yes |" in text
    assert "| fault: clock | at most 0.0 | 0.0 | yes |" in text
    assert "| fault: kills |  | not measured |  |" in text


def test_a_figure_that_is_infinite_reaches_nothing(tmp_path, run, capsys):
    record(tmp_path, "live_freshness", "movies", {"parts": {"push": {"ms": {"p99": float("inf")}}}}, "")
    assert run(claims, tmp_path / "movies", "--out", tmp_path) == 1
    assert "| none in time ms | no |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (422, b"{}", True),
        (500, b"{}", False),
        (0, b"", False),
        (200, b'{"accepted": 0, "rejected": [{"index": 0}]}', True),
        (200, b'{"accepted": 1, "rejected": []}', False),
        (200, b'{"items": []}', False),
    ],
)
def test_a_hostile_request_is_refused_or_each_of_its_events(status, body, refused):
    assert hostile.Answered(status, 0.0, body).refused == refused
