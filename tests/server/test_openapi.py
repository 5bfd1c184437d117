"""The documentation: complete, with examples that work, and true of what the server does."""

import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from served import serve

from eval.live.schema_fuzz import not_checked
from genre_gen.server.openapi import EXAMPLES

ORDER = ["PUT", "POST", "GET", "PATCH", "DELETE"]
"""So that what an example reads was made by another."""


@pytest.fixture(scope="module")
def documented(tiny_recommender, tmp_path_factory):
    """Return a served sample in which the list and the key of the examples exist."""
    with serve(tiny_recommender, tmp_path_factory.mktemp("documented"), rate=1e6, burst=10**6) as site:
        answer = site.recommend("17", 5)
        domain = site.service.domain("movies")
        kept = domain.lists._recent[answer["id"]]
        domain.lists._recent[EXAMPLES["list"]] = replace(kept, id=EXAMPLES["list"])
        yield site


def operations(site):
    for path, methods in site.ok("GET", "/openapi.json")["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_operation_is_described(documented):
    names = set()
    for method, path, operation in operations(documented):
        assert operation["summary"], path
        assert operation["operationId"] not in names
        names.add(operation["operationId"])
        for parameter in operation.get("parameters", ()):
            assert parameter["in"] != "path" or parameter["example"], path
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content, path
        if operation.get("x-role"):
            assert {"401", "403", "429"} <= operation["responses"].keys(), (method, path)


def test_every_example_works(documented):
    tried = 0
    for method, path, operation in sorted(operations(documented), key=lambda each: ORDER.index(each[0])):
        if path.endswith("/stream"):
            continue  # it does not end; tests of push read it
        named = {each["name"]: each["example"] for each in operation.get("parameters", ()) if "example" in each}
        where = {each["name"]: each["in"] for each in operation.get("parameters", ())}
        if "prefix" in named:
            named["prefix"] = documented.key(role="read").split("_")[1]
        query = {name: value for name, value in named.items() if where[name] == "query"}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        answer = documented.call(method, path.format(**named), body, params=query)
        assert 200 <= answer.status_code < 300, (method, path, answer.text)
        assert str(answer.status_code) in operation["responses"], (method, path)
        tried += 1
    assert tried > 25


def test_the_page_loads_nothing(documented):
    answer = documented.client.get("/docs")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for outside in ("<script", "src=", "@import", "url(", "http://", "https://"):
        assert outside not in answer.text
    assert answer.text.count("<section>") == len(list(operations(documented)))


def test_the_documentation_can_be_left_out(tiny_recommender, tmp_path):
    with serve(tiny_recommender, tmp_path, docs=False) as site:
        site.refused(404, "GET", "/docs")
        site.refused(404, "GET", "/openapi.json")


@pytest.fixture(scope="module")
def address(documented):
    """Serve the sample over a socket, for a client that sends what no library lets through."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(documented.client.app, port=port, log_config=None, lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


FEW = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_server_does_what_the_documentation_says(address, documented):
    """Made-up requests, valid and invalid: statuses, types and values of the answers are those of the documentation."""
    documentation = schemathesis.openapi.from_url(f"{address}/openapi.json").exclude(path_regex="/stream$")
    headers = {"Authorization": f"Bearer {documented.keys['admin']}"}
    statuses: Counter[int] = Counter()
    wrong: list[BaseException] = []
    for found in documentation.get_all_operations():
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @FEW
            @given(case=found.ok().as_strategy(generation_mode=mode))
            def check(case):
                positive = case.meta.generation.mode is GenerationMode.POSITIVE
                if positive and "domain" in (case.path_parameters or {}):
                    case.path_parameters["domain"] = "movies"
                answer = case.call(headers=headers)
                statuses[answer.status_code] += 1
                try:
                    case.validate_response(answer, excluded_checks=not_checked(case.operation.path))
                except BaseExceptionGroup as problems:
                    wrong.extend(problems.exceptions)

            with suppress(Unsatisfiable):  # without parameters and a body, nothing is invalid
                check()
    assert not wrong, "\n".join(map(str, wrong[:10]))
    assert not statuses[500]
    assert sum(statuses.values()) > 60
