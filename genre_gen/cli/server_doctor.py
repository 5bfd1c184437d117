"""What a running server says of itself, and what is wrong with it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from genre_gen.cli.api_client import KEY_VARIABLE, Api, NoServerError, Reply

_SKEW = 60.0  # seconds by which clocks may differ
_MEGABYTE = 1e6
_OK, _UNAUTHORIZED = 200, 401
_SHOWN = {
    "process_resident_memory_bytes": "memory",
    "genre_streams": "open streams",
    "genre_queue_length": "waiting requests",
}


@dataclass(frozen=True)
class ServerDiagnosis:
    """What :func:`examine_server` found.

    Attributes:
        rows: names and values, in the order in which they are shown.
        problems: what is wrong, with the remedy.
    """

    rows: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> str:
        """Return the diagnosis as JSON."""
        return json.dumps(asdict(self) | {"rows": dict(self.rows)}, indent=2)

    def table(self) -> str:
        """Return the diagnosis as text, a line for each finding, and last what is wrong."""
        width = max((len(name) for name, _ in self.rows), default=0)
        verdict = [f"! {problem}" for problem in self.problems] or ["Nothing is wrong."]
        return "\n".join([*(f"{name:{width}}  {value}" for name, value in self.rows), "", *verdict])


def examine_server(url: str, key: str | None = None) -> ServerDiagnosis:
    """Ask a server how it is; with a key, also for its domains and metrics.

    Raises:
        UsageError: an address that is not one.
    """
    api = Api(url, key)
    begun = time.perf_counter()
    try:
        live = api.send("GET", "/health/live")
    except NoServerError as problem:
        return ServerDiagnosis((("server", f"{api.url}: no answer"),), (str(problem),))
    took = (time.perf_counter() - begun) * 1000
    ready = api.send("GET", "/health/ready")
    rows = [("server", f"{api.url} answers in {took:.0f} ms"), ("ready", _ready(ready))]
    problems = [*_problems(api, live, ready)]
    if key is not None:
        found, wrong = _with_key(api)
        rows += found
        problems += wrong
    else:
        rows.append(("key", f"none given, so domains and metrics are not asked for: {KEY_VARIABLE} or --key"))
    api.close()
    return ServerDiagnosis(tuple(rows), tuple(problems))


def _ready(reply: Reply) -> str:
    content = reply.content
    told = content.get("detail") or content.get("status") if isinstance(content, dict) else None
    return str(told or ("yes" if reply.status == _OK else f"no, status {reply.status}"))


def _problems(api: Api, live: Reply, ready: Reply) -> Iterator[str]:
    if live.status != _OK:
        yield f"{api.url}/health/live answers {live.status}: is this a GENRE server? Give its address as --server."
    elif ready.status != _OK:
        yield f"It is not ready: {_ready(ready)}. Wait if it has just started, else read its log."
    if api.in_the_clear:
        yield "Keys cross the network without encryption: put a proxy with TLS in front, and give its https address."
    try:
        skew = parsedate_to_datetime(live.headers["date"]).timestamp() - time.time()
    except (KeyError, ValueError):
        return
    if abs(skew) > _SKEW:
        yield f"Its clock is {skew:+.0f} seconds off this machine's: synchronise both, since events have times."


def _with_key(api: Api) -> tuple[list[tuple[str, str]], list[str]]:
    """Return what the domains and metrics tell."""
    domains = api.send("GET", "/v1/domains")
    if domains.status == _UNAUTHORIZED:
        return [], [f"It refuses the key: make another (`genre-gen keys new`), or correct {KEY_VARIABLE}."]
    rows = [(f"domain {domain['domain']}", _domain(domain)) for domain in (domains.content or {}).get("domains", [])]
    problems = []
    metrics = api.send("GET", "/metrics")
    if metrics.status == _OK:
        values = _metrics(metrics.body.decode())
        for name, label in _SHOWN.items():
            if name in values:
                value = values[name]
                rows.append((label, f"{value / _MEGABYTE:,.0f} MB" if name.endswith("bytes") else f"{value:,.0f}"))
        if values.get("genre_store_healthy") == 0:
            problems.append("Its store cannot be written, so events are refused: look for a full disk, read its log.")
    return rows, problems


def _domain(domain: dict[str, Any]) -> str:
    return f"{domain['generation']}, {domain['available']:,} of {domain['items']:,} items available"


def _metrics(text: str) -> dict[str, float]:
    """Return the sum of each metric over its labels."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            values[name] = values.get(name, 0.0) + float(value)
    return values
