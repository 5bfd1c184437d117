"""Streams, their tokens and metrics over HTTP: who may open them, and what they send."""

import json

import pytest
from served import serve

STREAM = "/v1/movies/stream"


def listen(site, user="17", role="read", **parameters):
    """Read one list of a stream: its id, and the list."""
    options = {"params": {"user": user, "n": 3, "lists": 1, **parameters}}
    headers = options["params"].pop("headers", {})
    if role is None:
        answer = site.client.get(STREAM, headers=headers, **options)
    else:
        answer = site.call("GET", STREAM, role=role, headers=headers, **options)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    first, second = answer.text.strip().split("\n\n")
    assert first == "retry: 2000"
    fields = dict(line.split(": ", 1) for line in second.splitlines())
    assert fields["event"] == "recommendations"
    return fields["id"], json.loads(fields["data"])


def test_a_stream_has_the_list_that_a_request_has(site):
    ident, pushed = listen(site)
    asked = site.recommend("17", 3)
    assert [pick["item"] for pick in pushed["items"]] == [pick["item"] for pick in asked["items"]]
    assert ident.startswith(asked["generation"])
    assert site.ok("GET", f"/v1/movies/lists/{pushed['id']}")["user"] == "17"


def test_an_event_makes_another_version_and_a_client_that_comes_back_gets_it(site):
    before, pushed = listen(site, "reader")
    site.send({"user": "reader", "item": pushed["items"][0]["item"]})
    after, newer = listen(site, "reader", headers={"Last-Event-ID": before})
    assert after != before
    assert pushed["items"][0]["item"] not in {pick["item"] for pick in newer["items"]}


def test_a_token_opens_the_stream_of_its_user_only(site):
    made = site.ok("POST", "/v1/movies/stream-tokens", {"user": "17", "minutes": 5}, role="read")
    assert made["expires"].endswith("Z")
    listen(site, role=None, token=made["token"])
    for path, user in ((STREAM, "22"), ("/v1/books/stream", "17")):
        answer = site.client.get(path, params={"user": user, "token": made["token"]})
        assert answer.status_code == 401, answer.text
    assert "ask for another" in site.client.get(STREAM, params={"user": "17", "token": "gs_x"}).json()["detail"]
    site.refused(422, "POST", "/v1/movies/stream-tokens", {"user": "17", "minutes": 0})
    site.refused(422, "POST", "/v1/movies/stream-tokens", {"user": "17", "minutes": 1e9})


def test_a_stream_needs_a_key_for_its_domain_or_a_token(site):
    assert site.client.get(STREAM, params={"user": "17"}).status_code == 401
    site.keys["books"] = site.key(role="admin", domains=["books"])
    site.refused(404, "GET", STREAM, role="books", params={"user": "17"})
    site.refused(404, "POST", "/v1/movies/stream-tokens", {"user": "17"}, role="books")
    site.refused(404, "GET", "/v1/nothing/stream", params={"user": "17"})
    site.refused(422, "GET", STREAM, params={"user": "17", "n": 1000})
    site.refused(422, "GET", STREAM)


def test_metrics_are_for_keys_of_all_domains(site):
    site.recommend()
    text = site.call("GET", "/metrics", role="read").text
    assert 'genre_requests_total{method="POST",route="/v1/{domain}/recommend",status="200"}' in text
    for name in ("genre_view_number", "genre_queue_length", "genre_store_commits_total", "genre_batch_size_count"):
        assert name in text
    assert not any(secret in text for secret in site.keys.values())
    assert site.client.get("/metrics").status_code == 401
    site.keys["one"] = site.key(role="admin", domains=["movies"])
    assert "scrape key" in site.refused(403, "GET", "/metrics", role="one")["detail"]


def test_tokens_outlive_the_server_and_the_scrape_key_opens_metrics(tiny_recommender, tmp_path):
    with serve(tiny_recommender, tmp_path, scrape_key="scrape-me") as site:
        token = site.ok("POST", "/v1/movies/stream-tokens", {"user": "17"})["token"]
        assert site.client.get("/metrics", headers={"Authorization": "Bearer scrape-me"}).status_code == 200
        assert site.client.get("/metrics", headers={"Authorization": "Bearer scrape-you"}).status_code == 401
    with serve(tiny_recommender, tmp_path) as site:
        listen(site, role=None, token=token)


@pytest.mark.parametrize("change", ["withdrawn", "merged", "swapped"])
def test_every_kind_of_change_reaches_the_hub(fresh, tiny_recommender, change):
    hub, domain = fresh.client.app.state.push, fresh.service.domain("movies")
    heard = []
    hub.withdrawn = lambda name, items: heard.append((name, *items))
    hub.changed = lambda name, users, because=None, *, anyway=False: heard.append((name, sorted(users), anyway))
    hub.renewed = lambda name: heard.append((name, "renewed"))
    if change == "withdrawn":
        fresh.ok("PATCH", "/v1/movies/items/12", {"available": False})
        assert ("movies", "12") in heard
    elif change == "merged":
        fresh.send({"user": "a", "item": "12"})
        fresh.ok("POST", "/v1/movies/users/a/merge", {"into": "b"})
        assert heard == [("movies", ["a"], False), ("movies", ["a", "b"], True)]
    else:
        fresh.client.portal.call(domain.swap, tiny_recommender.state)
        assert ("movies", "renewed") in heard
