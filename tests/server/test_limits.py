"""Token buckets let no more through than they may, and bodies are bounded before they are held."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from genre_gen.server.errors import ApiError
from genre_gen.server.limits import TokenBucket, check_content, read_body, timeout_of

PAUSES = st.lists(st.floats(0, 3), max_size=20)
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@UNHURRIED
@given(st.floats(0.1, 50), st.integers(1, 20), PAUSES)
def test_no_more_than_the_burst_and_the_rate_pass(rate, burst, pauses):
    now = 0.0
    bucket = TokenBucket(rate, burst, clock=lambda: now)
    passed = 0
    for pause in pauses:
        now += pause
        passed += bucket.take() == 0.0
    assert passed <= burst + rate * now + 1e-6


@UNHURRIED
@given(st.floats(0.1, 50), st.integers(1, 20))
def test_a_client_that_waits_as_told_passes(rate, burst):
    now = 0.0
    bucket = TokenBucket(rate, burst, clock=lambda: now)
    for _ in range(burst):
        assert bucket.take() == 0.0
    for _ in range(5):
        pause = bucket.take()
        assert pause > 0
        now += pause + 1e-9
        assert bucket.take() == 0.0


def request(parts=(), **headers):
    """Return a request whose body comes in parts, and a list of those that were taken."""
    taken = []
    waiting = list(parts)

    async def receive():
        taken.append(waiting.pop(0) if waiting else b"")
        return {"type": "http.request", "body": taken[-1], "more_body": bool(waiting)}

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": named}, receive), taken


def test_a_body_in_parts_is_read_whole():
    asked, _ = request([b"{", b"", b'"a":1', b"}"])
    assert asyncio.run(read_body(asked, 100)) == b'{"a":1}'
    asked, _ = request([b'{"a":1}'], content_length="7")
    assert asyncio.run(read_body(asked, 100)) == b'{"a":1}'


def test_what_is_too_large_is_not_read_to_its_end():
    asked, taken = request([b"x" * 60] * 50)
    with pytest.raises(ApiError) as problem:
        asyncio.run(read_body(asked, 100))
    assert (problem.value.status, len(taken)) == (413, 2)
    asked, taken = request([b"x" * 60] * 50, content_length="3000")
    with pytest.raises(ApiError) as problem:
        asyncio.run(read_body(asked, 100))
    assert (problem.value.status, len(taken)) == (413, 0)


@pytest.mark.parametrize("length", ["-1", "1e9", "x", "9" * 5000])
def test_a_length_that_is_not_a_number_is_refused(length):
    asked, taken = request([b"x"], content_length=length)
    with pytest.raises(ApiError):
        asyncio.run(read_body(asked, 100))
    assert not taken


@pytest.mark.parametrize(
    ("headers", "fits"),
    [
        ({"content_type": "application/json"}, True),
        ({"content_type": "Application/JSON; charset=UTF-8"}, True),
        ({"content_type": "application/json", "content_encoding": "identity"}, True),
        ({"content_type": "application/json; charset=latin-1"}, False),
        ({"content_type": "text/plain"}, False),
        ({"content_type": "application/json-seq"}, False),
        ({}, False),
        ({"content_type": "application/json", "content_encoding": "gzip"}, False),
    ],
)
def test_only_plain_json_is_read(headers, fits):
    asked, _ = request([b"{}"], **headers)
    if fits:
        check_content(asked)
    else:
        with pytest.raises(ApiError, match="send"):
            check_content(asked)


@pytest.mark.parametrize("given", ["0", "-5", "1.5", "ten", "60001", "9" * 5000, ""])
def test_a_deadline_that_is_not_one_is_refused(given):
    asked, _ = request(x_timeout_ms=given)
    with pytest.raises(ApiError, match="1 to 60000"):
        timeout_of(asked, 1000, 60_000)


def test_a_deadline_is_taken_or_the_usual_one():
    assert timeout_of(request(x_timeout_ms="250")[0], 1000, 60_000) == 0.25
    assert timeout_of(request()[0], 1000, 60_000) == 1.0
