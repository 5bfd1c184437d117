"""Keys: every operation refuses whoever must not use it, and no key is ever written anywhere."""

import logging
import time
from functools import partial

import pytest
from served import serve

from genre_gen.server.auth import Role

UNUSED = "gk_abcdefgh_" + "A" * 43


@pytest.fixture(scope="module")
def operations(site):
    """Return each operation of the documentation: method, path with example values, role, and an example body."""
    found = []
    for path, methods in site.ok("GET", "/openapi.json")["paths"].items():
        for method, operation in methods.items():
            named = {each["name"]: each.get("example", "x") for each in operation.get("parameters", ())}
            filled = path.format(**named)
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            found.append((method.upper(), filled, operation.get("x-role"), content.get("example")))
    assert len(found) > 20
    return found


def secured(operations):
    return [each for each in operations if each[2] is not None]


def test_every_operation_but_health_needs_a_key(site, operations):
    for method, path, role, body in operations:
        answer = site.client.request(method, path, json=body)
        if role is None and path.startswith("/health"):
            assert answer.status_code == 200
        elif role is not None:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"


WRONG = [
    "Bearer",
    "Bearer ",
    "Bearer gk_",
    f"Bearer {UNUSED}",
    f"Bearer {UNUSED}x",
    f"Basic {UNUSED}",
    "Bearer gk_abcdefgh_" + "\u00e9" * 43,
    "Bearer " + "x" * 5_000,
    "Bearer ' OR 1=1 --",
]


@pytest.mark.parametrize("header", WRONG)
def test_wrong_keys_are_refused(site, header):
    value = header.encode("latin-1")
    for method, path in (("POST", "/v1/movies/recommend"), ("GET", "/v1/keys"), ("GET", "/v1/domains")):
        answer = site.client.request(method, path, headers={"Authorization": value})
        assert answer.status_code == 401
        assert len(answer.content) < 1_000


def test_one_wrong_letter_is_a_wrong_key(site):
    secret = site.keys["admin"]
    for place in (3, 12, len(secret) - 1):
        wrong = secret[:place] + ("A" if secret[place] != "A" else "B") + secret[place + 1 :]
        assert site.client.get("/v1/domains", headers={"X-API-Key": wrong}).status_code == 401
    assert site.client.get("/v1/domains", headers={"X-API-Key": secret}).status_code == 200


def test_every_operation_refuses_lower_roles(site, operations):
    for method, path, role, body in secured(operations):
        for lower in list(Role)[: Role.named(role)]:
            answer = site.call(method, path, body, role=lower.name.lower())
            assert answer.status_code == 403, (method, path, lower)
            assert role in answer.json()["detail"]


def test_every_operation_hides_the_domains_of_others(site, operations):
    """Another tenant's domain looks the same as one that does not exist, whatever the role of the key."""
    for role in ("admin", "read"):
        site.keys[f"books-{role}"] = site.key(role=role, domains=["books"])
    tried = 0
    for method, path, _, body in secured(operations):
        if "/movies/" not in path:
            continue
        for role in ("books-admin", "books-read"):
            hidden = site.call(method, path, body, role=role)
            missing = site.call(method, path.replace("/movies/", "/moovies/"), body, role=role)
            assert (hidden.status_code, missing.status_code) == (404, 404), (method, path)
            told = [{**each.json(), "request_id": ""} for each in (hidden, missing)]
            assert told[0] == {**told[1], "detail": told[1]["detail"].replace("moovies", "movies")}
        tried += 1
    assert tried > 15
    domains = site.ok("GET", "/v1/domains", role="books-admin")["domains"]
    assert [domain["domain"] for domain in domains] == ["books"]
    for method, path, body in (("GET", "/v1/keys", None), ("POST", "/v1/keys", {"role": "admin"})):
        site.refused(403, method, path, body, role="books-admin")


def test_a_revoked_key_opens_nothing_at_once(site):
    site.keys["short"] = site.key(role="read", label="short")
    site.ok("GET", "/v1/domains", role="short")
    prefix = site.keys["short"].split("_")[1]
    assert site.ok("DELETE", f"/v1/keys/{prefix}")["revoked"]
    site.refused(401, "GET", "/v1/domains", role="short")
    site.refused(404, "DELETE", "/v1/keys/nosuchke")
    listed = {key["prefix"]: key for key in site.ok("GET", "/v1/keys")["keys"]}
    assert listed[prefix]["revoked"]
    assert listed[prefix]["label"] == "short"


def test_keys_expire(site, monkeypatch):
    site.keys["brief"] = site.key(role="read", days=1)
    site.ok("GET", "/v1/domains", role="brief")
    now = time.time()
    monkeypatch.setattr("genre_gen.server.auth.time.time", lambda: now + 86_401)
    site.refused(401, "GET", "/v1/domains", role="brief")


def test_keys_outlive_the_server_and_revocations_too(tiny_recommender, tmp_path):
    with serve(tiny_recommender, tmp_path) as site:
        kept, revoked = site.key(role="read"), site.key(role="read")
        site.ok("DELETE", f"/v1/keys/{revoked.split('_')[1]}")
    with serve(tiny_recommender, tmp_path) as site:
        assert site.client.get("/v1/domains", headers={"X-API-Key": kept}).status_code == 200
        assert site.client.get("/v1/domains", headers={"X-API-Key": revoked}).status_code == 401


def test_a_key_that_sends_too_much_is_told_to_wait(site):
    site.keys["slow"] = site.key(role="read", rate=0.01, burst=3)
    for _ in range(3):
        site.ok("GET", "/v1/domains", role="slow")
    answer = site.call("GET", "/v1/domains", role="slow")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 100
    site.ok("GET", "/v1/domains", role="read")


def test_no_key_is_written_anywhere(site, caplog):
    caplog.set_level(logging.DEBUG)
    secret = site.key(role="read", label="watched")
    headers = {"Authorization": f"Bearer {secret}"}
    texts = []
    for method, path, body in (
        ("POST", "/v1/movies/recommend", {"user": "17"}),
        ("POST", "/v1/movies/recommend", {"n": secret}),
        ("POST", "/v1/movies/recommend", {"where": secret}),
        ("GET", "/v1/keys", None),
        ("GET", f"/{secret}", None),
    ):
        answer = site.client.request(method, path, json=body, headers=headers)
        texts.append(str(answer.headers) + (answer.text if body != {"where": secret} else ""))
    hidden = secret.split("_", 2)[2]
    assert hidden not in "".join(texts)
    logged = [record for record in caplog.records if record.name.startswith("genre_gen")]
    assert hidden not in "".join(f"{record.getMessage()} {record.__dict__.get('fields')}" for record in logged)
    store = site.service.settings.store.removeprefix("sqlite:///")
    with open(store, "rb") as file:
        assert hidden.encode() not in file.read()


def test_comparing_keys_takes_the_same_time_for_every_key(monkeypatch, site):
    """Each key is compared by ``compare_digest`` with a digest of the same length, known or not."""
    import hmac

    compared, same = [], hmac.compare_digest

    def compare(first, second):
        compared.append((len(first), len(second)))
        return same(first, second)

    monkeypatch.setattr("genre_gen.server.auth.hmac.compare_digest", compare)
    for secret in (site.keys["read"], site.keys["read"][:-1] + "!", UNUSED, "nonsense"):
        site.client.get("/v1/domains", headers={"X-API-Key": secret})
    assert compared == [(64, 64)] * 4


def test_last_use_is_noted(site):
    site.ok("GET", "/v1/domains", role="read")
    site.service.tidy()
    site.service.database.writer.submit(partial(lambda _: None)).result()
    prefix = site.keys["read"].split("_")[1]
    listed = {key["prefix"]: key for key in site.ok("GET", "/v1/keys")["keys"]}
    assert listed[prefix]["last_used"]
