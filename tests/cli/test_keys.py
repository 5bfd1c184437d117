"""The commands for keys, through a running server; tests/server/test_run.py has those in a store."""

import json

import pytest

from tests.cli.fake_server import answering
from tests.cli.outcomes import refused

ROW = {
    "prefix": "abcd1234", "role": "read", "domains": ["movies"], "label": "shop", "created": "2026-12-01T10:00:00.000Z",
    "expires": None, "revoked": None, "last_used": None, "rate": None, "burst": None,
}  # fmt: skip
SECRET = "gk_abcd1234_" + "y" * 43


def keys_of(method, path, content, headers):
    match method, path:
        case "POST", "/v1/keys":
            return 201, {**ROW, "role": content["role"], "domains": content["domains"], "key": SECRET}
        case "GET", "/v1/keys":
            return 200, {"keys": [ROW, {**ROW, "domains": None, "revoked": "2026-12-02", "label": ""}]}
        case "DELETE", "/v1/keys/abcd1234":
            return 200, {**ROW, "revoked": "2026-12-02"}
    return 404, {"detail": "no key; GET /v1/keys lists them"}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("GENRE_KEY", "gk_admin")
    with answering(keys_of) as server:
        monkeypatch.setenv("GENRE_URL", server.url)
        yield server


def test_a_new_key_is_alone_on_stdout(genre, server):
    code, out, err = genre("keys", "new", "--role", "ingest", "--domain", "movies", "--days", "30")
    assert (code, out) == (0, SECRET + "\n")
    assert err.splitlines() == [f"keys of the server at {server.url}", "gk_abcd1234  ingest  movies  'shop'"]
    (_, _, content, headers) = server.asked[0]
    assert content == {
        "role": "ingest", "domains": ["movies"], "label": "", "days": 30.0, "rate": None, "burst": None,
    }  # fmt: skip
    assert headers["authorization"] == "Bearer gk_admin"


def test_keys_are_listed_and_revoked(genre, server):
    assert genre("keys", "list")[1].splitlines() == [
        "gk_abcd1234  read  movies  'shop'",
        "gk_abcd1234  read  all domains  revoked 2026-12-02",
    ]
    assert json.loads(genre("keys", "list", "--json")[1])[0] == ROW
    for name in ("abcd1234", "gk_abcd1234", SECRET):
        assert "revoked 2026-12-02" in genre("keys", "revoke", name)[1]
    assert genre("keys", "revoke", "../x")[2].splitlines()[-1] == (
        f"genre-gen: {server.url} refused: no key; GET /v1/keys lists them"
    )
    assert server.asked[-1][1] == "/v1/keys/..%2Fx"


def test_a_server_wants_the_key_of_an_administrator(genre, monkeypatch, server):
    monkeypatch.delenv("GENRE_KEY")
    refused(genre("keys", "list"), 2, "a server wants the key of an administrator", "GENRE_KEY")
    refused(genre("keys", "list", "--url", server.url, "--store", "sqlite:///x"), 2, "give either --url")
