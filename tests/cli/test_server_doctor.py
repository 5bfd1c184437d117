"""``doctor --server``: what a server says of itself, and what is wrong."""

import json
from email.utils import formatdate

import pytest

from genre_gen.cli.server_doctor import examine_server
from tests.cli.fake_server import answering

METRICS = (
    b'# HELP x y\nprocess_resident_memory_bytes 3.2e+08\ngenre_queue_length{lane="fast"} 2.0\n'
    b'genre_queue_length{lane="slow"} 1.0\ngenre_streams 7.0\ngenre_store_healthy 1.0\n'
)
DOMAIN = {"domain": "movies", "generation": "g-1", "view": 3, "items": 1682, "available": 1680}


def server(**changes):
    answers = {
        "/health/live": (200, {"status": "live"}),
        "/health/ready": (200, {"status": "ready"}),
        "/v1/domains": (200, {"domains": [DOMAIN]}),
        "/metrics": (200, METRICS),
    } | {path.replace("_", "/"): answer for path, answer in changes.items()}
    return answering(lambda method, path, content, headers: answers[path])


def test_a_healthy_server_has_no_problems(genre, monkeypatch):
    monkeypatch.delenv("GENRE_KEY", raising=False)
    with server() as running:
        code, out, _ = genre("doctor", "--server", running.url, "--key", "gk_1")
        assert code == 0
        assert genre("doctor", "--server", running.url)[1].count("none given") == 1
    rows = dict(line.split("  ", 1) for line in out.splitlines() if "  " in line)
    assert rows["domain movies"].strip() == "g-1, 1,680 of 1,682 items available"
    assert {name: rows[name].strip() for name in ("memory", "open streams", "waiting requests", "ready")} == {
        "memory": "320 MB", "open streams": "7", "waiting requests": "3", "ready": "ready",
    }  # fmt: skip
    assert out.endswith("Nothing is wrong.\n")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"_health_ready": (503, {"detail": "the events of movies are read"})}, "not ready: the events of movies"),
        ({"_health_live": (404, b"")}, "is this a GENRE server"),
        ({"_health_live": (200, {}, {"Date": formatdate(0)})}, "synchronise both"),
        ({"_v1_domains": (401, {"detail": "no"})}, "refuses the key"),
        ({"_metrics": (200, b"genre_store_healthy 0.0\n")}, "store cannot be written"),
    ],
)
def test_what_is_wrong_is_told_with_the_remedy(changes, told):
    with server(**changes) as running:
        found = examine_server(running.url, "gk_1")
    assert any(told in problem for problem in found.problems), found.problems
    assert not found.healthy


def test_a_server_that_does_not_answer_ends_with_1(genre):
    with server() as running:
        pass
    code, out, _ = genre("doctor", "--server", running.url, "--json")
    assert code == 1
    assert "no server answers" in json.loads(out)["problems"][0]
