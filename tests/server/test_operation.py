"""What every operation has: deadlines, clients that leave, answers that are given once."""

import asyncio
import json
import threading

import pytest

from genre_gen.errors import BusyError


@pytest.fixture
def held(fresh):
    """Return a served sample whose model thread is busy until the test is over."""
    release = threading.Event()
    fresh.service.engine.run("movies", lambda *_: release.wait(30))
    yield fresh
    release.set()


def test_a_request_that_waits_too_long_is_told_so(held):
    answer = held.call("POST", "/v1/movies/recommend", {"user": "17"}, headers={"X-Timeout-Ms": "150"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


def test_a_client_that_leaves_takes_its_request_with_it(held):
    """The engine drops the request before the model reads it, and no task is left."""
    body = json.dumps({"user": "17"}).encode()
    headers = {"authorization": f"Bearer {held.keys['read']}", "content-type": "application/json"}
    scope = {
        "type": "http", "method": "POST", "path": "/v1/movies/recommend", "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    sent = []

    async def leave():
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await asyncio.sleep(0.02)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        before = asyncio.all_tasks()
        await asyncio.gather(*(held.client.app(dict(scope), receive, send) for receive in [receive]))
        await asyncio.sleep(0.02)
        return asyncio.all_tasks() - before

    for _ in range(20):
        assert not held.client.portal.call(leave)
    assert {message["status"] for message in sent if "status" in message} == {499}


def test_a_full_queue_is_told_with_the_time_to_wait(fresh, monkeypatch):
    def full(_):
        raise BusyError("512 requests wait already; try again later", 2.5)

    monkeypatch.setattr(fresh.service.engine, "ask", full)
    answer = fresh.call("POST", "/v1/movies/recommend", {"user": "17"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


def test_a_request_that_is_sent_again_is_answered_once(fresh):
    headers = {"Idempotency-Key": "order-1"}
    body = {"items": [{"item": "once-1", "title": "Once"}]}
    first = fresh.call("POST", "/v1/movies/items", body, headers=headers)
    again = fresh.call("POST", "/v1/movies/items", body, headers=headers)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert fresh.ok("GET", "/v1/movies/items/once-1")["version"] == 1
    other = {"items": [{"item": "once-2", "title": "Twice"}]}
    fresh.refused(422, "POST", "/v1/movies/items", other, headers=headers)
    fresh.ok("POST", "/v1/books/items", other, headers=headers)


def test_a_request_that_failed_may_be_sent_again(fresh):
    headers = {"Idempotency-Key": "order-2"}
    body = {"into": "17"}
    fresh.refused(404, "POST", "/v1/movies/users/late/merge", body, headers=headers)
    fresh.send({"user": "late", "item": "12"})
    assert fresh.ok("POST", "/v1/movies/users/late/merge", body, headers=headers)["events"] == 1
    assert fresh.ok("POST", "/v1/movies/users/late/merge", body, headers=headers)["events"] == 1


def test_the_secret_of_a_key_is_not_kept_for_a_second_answer(fresh):
    headers = {"Idempotency-Key": "key-1"}
    first = fresh.ok("POST", "/v1/keys", {"role": "read"}, headers=headers)
    again = fresh.ok("POST", "/v1/keys", {"role": "read"}, headers=headers)
    assert first["key"]
    assert again == {**first, "key": None}


def test_health_tells_what_is_wrong(fresh, monkeypatch):
    assert fresh.ok("GET", "/health/live") == {"status": "live"}
    assert fresh.ok("GET", "/health/ready") == {"status": "ready"}
    fresh.service.starting = "the events of music are read"
    assert "music" in fresh.refused(503, "GET", "/health/ready")["detail"]
    assert "music" in fresh.refused(503, "POST", "/v1/music/recommend", {})["detail"]
    fresh.service.starting = None
    monkeypatch.setattr(fresh.service.database.writer, "healthy", False)
    assert "store" in fresh.refused(503, "GET", "/health/ready")["detail"]
    assert fresh.ok("GET", "/health/live") == {"status": "live"}
