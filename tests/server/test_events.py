"""Events over HTTP: each is checked alone, stored once, and in the history when it is acknowledged."""

import time

import pytest
from served import serve

EVENTS = "/v1/movies/events"


def history(site, user):
    return site.ok("GET", f"/v1/movies/users/{user}")


def test_an_event_is_in_the_history_when_it_is_acknowledged(site):
    answer = site.send({"user": "ann", "item": "12", "event_id": "a-1"})
    assert answer == {"accepted": 1, "duplicates": 0, "updated": 0, "rejected": [], "seq": answer["seq"]}
    assert answer["seq"] > 0
    seen = history(site, "ann")
    assert [each["item"] for each in seen["history"]] == ["12"]
    assert seen["history_seq"] == answer["seq"]


def test_the_same_event_is_stored_once(site):
    event = {"user": "bob", "item": "12", "event_id": "b-1", "type": "view", "value": 5.0}
    assert site.send(event)["accepted"] == 1
    assert site.send(event)["duplicates"] == 1
    longer = site.send({**event, "value": 8.5})
    assert (longer["accepted"], longer["updated"]) == (0, 1)
    assert site.send(event)["updated"] == 0
    (stored,) = site.ok("GET", EVENTS, params={"user": "bob"})["events"]
    assert (stored["event_id"], stored["value"], stored["type"]) == ("b-1", 8.5, "view")


def test_each_event_is_checked_alone(site):
    answer = site.send(
        {"user": "cleo", "item": "12", "event_id": "c-0"},
        {"user": "cleo", "item": "no such item", "event_id": "c-1"},
        {"user": "cleo", "item": "13", "event_id": "c-2", "type": "bought"},
        {"user": "cleo", "item": "13", "event_id": "c-3", "rating": 77},
        {"user": "cleo", "event_id": "c-4"},
        {"user": "cleo", "item": "14", "event_id": "c-5", "at": time.time() + 3 * 86_400},
        {"user": "", "item": "14"},
        {"user": "cleo", "item": "14", "event_id": "c-7", "extra": 1},
        {"user": "cleo", "item": "15", "event_id": "c-8"},
    )
    assert answer["accepted"] == 2
    assert [each["index"] for each in answer["rejected"]] == [1, 2, 3, 4, 5, 6, 7]
    told = {each["index"]: each["error"] for each in answer["rejected"]}
    assert "no such item" in told[1]
    assert "interaction" in told[2]
    assert "scale" in told[3]
    assert "item" in told[4]
    assert "clock" in told[5]
    assert "extra" in told[7]
    assert {each["item"] for each in history(site, "cleo")["history"]} == {"12", "15"}


def test_a_request_without_a_list_of_events_is_refused(site):
    for body in ({}, {"events": []}, {"events": {}}, {"events": [{}] * 501}, {"events": [], "more": 1}, [], "text"):
        site.refused(422, "POST", EVENTS, body)


def test_events_come_in_the_order_of_their_times(site):
    site.send({"user": "dan", "item": "12", "at": 2_000.5}, {"user": "dan", "item": "13", "at": "1970-01-01T00:16:40Z"})
    assert [each["item"] for each in history(site, "dan")["history"]] == ["12", "13"]


def test_ratings_and_dislikes_count(site):
    site.send({"user": "eve", "item": "12", "type": "rating", "rating": 2}, {"user": "eve", "item": "13"})
    assert {each["item"]: each["rating"] for each in history(site, "eve")["history"]} == {"12": 2.0, "13": None}
    site.send({"user": "eve", "item": "12", "type": "dislike"})
    assert [each["item"] for each in history(site, "eve")["history"]] == ["13"]
    assert "12" not in [pick["item"] for pick in site.recommend("eve", 40)["items"]]


def test_events_are_read_page_by_page(site):
    site.send(*({"user": "fay", "item": str(item), "event_id": f"f-{item}"} for item in range(1, 8)))
    page = site.ok("GET", EVENTS, params={"user": "fay", "n": 5})
    assert [each["event_id"] for each in page["events"]] == ["f-7", "f-6", "f-5", "f-4", "f-3"]
    rest = site.ok("GET", EVENTS, params={"user": "fay", "n": 5, "before": page["next"]})
    assert [each["event_id"] for each in rest["events"]] == ["f-2", "f-1"]
    assert rest["next"] is None
    site.refused(422, "GET", EVENTS)


def test_users_in_two_forms_are_one(site):
    site.send({"user": "Ren\u00e9", "item": "12"}, {"user": "Rene\u0301", "item": "13"})
    assert len(history(site, "Ren\u00e9")["history"]) == 2


def test_events_of_other_domains_are_others(site):
    site.send({"user": "gil", "item": "12", "event_id": "g-1"})
    answer = site.ok("POST", "/v1/books/events", {"events": [{"user": "gil", "item": "13", "event_id": "g-1"}]})
    assert answer["accepted"] == 1
    assert [each["item"] for each in history(site, "gil")["history"]] == ["12"]


def test_items_that_come_later_may_be_kept(tiny_recommender, tmp_path):
    with serve(tiny_recommender, tmp_path, unknown_items="keep") as site:
        assert site.send({"user": "hal", "item": "late-1"}, {"user": "hal", "item": "12"})["accepted"] == 2
        assert [each["item"] for each in history(site, "hal")["history"]] == ["12"]
        site.ok("PUT", "/v1/movies/items/late-1", {"title": "Late", "fields": {"year": 2020}})
        assert {each["item"] for each in history(site, "hal")["history"]} == {"12", "late-1"}


def test_events_outlive_the_server(tiny_recommender, tmp_path):
    with serve(tiny_recommender, tmp_path) as site:
        seq = site.send({"user": "ida", "item": "12"}, {"user": "17", "item": "13"})["seq"]
        before = site.recommend("17")
    with serve(tiny_recommender, tmp_path) as site:
        assert history(site, "17")["history_seq"] == seq
        after = site.recommend("17")
        assert [pick["item"] for pick in after["items"]] == [pick["item"] for pick in before["items"]]
        assert site.ok("GET", f"/v1/movies/lists/{before['id']}")["items"]


def test_nothing_is_acknowledged_that_the_store_refuses(fresh, monkeypatch):
    from genre_gen.errors import BusyError, StoreError

    def fail(problem):
        def submit(*_, **__):
            raise problem

        return submit

    writer = fresh.service.database.writer
    for problem, pause in (
        (BusyError("the queue is full; try again", 3.2), "4"),
        (StoreError("the disk is full"), "2"),
    ):
        monkeypatch.setattr(writer, "submit", fail(problem))
        answer = fresh.call("POST", EVENTS, {"events": [{"user": "jan", "item": "12"}]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, pause)
    monkeypatch.undo()
    fresh.refused(404, "GET", "/v1/movies/users/jan")


def test_listeners_hear_of_changes(fresh):
    heard = []

    class Listener:
        def changed(self, domain, users, because=None, *, anyway=False):
            heard.append((domain, set(users), because))

        def withdrawn(self, domain, items):
            heard.append((domain, set(items)))

        def renewed(self, domain):
            heard.append(domain)

    fresh.service.listeners.append(Listener())
    fresh.send({"user": "kim", "item": "12", "event_id": "k-1"}, {"user": "kim", "item": "13", "event_id": "k-2"})
    assert heard == [("movies", {"kim"}, {"kim": "k-2"})]
    fresh.send({"user": "kim", "item": "14", "type": "click"})
    assert len(heard) == 1, "a click changes no history"
    fresh.ok("DELETE", "/v1/movies/items/14")
    assert heard[1:] == [("movies", {"14"})]
    fresh.ok("DELETE", "/v1/movies/items/14")
    assert len(heard) == 2


@pytest.mark.parametrize("size", [1, 500])
def test_as_many_events_as_allowed_are_taken(site, size):
    events = [{"user": f"crowd-{place % 7}", "item": str(place % 40 + 1)} for place in range(size)]
    assert site.send(*events)["accepted"] == size
