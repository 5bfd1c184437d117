"""The load generator, against a server of which the right figures are known."""

import asyncio
import json
import threading

import numpy as np
import pytest

from eval.live import client
from eval.live.api import Api, event, listed
from eval.live.client import Call, Plan, fire, poisson, quantiles, send
from eval.live.streams import message
from genre_gen.errors import UsageError


class Answering(asyncio.Protocol):
    """Answers after the milliseconds that the path says; /drop closes, /busy refuses, /never does not answer."""

    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            path = head.split(b" ")[1].decode().strip("/")
            if path == "drop":
                self.transport.close()
            elif path == "stream":
                self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                block = b"retry: 5\n\nid: g-1.7\nevent: new\ndata: {}\n\n:alive\n\nid: g-1.9\nda"
                for part in (block, b"ta: {}\n\n"):
                    self.transport.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            elif path != "never":
                code, wait = ("503 Busy", 0) if path == "busy" else ("200 OK", int(path) / 1000)
                answer = f"HTTP/1.1 {code}\r\nContent-Length: {len(path)}\r\n\r\n{path}".encode()
                asyncio.get_running_loop().call_later(wait, self.transport.write, answer)


@pytest.fixture(scope="module")
def port():
    """Return the port of such a server."""
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def serve():
        server = await loop.create_server(Answering, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    ports = []
    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield ports[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def calls(port, *paths, gap=0.01):
    api = Api(port)
    return [Call(gap * place, path, api.raw("GET", f"/{path}")) for place, path in enumerate(paths)]


def test_each_request_is_counted_as_what_came_of_it(port):
    paths = ["0", "busy", "drop", "never", "0"]
    outcome = send(Plan(port, calls(port, *paths), timeout=0.4, keep=frozenset({"0"})))
    assert outcome.status.tolist() == [200, 503, 0, -1, 200]
    assert np.isfinite(outcome.latencies("0")).all()
    for kind in ("busy", "drop", "never"):
        assert np.isinf(outcome.latencies(kind)).all()
    assert outcome.bodies == {0: b"0", 4: b"0"}
    assert outcome.summary("busy")["statuses"] == {"503": 1}


def test_latency_counts_from_the_intended_moment(port):
    # With one connection, the second request waits for the first: a closed loop would not count that.
    outcome = send(Plan(port, calls(port, "200", "0", gap=0.0), connections=1))
    assert outcome.latencies("0")[0] >= 0.2
    assert outcome.sent[1] - outcome.intended[1] >= 0.2
    assert outcome.summary("0")["sent_late_ms"]["max"] >= 200


def test_requests_do_not_wait_for_earlier_ones(port):
    outcome = send(Plan(port, calls(port, "400", "0", gap=0.0), connections=2))
    assert outcome.done[1] < outcome.done[0]


def test_requests_that_wait_for_a_connection_end_in_time(port):
    outcome = send(Plan(port, calls(port, "never", "0", "0", gap=0.0), connections=1, timeout=0.2))
    assert outcome.status[0] == -1
    assert len(outcome.status) == 3  # and it ended


def test_a_server_that_is_not_there_is_a_failure():
    outcome = send(Plan(1, calls(1, "0", "0")))
    assert outcome.status.tolist() == [0, 0]
    assert np.isinf(outcome.latencies("0")).all()


def test_it_runs_in_a_process_of_its_own(port):
    outcome = fire(Plan(port, calls(port, "0", "0")))
    assert outcome.status.tolist() == [200, 200]
    assert 0 < outcome.generator < 5
    assert outcome.seconds > 0


def test_streams_are_read_meanwhile(port):
    plan = Plan(port, calls(port, "0"), streams=[Api(port).raw("GET", "/stream")] * 2, settle=0.1)
    outcome = send(plan)
    assert [[(heard.seq, heard.event) for heard in stream] for stream in outcome.streams] == [[(7, "new"), (9, "")]] * 2
    assert outcome.lost == 0


def test_a_block_of_a_stream_is_a_message():
    heard = message(1.5, b"id: g-a.2.88\ndata: one\ndata:two")
    assert (heard.at, heard.seq, heard.data) == (1.5, 88, "one\ntwo")
    assert message(0.0, b"data: x").seq == -1


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        (Plan(1, [], host="example.org"), "this machine only"),
        (Plan(1, [Call(2, "a", b""), Call(1, "a", b"")]), r"moments from|not in order"),
        (Plan(1, [Call(0, "a", b""), Call(2, "a", b""), Call(1, "a", b""), Call(3, "a", b"")]), "not in order"),
        (Plan(1, [Call(client.MOST_SECONDS + 1, "a", b"")]), "give moments from 0 to"),
    ],
)
def test_load_is_bounded_and_for_this_machine(plan, named):
    with pytest.raises(UsageError, match=named):
        fire(plan)


def test_failures_move_the_quantiles():
    values = np.array([1.0] * 98 + [np.inf] * 2)
    found = quantiles(values)
    assert found["p50"] == 1
    assert found["p90"] == 1
    assert found["p99"] == np.inf
    assert quantiles(np.array([])) == dict.fromkeys(found, np.inf)


def test_moments_are_a_poisson_process():
    moments = poisson(np.random.default_rng(0), 500, 100)
    assert len(moments) == pytest.approx(50_000, rel=0.03)
    gaps = np.diff(moments)
    assert (gaps >= 0).all()
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)  # as an exponential distribution has


def test_requests_are_whole():
    api = Api(80, "my films", "gk_1")
    data = api.raw("POST", api.path("items", "a/b"), {"a": 1}, X_Timeout_Ms="5")
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/my%20films/items/a%2Fb HTTP/1.1\r\n")
    assert b"Authorization: Bearer gk_1" in head
    assert b"X-Timeout-Ms: 5" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body) == {"a": 1}
    assert event("e", "u", "i", rating=4, at=2.0) == {
        "event_id": "e", "user": "u", "item": "i", "type": "rating", "rating": 4, "at": 2.0
    }  # fmt: skip
    assert listed(b'{"items": [{"item": "a", "score": 2}]}') == (["a"], [2])
