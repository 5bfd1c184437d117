"""A whole server as a process: start, first key, signals, restart, and what prevents a start."""

import http.client
import json
import logging
import os
import signal
from urllib.parse import urlsplit

import pytest

from genre_gen.cli.api_client import RefusedError
from tests.cli.outcomes import SAMPLE, refused
from tests.server.serving import serving


@pytest.fixture
def genre_in(genre, tmp_path, monkeypatch):
    """Return the command line in a folder of its own, without the variables of a server."""
    monkeypatch.chdir(tmp_path)
    for name in ("GENRE_KEY", "GENRE_URL"):
        monkeypatch.delenv(name, raising=False)
    handlers, level = logging.getLogger().handlers[:], logging.getLogger("genre_gen.server.logs").level
    yield genre
    logging.getLogger().handlers[:] = handlers
    logging.getLogger("genre_gen.server.logs").setLevel(level)


def stream_of(server, user="17", **headers):
    """Open a stream, and return the connection and its answer."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {server.key}", **headers}
    connection.request("GET", f"/v1/movies/stream?user={user}&n=3", headers=headers)
    return connection, connection.getresponse()


def next_list(answer):
    """Read a stream up to its next list: the id and the data."""
    fields = {}
    while (line := answer.readline().decode().rstrip("\n")) or "data" not in fields:  # an empty line ends an event
        name, _, value = line.partition(": ")
        fields[name] = value
    return fields["id"], json.loads(fields["data"])


def test_a_server_starts_pushes_ends_and_keeps_what_it_acknowledged(genre_in, saved, tmp_path):
    with serving("movies", "-m", saved, folder=tmp_path) as server:
        assert server.told[0].startswith("key for administrators, shown this once: gk_")
        api = server.api()
        assert api.ask("GET", "/health/ready") == {"status": "ready"}
        assert len(api.ask("GET", "/v1/movies/recommend?user=17&n=5")["items"]) == 5
        connections = [stream_of(server) for _ in range(3)]
        first = [next_list(answer) for _, answer in connections]
        assert len({ident for ident, _ in first}) == 1
        item = first[0][1]["items"][0]["item"]
        event = {"event_id": "e1", "user": "17", "item": item}
        assert api.ask("POST", "/v1/movies/events", {"events": [event]})["accepted"] == 1
        for _, answer in connections:
            ident, pushed = next_list(answer)
            assert ident.endswith(".1")
            assert pushed["because"] == {"event_id": "e1"}
            assert item not in {pick["item"] for pick in pushed["items"]}
        metrics = api.send("GET", "/metrics").body.decode()
        for line in ('genre_events_total{domain="movies",outcome="accepted"} 1.0', "genre_streams 3.0"):
            assert line in metrics, metrics
        assert genre_in("doctor", "--server", server.url, "--key", server.key)[0] == 0
        refused(genre_in("serve", "movies", "-m", saved, "--port", urlsplit(server.url).port), 2, "give another --port")
        refused(genre_in("serve", "movies", "-m", saved, "--port", 0), 1, "store.db")
        outcome = genre_in("keys", "list")
        assert outcome[0] == 1
        assert "give its address as --url" in outcome[2]
        assert server.stop() == 0
        assert [answer.read() for _, answer in connections] == [b""] * 3
        log = server.log()
    assert server.key not in log
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"/v1/{domain}/recommend", "/v1/{domain}/stream"} <= {line.get("route") for line in lines}
    assert not [line for line in lines if line["level"] == "error"]

    code, out, err = genre_in("keys", "new", "--role", "ingest", "--label", "shop")
    assert code == 0, err
    assert "keys of the store sqlite:///live/store.db, which no server has open" in err
    (tmp_path / "log.csv").write_text(f"user_id,item_id,timestamp\n17,{item},1\nanna,1,2\nanna,999,3\n")
    code, counted, _ = genre_in("ingest", "log.csv", SAMPLE, "--json")
    assert (code, json.loads(counted)["accepted"]) == (0, 3)
    with serving("movies", "-m", saved, "--new-key", folder=tmp_path) as server:
        api = server.api(out.strip())
        again = api.ask("POST", "/v1/movies/events", {"events": [event]})
        assert (again["accepted"], again["duplicates"]) == (0, 1)
        with pytest.raises(RefusedError, match="needs a key of role admin"):
            api.ask("GET", "/v1/keys")
        assert len(server.api().ask("GET", "/v1/keys")["keys"]) == 3
        rows = genre_in("keys", "list", "--url", server.url, "--key", server.key)[1].splitlines()
        assert len(rows) == 3
        assert server.stop(signal.SIGINT) == 0


def test_a_recommender_that_cannot_be_loaded_ends_the_server_with_one_line(genre_in, tmp_path):
    (tmp_path / "runs" / "movies").mkdir(parents=True)
    code, _, err = genre_in("-q", "serve", SAMPLE, "--port", 0)
    assert code == 1
    assert "no manifest.json, so no complete saved folder" in err.splitlines()[-1]


def test_what_prevents_a_start_is_one_line(genre_in, saved, tmp_path, monkeypatch):
    refused(genre_in("serve", "movies"), 2, "runs/movies: no such folder", "genre-gen train movies")
    refused(genre_in("serve", "movies", "books", "-m", saved), 2, "--model is given 1 times for 2 domains")
    refused(genre_in("serve", "movies", "movies", "-m", saved, "-m", saved), 2, "movies is given twice")
    refused(genre_in("serve", "movies", "-m", saved, "--set", "rate=-1"), 2, "setting rate", "there are host, port")
    refused(genre_in("serve", "movies", "-m", saved, "--set", "rate"), 2, "write KEY=VALUE")
    outcome = genre_in("serve", "movies", "-m", saved, "--host", "no.such.host.invalid")
    assert outcome[0] == 2
    assert "put TLS in front" in outcome[2].splitlines()[0]
    assert "not an address" in outcome[2].splitlines()[1]
    monkeypatch.setattr("genre_gen.cli.serve._PACKAGES", ("fastapi", "no_such_package"))
    refused(genre_in("serve", "movies", "-m", saved), 1, "no_such_package", "pip install 'genre-gen[serve]'")
    assert not os.listdir(tmp_path)
