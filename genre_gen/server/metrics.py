"""Metrics in the text format of Prometheus, in a registry of their own for each app.

Labels are routes, statuses, domains, lanes and stages: names that the server knows beforehand, never ids or keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


@dataclass(frozen=True)
class Reading:
    """A value that is read when the metrics are asked for.

    Attributes:
        name: without the prefix ``genre_``.
        about: what it measures, with its unit.
        value: now.
        labels: names and values.
        counts: whether it only grows.
    """

    name: str
    about: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    counts: bool = False


class Metrics:
    """Counters and histograms of one server; safe to use from all threads."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "genre_requests", "Requests by route, method and status.", ["route", "method", "status"], registry=registry
        )
        self._latency = Histogram(
            "genre_request_seconds", "From the first byte to the last, without streams.", ["route"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._stages = Histogram(
            "genre_stage_seconds", "Time by stage of the work.", ["stage"], buckets=_SECONDS, registry=registry
        )
        self._batches = Histogram(
            "genre_batch_size", "Requests in a batch of the model.", ["lane"], buckets=_SIZES, registry=registry
        )
        self._events = Counter(
            "genre_events", "Events by outcome: accepted, duplicate, updated, rejected.", ["domain", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._freshness = Histogram(
            "genre_freshness_seconds", "From an acknowledged change until its list is pushed.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        ProcessCollector(registry=registry)

    def request(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count a request; ``seconds`` is None for a stream, whose length means nothing."""
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        if seconds is not None:
            self._latency.labels(route).observe(seconds)

    def stage(self, stage: str, seconds: float) -> None:
        """Observe how long a stage took, such as ``wait``, ``model``, ``explain`` or ``store``."""
        self._stages.labels(stage).observe(seconds)

    def batch(self, lane: str, size: int) -> None:
        """Observe the size of a batch."""
        self._batches.labels(lane).observe(size)

    def events(self, domain: str, **outcomes: int) -> None:
        """Count events by outcome."""
        for outcome, count in outcomes.items():
            self._events.labels(domain, outcome).inc(count)

    def freshness(self, seconds: float) -> None:
        """Observe the time from a change to its list."""
        self._freshness.observe(seconds)

    def watch(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Read values whenever the metrics are asked for."""
        self._registry.register(_Watched(read))

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._registry)


class _Watched(Collector):
    """Reads values for the registry."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Name nothing beforehand, so that registering reads nothing."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield a family for each name."""
        families: dict[str, Metric] = {}
        for reading in self._read():
            kind = CounterMetricFamily if reading.counts else GaugeMetricFamily
            names, values = [name for name, _ in reading.labels], [value for _, value in reading.labels]
            family = families.setdefault(reading.name, kind(f"genre_{reading.name}", reading.about, labels=names))
            family.add_metric(values, reading.value)  # type: ignore[attr-defined]
        yield from families.values()
