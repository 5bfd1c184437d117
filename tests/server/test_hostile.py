"""Hostile requests are refused: with 4xx, without internals, and the server answers the next one."""

import gzip
import json

import pytest

BODIES = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text": b'"x"',
    "deep list": b'{"user":' + b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "not a number": b'{"n": NaN}',
    "infinity": b'{"n": -Infinity}',
    "huge float": b'{"n": 1e999}',
    "large float": b'{"n": 1e308}',
    "long integer": b'{"n": ' + b"9" * 200_000 + b"}",
    "lone surrogate": b'{"user": "\\ud800"}',
    "surrogates in turn": b'{"user": "\\udc00\\ud800"}',
    "not UTF-8": b'{"user": "\xff\xfe"}',
    "UTF-16": '{"user": "17"}'.encode("utf-16"),
    "zero byte": b'{"user": "a\\u0000"}',
    "prototype": b'{"__proto__": {"n": 1}}',
    "class": b'{"__class__": "x", "constructor": {}}',
    "long where": json.dumps({"where": " or ".join(["year > 1"] * 10_000)}).encode(),
    "deep where": json.dumps({"where": "(" * 900 + "year > 1" + ")" * 900}).encode(),
    "code": json.dumps({"where": "__import__('os').system('true')"}).encode(),
    "long query": json.dumps({"query": "x" * 900_000}).encode(),
    "many titles": json.dumps({"history": ["no such film"] * 50_000}).encode(),
    "unknown titles": json.dumps({"history": ["no such film"] * 2_000}).encode(),
    "10 MB": b'{"user": "' + b"x" * 10_000_000 + b'"}',
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["recommend", "events", "items", "explain"])
def test_bodies(site, name, path):
    headers = {"Content-Type": "application/json"}
    answer = site.call("POST", f"/v1/movies/{path}", content=BODIES[name], headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 5_000
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("status", "headers", "content"),
    [
        (415, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, gzip.compress(b" " * 5_000_000)),
        (415, {"Content-Type": "application/x-www-form-urlencoded"}, b"user=17"),
        (415, {}, b"{}"),
        (422, {"Content-Type": "application/json", "X-Timeout-Ms": "soon"}, b"{}"),
    ],
)
def test_headers(site, status, headers, content):
    site.refused(status, "POST", "/v1/movies/recommend", content=content, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/movies", 404),
        ("GET", "/v1/movies/recommend/", 404),
        ("POST", "/v1/..%2fmovies/recommend", 404),
        ("TRACE", "/v1/movies/recommend", 405),
        ("PUT", "/v1/movies/events", 405),
        ("GET", "/v1/movies/items/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/v1/movies/lists/'%20or%201=1--", 404),
        ("GET", "/v1/movies/users/" + "u" * 5_000, 422),
        ("GET", "/v1/movies/recommend?n=99999999999999999999999", 422),
        ("GET", "/v1/movies/events?user=%00", 422),
        ("GET", "/v1/movies/events?user=17&before=0", 422),
        ("DELETE", "/v1/keys/%00", 422),
    ],
)
def test_paths(site, method, path, status):
    problem = site.refused(status, method, path)
    assert problem["detail"]


def test_numbers_that_are_not_json_are_in_no_event(site):
    body = b'{"events": [{"user": "nan", "item": "12", "rating": NaN}, {"user": "nan", "item": "13"}]}'
    site.refused(400, "POST", "/v1/movies/events", content=body, headers={"Content-Type": "application/json"})
    site.refused(404, "GET", "/v1/movies/users/nan")


def test_an_error_that_was_not_expected_shows_nothing_of_itself(site, monkeypatch, caplog):
    domain = site.service.domain("movies")

    async def fail(*_, **__):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(domain.questions, "similar", fail)
    problem = site.refused(500, "GET", "/v1/movies/items/12/similar")
    assert "secret" not in json.dumps(problem)
    assert problem["request_id"] in problem["detail"]
    assert "ZeroDivisionError" in caplog.text


def test_requests_have_the_id_that_the_client_gives(site):
    given = site.call("GET", "/v1/domains", headers={"X-Request-Id": "trace-7"})
    assert given.headers["x-request-id"] == "trace-7"
    for odd in ("a b", "x" * 500, "<script>"):
        assert site.call("GET", "/v1/domains", headers={"X-Request-Id": odd}).headers["x-request-id"] != odd
