"""Observers: what a server has next to its answers, streams of lists and metrics, attached to an app."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fastapi import FastAPI

from genre_gen.live.engine import Lane
from genre_gen.live.stats import BatchRecord
from genre_gen.server.live_lists import LiveLists
from genre_gen.server.metrics import Metrics, Reading
from genre_gen.server.push import PushHub
from genre_gen.server.routes import metrics as metrics_routes
from genre_gen.server.routes import streams as stream_routes
from genre_gen.server.service import Service
from genre_gen.server.stream_tokens import StreamTokens
from genre_gen.store.secrets import secret


def attach(app: FastAPI, service: Service) -> Metrics:
    """Give an app its streams, stream tokens and metrics; return the metrics, which count its requests too."""
    metrics = Metrics()
    hub = PushHub(LiveLists(service))
    hub.stats.freshness = metrics.freshness
    service.listeners.append(hub)
    app.state.metrics, app.state.push = metrics, hub
    app.state.tokens = StreamTokens(secret(service.database, "streams"))
    service.engine.stats.on_batch = partial(_observe, metrics)
    metrics.watch(lambda: readings(service, hub))
    app.include_router(stream_routes.router)
    app.include_router(metrics_routes.router)
    return metrics


def _observe(metrics: Metrics, batch: BatchRecord) -> None:
    """Observe one batch, on the model's thread."""
    metrics.batch(batch.lane.name.lower(), batch.size)
    for wait in batch.waits:
        metrics.stage("waiting", wait)
    if batch.lane is Lane.SLOW:
        metrics.stage("explain", batch.seconds)
        return
    for stage, seconds in batch.stages.items():
        if stage != "waiting":
            metrics.stage(stage, seconds)


def readings(service: Service, hub: PushHub) -> Iterator[Reading]:
    """Yield what is read when the metrics are asked for: domains, queues, the store, and streams."""
    for name, domain in [*service.domains.items()]:
        view, label = domain.context.view, (("domain", name),)
        items = len(view.state.catalog)
        available = items if view.available is None else int(view.available.sum())
        yield Reading("view_number", "Number of the view, which grows with each change.", view.number, label)
        yield Reading("generation", "1 for the served model.", 1, (*label, ("generation", view.generation)))
        yield Reading("items", "Items of the catalog.", items, label)
        yield Reading("items_available", "Items that may be recommended.", available, label)
        yield Reading("lists_unlogged", "Lists that the store did not take.", domain.lists.unlogged, label, counts=True)
    yield from _engine(service)
    writer = service.database.writer
    yield Reading("store_healthy", "1 if events can be stored.", float(writer.healthy))
    yield Reading("store_waiting_rows", "Rows that wait for the store.", writer.stats.waiting)
    yield Reading("store_commits", "Transactions that were committed.", writer.stats.commits, counts=True)
    yield Reading("store_failed_commits", "Transactions that failed.", writer.stats.failed, counts=True)
    yield Reading("store_rows", "Rows that were written.", writer.stats.rows, counts=True)
    yield Reading("store_seconds", "Seconds spent in transactions.", writer.stats.seconds, counts=True)
    yield Reading("streams", "Open streams.", hub.streams)
    yield Reading("streams_opened", "Streams that were opened.", hub.stats.opened, counts=True)
    yield Reading("streams_refused", "Streams that were refused.", hub.stats.refused, counts=True)
    yield Reading("lists_pushed", "Lists that were made for streams.", hub.stats.lists, counts=True)
    yield Reading("pushes_failed", "Lists that could not be made for streams.", hub.stats.failed, counts=True)
    yield Reading("pushes_coalesced", "Changes that came to a list with others.", hub.stats.coalesced, counts=True)


def _engine(service: Service) -> Iterator[Reading]:
    engine, stats = service.engine, service.engine.stats
    yield Reading("engine_healthy", "1 if the model's thread works.", float(engine.healthy))
    for lane, waiting in stats.queued.items():
        yield Reading("queue_length", "Requests that wait for the model.", waiting, (("lane", lane.name.lower()),))
    outcomes = ("answered", "failed", "refused", "late", "cancelled", "degraded")
    for outcome in outcomes:
        label = (("outcome", outcome),)
        yield Reading("asks", "Requests to the model by outcome.", getattr(stats, outcome), label, counts=True)
    yield Reading("swaps", "Changes of a view.", stats.swaps, counts=True)
