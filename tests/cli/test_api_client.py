"""The client of the commands: patience with a busy server, errors with the remedy, and one connection."""

import pytest

from genre_gen.cli.api_client import Api, NoServerError, RefusedError, given_key, given_url
from genre_gen.errors import UsageError
from tests.cli.fake_server import answering


def test_the_key_is_sent_and_the_answer_is_json():
    with answering(lambda *_: (200, {"films": [1, 2]})) as server:
        api = Api(server.url + "/", "gk_key")
        assert api.ask("POST", "/v1/movies/events", {"a": "é"}) == {"films": [1, 2]}
        assert api.ask("GET", "/v1/domains") == {"films": [1, 2]}
    (method, path, content, headers), (_, _, nothing, _) = server.asked
    assert (method, path, content, nothing) == ("POST", "/v1/movies/events", {"a": "é"}, None)
    assert headers["authorization"] == "Bearer gk_key"


def test_a_busy_server_is_asked_again_after_the_time_that_it_names():
    answers = [(503, {}, {"Retry-After": "3"}), (429, {}, {"Retry-After": "soon"}), (503, {}, {}), (200, {"done": 1})]
    waited, told = [], []
    with answering(lambda *_: answers.pop(0)) as server:
        api = Api(server.url, on_pause=told.append, sleep=waited.append)
        assert api.ask("POST", "/x", {}, patient=True) == {"done": 1}
    assert waited == told == [3.0, 1.0, 1.0]


def test_an_error_of_the_server_is_told_with_its_remedy():
    problem = {"detail": "no domain 'x'; GET /v1/domains lists those that the key opens"}
    with answering(lambda *_: (404, problem)) as server, pytest.raises(RefusedError, match="GET /v1/domains") as error:
        Api(server.url).ask("GET", "/v1/x", patient=True)
    assert error.value.status == 404
    with answering(lambda *_: (401, {"detail": "no key"})) as server, pytest.raises(RefusedError, match="GENRE_KEY"):
        Api(server.url).ask("GET", "/v1/x")
    with answering(lambda *_: (404, b"<h1>nginx</h1>")) as server, pytest.raises(RefusedError, match="a GENRE server"):
        Api(server.url).ask("GET", "/v1/x")


def test_a_kept_connection_that_the_server_closed_is_opened_again():
    answers = [(200, 1, {"Connection": "close"}), (200, 2)]
    with answering(lambda *_: answers.pop(0)) as server:
        api = Api(server.url)
        assert [api.ask("GET", "/"), api.ask("GET", "/")] == [1, 2]


def test_without_a_server_the_error_says_how_to_start_one():
    with answering(lambda *_: (200, {})) as server:
        pass
    with pytest.raises(NoServerError, match=r"no server answers at .*genre-gen serve"):
        Api(server.url).ask("GET", "/")


@pytest.mark.parametrize("url", ["", "movies", "ftp://x", "http://", "http://h:port", "http://h/?a=1", "file:///etc"])
def test_other_text_than_an_address_is_refused(url):
    with pytest.raises(UsageError, match="is not the address of a server"):
        Api(url)


def test_a_key_with_a_line_break_is_refused():
    with pytest.raises(UsageError, match="copy it again"):
        Api("http://127.0.0.1", "gk_a\r\nX: y")


def test_keys_cross_a_network_in_the_clear_only_without_tls():
    urls = {"http://127.0.0.1:8000": False, "http://localhost": False, "https://a.org": False, "http://a.org": True}
    assert {url: Api(url).in_the_clear for url in urls} == urls


def test_address_and_key_may_be_in_variables(monkeypatch):
    monkeypatch.delenv("GENRE_URL", raising=False)
    monkeypatch.setenv("GENRE_KEY", "gk_1")
    assert (given_url(None), given_key(None), given_key("gk_2")) == (None, "gk_1", "gk_2")
