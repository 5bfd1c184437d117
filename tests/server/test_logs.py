"""Logs of the server: JSON lines, request ids, and no secrets."""

import asyncio
import io
import json
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre_gen.server import logs
from genre_gen.server.logs import (
    REQUEST_ID,
    GatheringHandler,
    JsonFormatter,
    RequestLog,
    new_request_id,
    redacted,
    set_up_logs,
)

KEY = "gk_abcd1234_" + "s3cr3t-" * 6 + "x"
TOKEN = "gs_" + "QmFzZTY0-_" * 8
SECRETS = (KEY.split("_", 2)[2], TOKEN[3:], "hunter2")
TEXTS = [
    f"key {KEY} was refused",
    f"GET /v1/movies/stream?user=1&token={TOKEN}&n=3",
    f"Authorization: Bearer {KEY}",
    "authorization: basic hunter2",
    f"{{'X-API-Key': '{KEY}'}}",
    "x-api-key=hunter2",
    "cannot connect to postgresql+psycopg://genre:hunter2@localhost/genre",
    "password = 'hunter2'",
    '{"token": "hunter2"}',
]


@pytest.mark.parametrize("text", TEXTS)
def test_secrets_are_hidden_in_every_form(text):
    cleaned = redacted(text)
    assert not any(secret in cleaned for secret in SECRETS), cleaned
    assert redacted(cleaned) == cleaned


def test_the_prefix_of_a_key_stays_since_it_says_which_key_it_was():
    assert redacted(f"key {KEY} was refused") == "key gk_abcd1234_… was refused"


def test_texts_without_secrets_stay_as_they_are():
    for text in ("12 tokens of 300", "the key of a user", "http://127.0.0.1:8000/v1", "a secret is missing"):
        assert redacted(text) == text


@pytest.fixture
def stream():
    # A logger of its own: what pytest captures of others must be text that workers can send, and surrogates are not.
    logger, stream = logging.Logger("genre_gen.server.test", logging.DEBUG), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    return logger, stream


def test_a_line_is_one_json_object_without_secrets(stream):
    logger, written = stream
    logger.warning("key %s, title %s", KEY, "two\nlines \x1b[31m red \ud800")
    logger.info("request", extra={"fields": {"route": "/v1/{domain}", "given": [KEY, {"token": f"token={TOKEN}"}]}})
    try:
        raise ValueError(f"no such key {KEY}")
    except ValueError:
        logger.exception("failed")
    lines = written.getvalue().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["level"] for entry in entries] == ["warning", "info", "error"]
    assert written.getvalue().isascii()
    assert "\x1b" not in written.getvalue()
    assert not any(secret in written.getvalue() for secret in SECRETS)
    assert entries[1]["route"] == "/v1/{domain}"
    assert "Traceback" in entries[2]["error"]


def test_arguments_that_do_not_fit_are_left_out():
    record = logging.LogRecord("x", logging.INFO, "file.py", 1, "%d films", (KEY,), None)
    assert json.loads(JsonFormatter().format(record))["message"] == "%d films"


@given(st.text(max_size=80))
def test_no_text_around_a_key_reveals_it(text):
    assert SECRETS[0] not in redacted(f"{text}{KEY}{text}")


def test_request_ids_of_clients_are_kept_if_they_are_short_and_plain():
    assert new_request_id("abc-1.2_3") == "abc-1.2_3"
    for odd in (None, "", "a b", "x" * 65, "é", "a\nb", "-x", '"'):
        assert new_request_id(odd) not in {odd, ""}
    assert new_request_id() != new_request_id()


def ask(app, headers=()):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/v1/movies/196", "headers": list(headers)}
    asyncio.run(app(scope, receive, send))
    return sent, scope


def answering(status=200, content=b"application/json"):
    async def app(scope, receive, send):
        scope["route"] = type("Route", (), {"path": "/v1/{domain}/{user}"})()
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", content)]})
        await send({"type": "http.response.body", "body": REQUEST_ID.get().encode()})

    return app


def test_each_answer_has_the_id_that_its_log_line_has(caplog):
    counted = []
    with caplog.at_level(logging.INFO, "genre_gen.server"):
        sent, scope = ask(RequestLog(answering(), lambda *seen: counted.append(seen)), [(b"x-request-id", b"mine-1")])
    assert (b"x-request-id", b"mine-1") in sent[0]["headers"]
    assert sent[1]["body"] == b"mine-1"
    assert scope["state"]["request_id"] == "mine-1"
    assert REQUEST_ID.get() is None
    (record,) = caplog.records
    assert record.fields["route"] == "/v1/{domain}/{user}"
    assert "196" not in json.dumps(record.fields | {"milliseconds": 0})
    ((route, method, status, seconds),) = counted
    assert (route, method, status) == ("/v1/{domain}/{user}", "GET", 200)
    assert seconds >= 0


def test_the_time_of_a_stream_is_not_counted():
    counted = []
    ask(RequestLog(answering(content=b"text/event-stream; charset=utf-8"), lambda *seen: counted.append(seen)))
    assert counted[0][3] is None


def test_an_app_that_fails_answers_500_with_the_id_and_without_the_reason(caplog):
    async def app(scope, receive, send):
        raise RuntimeError("film 12 broke it")

    sent, _ = ask(RequestLog(app), [(b"x-request-id", b"r1")])
    assert sent[0]["status"] == 500
    problem = json.loads(sent[1]["body"])
    assert problem["request_id"] == "r1"
    assert "film 12" not in problem["detail"]
    assert "film 12" in caplog.text


def test_a_client_that_left_is_counted_as_such():
    counted = []

    async def app(scope, receive, send):
        return

    ask(RequestLog(app, lambda *seen: counted.append(seen)))
    assert counted[0][:3] == ("unmatched", "GET", 499)


def test_the_whole_process_logs_json_to_stderr(capsys):
    loggers = [logging.getLogger(), logging.getLogger("genre_gen")]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    try:
        set_up_logs()
        logging.getLogger("genre_gen.live").info("ready")
        logging.getLogger("uvicorn.error").info("left out")
        logging.getLogger("uvicorn.error").error("key %s", KEY)
    finally:
        for logger, handlers, level in before:
            logger.handlers[:], _ = handlers, logger.setLevel(level)
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["message"], second["message"]) == ("ready", "key gk_abcd1234_…")


class Slow(io.StringIO):
    """Counts how often it is written."""

    times = 0

    def write(self, text):
        self.times += 1
        return super().write(text)


def gathering(stream):
    logger, handler = logging.Logger("gathering"), GatheringHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    return logger, handler


def test_lines_are_written_together_and_warnings_at_once():
    stream = Slow()
    logger, handler = gathering(stream)
    for number in range(50):
        logger.info("line %d", number)
    logger.warning("now")
    told = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert told == [*(f"line {number}" for number in range(50)), "now"]
    assert stream.times < 50
    logger.info("last")
    handler.flush()
    assert json.loads(stream.getvalue().splitlines()[-1])["message"] == "last"


def test_lines_are_written_without_a_warning_too():
    stream = io.StringIO()
    logger, _ = gathering(stream)
    logger.info("alone")
    limit = time.monotonic() + 20
    while not stream.getvalue() and time.monotonic() < limit:
        time.sleep(0.01)
    assert "alone" in stream.getvalue()


def test_a_stream_that_takes_nothing_costs_the_oldest_lines(monkeypatch):
    monkeypatch.setattr(logs, "_MOST_LINES", 3)
    stream = io.StringIO()
    logger, handler = gathering(stream)
    with handler._writing:  # as if the stream did not return
        for number in range(5):
            logger.info("line %d", number)
    handler.flush()
    told = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert told[:3] == ["line 2", "line 3", "line 4"]
    assert "2 lines dropped" in told[-1]
