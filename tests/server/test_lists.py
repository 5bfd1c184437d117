"""Lists over HTTP: those of the library, with every event that was acknowledged, and pages without repeats."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from genre_gen.recommender.requests import Request
from genre_gen.server.context import new_id, time_of_id

RECOMMEND = "/v1/movies/recommend"


def items(answer):
    return [pick["item"] for pick in answer["items"]]


@pytest.fixture
def library(site):
    """Return what the library answers for the live history of a user."""

    def ask(user, n=5, **options):
        context = site.service.domain("movies").context
        history = context.histories.history(user)
        from genre_gen.recommender.answering import answer_many

        (picks,) = answer_many(context.state, [Request(history, n, **options)])
        return [pick.item.id for pick in picks]

    return ask


def test_a_list_is_that_of_the_library(site, tiny_recommender):
    answer = site.recommend("17", 5)
    picks = tiny_recommender.recommend("17", 5)
    assert items(answer) == [pick.item.id for pick in picks]
    assert [pick["title"] for pick in answer["items"]] == [pick.item.title for pick in picks]
    for given, pick in zip(answer["items"], picks, strict=True):
        assert given["score"] == pytest.approx(pick.score, abs=1e-4)
        assert given["parts"] == pytest.approx(dict(pick.parts), abs=1e-4)
    assert [pick["rank"] for pick in answer["items"]] == [1, 2, 3, 4, 5]
    assert answer["generation"].startswith("g-")
    assert uuid.UUID(answer["id"]).version == 7


@pytest.mark.parametrize(
    "options",
    [
        {"where": "year >= 1990"},
        {"exclude": ["1", "2"], "where": "genre != 'Horror'"},
        {"include": ["3", "4", "5", "6"]},
        {"query": "something light"},
        {"at": 1703539470.0},
        {"rules": {"boosts": {"year >= 2000": 3.0}, "at_most": {"genre": 2}}},
        {"rules": {}},
    ],
)
def test_options_are_those_of_the_library(site, tiny_recommender, options):
    from genre_gen.rules.settings import Rules

    asked = {**options, **({"rules": Rules(**options["rules"])} if "rules" in options else {})}
    picks = tiny_recommender.recommend("17", 5, **asked)
    answer = site.recommend("17", 5, **options)
    assert items(answer) == [pick.item.id for pick in picks]
    assert answer["notes"] == list(picks.notes)
    if "query" in options:
        assert answer["understood"]["text"] == str(picks.parsed_query)


def test_a_moment_as_text_is_the_same_moment(site):
    numbers = site.recommend("17", at=1703539470.0)
    assert items(site.recommend("17", at="2023-12-25T21:24:30Z")) == items(numbers)
    assert items(site.recommend("17", at="2023-12-25T22:24:30+01:00")) == items(numbers)


def test_a_history_is_read_as_in_the_library(site, tiny_recommender):
    titles = [item.title for item in tiny_recommender.state.catalog[:3]]
    history = [titles[0], {"item": "2", "rating": 4}, {"item": titles[2]}]
    answer = site.recommend(None, history=history)
    assert items(answer) == [pick.item.id for pick in tiny_recommender.recommend([titles[0], ("2", 4), titles[2]], 5)]
    timed = [{"item": "3", "at": 20}, {"item": "2", "at": "1970-01-01T00:00:10Z"}]
    picks = tiny_recommender.recommend([("3", None, 20), ("2", None, 10)], 5)
    assert items(site.recommend(None, history=timed)) == [pick.item.id for pick in picks]


def test_an_unknown_user_gets_a_list_with_a_note(site, tiny_recommender):
    answer = site.recommend("nobody-has-this-id")
    assert items(answer) == [pick.item.id for pick in tiny_recommender.recommend(None, 5)]
    assert answer["history_seq"] == 0
    assert any("unknown user" in note for note in answer["notes"])
    assert items(site.recommend(None)) == items(answer)


def test_the_simple_form_is_the_same(site):
    answer = site.ok("GET", RECOMMEND, params={"user": "17", "n": 3, "where": "year >= 1990", "explain": "true"})
    assert items(answer) == items(site.recommend("17", 3, where="year >= 1990"))
    assert all(pick["explanation"]["text"] for pick in answer["items"])
    site.refused(422, "GET", RECOMMEND, params={"user": "17", "n": "many"})
    site.refused(422, "GET", RECOMMEND, params=[("user", "17"), ("user", "4")])
    site.refused(422, "GET", RECOMMEND, params={"who": "17"})


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"n": 0}, "n"),
        ({"n": 10**30}, "n"),
        ({"n": "5"}, "n"),
        ({"n": True}, "n"),
        ({"user": ""}, "user"),
        ({"user": "a\x00b"}, "user"),
        ({"users": ["17"]}, "users"),
        ({"where": "x" * 2001}, "where"),
        ({"query": "x" * 501}, "query"),
        ({"at": "yesterday"}, "at"),
        ({"at": 1e300}, "at"),
        ({"history": [["1", 4]]}, "history"),
        ({"history": [{"item": "1", "rating": "good"}]}, "history"),
        ({"rules": {"boosts": {"year > 1": 1000}}}, "rules"),
        ({"explain": "sometimes"}, "explain"),
    ],
)
def test_a_wrong_value_is_named(site, body, named):
    problem = site.refused(422, "POST", RECOMMEND, body)
    assert any(error["field"].startswith(named) for error in problem["errors"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"user": "17", "where": "yaer > 1"}, "year"),
        ({"user": "17", "where": "year >"}, "where|expression|value"),
        ({"user": "17", "exclude": ["no such film"]}, "no item"),
        ({"history": ["no such film", "nor this"]}, "no item"),
        ({"history": [{"item": "1", "rating": 9}]}, "scale"),
        ({"history": ["1", {"item": "2", "at": 5}]}, "times"),
        ({"user": "17", "history": ["1"]}, "one of them"),
        ({"rules": {"at_most": {"gnere": 2}}}, "genre"),
        ({"rules": {"pins": {"1": 2, "2": 2}}}, "rank 2"),
    ],
)
def test_what_the_library_refuses_is_refused_with_its_words(site, body, told):
    import re

    assert re.search(told, site.refused(422, "POST", RECOMMEND, body)["detail"])


def test_pages_continue_the_list_without_repeats(site, tiny_recommender):
    whole = [pick.item.id for pick in tiny_recommender.recommend("4", 15)]
    first = site.recommend("4", 5)
    second = site.ok("POST", f"/v1/movies/lists/{first['id']}/next", {"n": 4})
    third = site.ok("POST", f"/v1/movies/lists/{second['id']}/next", {"n": 6})
    assert items(first) + items(second) + items(third) == whole
    assert [pick["rank"] for pick in third["items"]] == [10, 11, 12, 13, 14, 15]
    again = site.ok("POST", f"/v1/movies/lists/{first['id']}/next", {"n": 4})
    assert items(again) == items(second)


def test_pages_have_the_request_and_the_history_of_the_list(site, tiny_recommender):
    options = {"where": "year >= 1980", "exclude": ["3"]}
    whole = [pick.item.id for pick in tiny_recommender.recommend("9", 8, **options)]
    first = site.recommend("9", 4, **options)
    site.send({"user": "9", "item": whole[6], "event_id": "between-pages"})
    second = site.ok("POST", f"/v1/movies/lists/{first['id']}/next", {"n": 4})
    assert items(first) + items(second) == whole
    assert second["history_seq"] == first["history_seq"]
    assert whole[6] not in items(site.recommend("9", 20, **options))


def test_a_page_of_a_history_continues_it(site):
    first = site.recommend(None, 3, history=["1", "2"])
    second = site.ok("POST", f"/v1/movies/lists/{first['id']}/next", {"n": 3})
    assert items(site.recommend(None, 6, history=["1", "2"])) == items(first) + items(second)


def test_the_last_page_says_why_it_is_short(site):
    first = site.recommend("17", 20)
    rest = site.ok("POST", f"/v1/movies/lists/{first['id']}/next", {"n": 100})
    assert 0 < len(rest["items"]) < 100
    assert any("seen already" in note for note in rest["notes"])
    assert site.ok("POST", f"/v1/movies/lists/{rest['id']}/next", {"n": 1})["items"] == []
    site.refused(422, "POST", f"/v1/movies/lists/{first['id']}/next", {"n": 1000})


def test_pages_are_found_in_the_store_when_memory_has_forgotten_them(fresh):
    first = fresh.recommend("17", 5, where="year >= 1980", at="2030-01-01T00:00:00Z", rules={"at_most": {"genre": 3}})
    second = fresh.ok("POST", f"/v1/movies/lists/{first['id']}/next", {"n": 5})
    lists = fresh.service.domain("movies").lists
    fresh.client.portal.call(lists.close)
    assert not lists._pending
    lists._recent.clear()
    assert items(fresh.ok("POST", f"/v1/movies/lists/{first['id']}/next", {"n": 5})) == items(second)
    stored = fresh.ok("GET", f"/v1/movies/lists/{second['id']}")
    assert items(stored) == items(second)
    assert [pick["rank"] for pick in stored["items"]] == [6, 7, 8, 9, 10]
    assert stored["user"] == "17"


def test_a_list_with_a_withdrawn_item_has_no_next_page(fresh):
    first = fresh.recommend("17", 3)
    fresh.ok("PATCH", f"/v1/movies/items/{items(first)[1]}", {"available": False})
    problem = fresh.refused(409, "POST", f"/v1/movies/lists/{first['id']}/next", {"n": 3})
    assert "exclude" in problem["detail"]
    assert items(fresh.ok("GET", f"/v1/movies/lists/{first['id']}")) == items(first)


def test_unknown_and_deleted_lists_are_told_apart(site):
    site.refused(404, "GET", f"/v1/movies/lists/{new_id()}")
    site.refused(404, "GET", "/v1/movies/lists/none")
    site.refused(404, "POST", "/v1/movies/lists/none/next", {"n": 3})
    site.refused(410, "GET", f"/v1/movies/lists/{new_id(time.time() - 100 * 86_400)}")
    kept = site.recommend("17")
    site.refused(404, "GET", f"/v1/books/lists/{kept['id']}")
    unlogged = site.recommend("17", log=False)
    site.refused(404, "GET", f"/v1/movies/lists/{unlogged['id']}")


def test_old_lists_are_deleted(fresh):
    answer = fresh.recommend("17")
    domain = fresh.service.domain("movies")
    fresh.client.portal.call(domain.lists.close)
    domain.lists._recent.clear()
    assert fresh.ok("GET", f"/v1/movies/lists/{answer['id']}")["id"] == answer["id"]
    assert domain.stored_lists.delete_before(time.time() + 1).result() == 1
    fresh.refused(404, "GET", f"/v1/movies/lists/{answer['id']}")


def test_explanations_are_those_of_the_library(site, tiny_recommender):
    picks = tiny_recommender.recommend("17", 3, explain=True)
    answer = site.recommend("17", 3, explain=True)
    for given, pick in zip(answer["items"], picks, strict=True):
        assert given["explanation"]["text"] == pick.explanation.text
        assert len(given["explanation"]["reasons"]) == len(pick.explanation.facts)


def test_reasons_may_come_later_from_the_history_that_the_list_had(site):
    at_once = site.recommend("22", 3, explain=True)
    later = site.recommend("22", 3, explain="later")
    assert items(later) == items(at_once)
    assert all("explanation" not in pick for pick in later["items"])
    site.send({"user": "22", "item": items(later)[0]})
    read = site.ok("GET", f"/v1/movies/lists/{later['id']}?explain=true")
    assert [pick["explanation"] for pick in read["items"]] == [pick["explanation"] for pick in at_once["items"]]
    plain = site.ok("GET", f"/v1/movies/lists/{later['id']}")
    assert all("explanation" not in pick for pick in plain["items"])


def test_every_list_has_the_event_before_it(site, library):
    """From several threads, each with users of its own: what was acknowledged is in the next list, and not in it."""

    def follow(thread):
        for turn in range(6):
            user = f"follower-{thread}-{turn % 2}"
            item = items(site.recommend(user, 1))[0]
            seq = site.send({"user": user, "item": item})["seq"]
            answer = site.recommend(user, 5)
            assert item not in items(answer)
            assert answer["history_seq"] == seq
            assert items(answer) == library(user)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(follow, range(4)))


def test_ids_hold_their_time():
    assert abs(time_of_id(new_id(1_700_000_000.25)) - 1_700_000_000.25) < 0.001
    assert time_of_id("none") is None
    assert time_of_id(str(uuid.uuid4())) is None
    assert sorted(ids := [new_id(at) for at in (1.0, 2.0, 3.0)]) == ids
