"""A served sample: the app over a tiny recommender and a store in a temporary folder, and clients with keys."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from genre_gen import Recommender
from genre_gen.server.app import create_app
from genre_gen.server.service import Service
from genre_gen.server.settings import ServerSettings

PATIENT = {"timeout_ms": 60_000, "explain_timeout_ms": 60_000}
"""A test does not fail because the machine is busy."""


@dataclass
class Site:
    """A served sample with a key for each role."""

    service: Service
    client: TestClient
    keys: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, value: Any = None, *, role: str = "admin", **options: Any) -> Any:
        """Send a request with the key of a role; ``value`` is sent as JSON."""
        headers = {"Authorization": f"Bearer {self.keys[role]}", **options.pop("headers", {})}
        if value is not None:
            options["json"] = value
        return self.client.request(method, path, headers=headers, **options)

    def ok(self, method: str, path: str, value: Any = None, **options: Any) -> Any:
        """Send a request that must succeed; return the values of its answer."""
        answer = self.call(method, path, value, **options)
        assert 200 <= answer.status_code < 300, answer.text
        return answer.json()

    def refused(self, status: int, method: str, path: str, value: Any = None, **options: Any) -> Any:
        """Send a request that must be refused with a status; return the problem."""
        answer = self.call(method, path, value, **options)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert problem["request_id"] == answer.headers["x-request-id"]
        return problem

    def recommend(self, user: str | None = "17", n: int = 5, **options: Any) -> Any:
        """Return a list."""
        return self.ok("POST", "/v1/movies/recommend", {"user": user, "n": n, **options})

    def send(self, *events: dict[str, Any]) -> Any:
        """Report events."""
        return self.ok("POST", "/v1/movies/events", {"events": list(events)})

    def key(self, **values: Any) -> str:
        """Return a new key."""
        return str(self.ok("POST", "/v1/keys", values)["key"])


@contextmanager
def serve(recommender: Recommender, folder: Path, **settings: Any) -> Iterator[Site]:
    """Serve a recommender as the domains ``movies`` and ``books``, with a store in a folder."""
    chosen = ServerSettings(store=f"sqlite:///{folder}/store.db", **{**PATIENT, **settings})
    service = Service.start({"movies": recommender.state, "books": recommender.state}, chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = TestClient(create_app(service, chosen), raise_server_exceptions=False)
    with client:
        site = Site(service, client)
        secret, _ = client.portal.call(service.create_key, {"role": "admin"})  # type: ignore[union-attr]
        site.keys["admin"] = secret
        for role in ("read", "ingest", "manage"):
            site.keys[role] = site.key(role=role)
        try:
            yield site
        finally:
            client.portal.call(service.close)  # type: ignore[union-attr]
