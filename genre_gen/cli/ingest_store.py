"""Events of a log, written into a store that no server has open."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from genre_gen.cli.ingest import Event, Ingested, Progress, batches
from genre_gen.cli.options import tell
from genre_gen.data.normal_form import composed
from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.live.events import LiveEvent, check_event
from genre_gen.live.kinds import Kinds
from genre_gen.server.settings import ServerSettings
from genre_gen.store.database import Database
from genre_gen.store.events import EventLog


def into_store(
    url: str | None, domain: Domain, events: Iterable[Event], ingested: Ingested, progress: Progress
) -> None:
    """Store events; those on items that the catalog lacks count when the item exists.

    Args:
        url: of the store; None for the usual one.
        domain: of the events.
        events: as the server takes them.
        ingested: counts them.
        progress: is told of each batch.

    Raises:
        StoreError: the store cannot be opened or written, or a server has it; then its address is needed.
    """
    place = url or ServerSettings().store
    database = Database.open(place)
    tell(f"into the store {place}, which no server has open")
    try:
        log, kinds = EventLog(database, domain.name), Kinds(domain)
        for batch in batches(events):
            live = [event for event in (_checked(event, kinds, domain, ingested) for event in batch) if event]
            write: Any = partial(log.add, events=live)
            added = database.writer.submit(write, rows=len(live), wait=True).result()
            ingested.accepted += len(added.stored)
            ingested.duplicates += added.duplicates
            ingested.updated += added.updated
            progress(len(batch))
    finally:
        database.close()


def _checked(event: Event, kinds: Kinds, domain: Domain, ingested: Ingested) -> LiveEvent | None:
    """Return an event to store; None for one that is rejected."""
    now = time.time()
    try:
        live = LiveEvent(
            event["event_id"],
            composed(event["user"]),
            composed(event["item"]),
            event.get("type") or _default(kinds),
            event.get("at", now),
            now,
            event.get("rating"),
        )
        check_event(live, kinds, domain, now)
    except UsageError as problem:
        ingested.reject(str(problem).removeprefix(f"event {event['event_id']!r} "))
        return None
    return live


def _default(kinds: Kinds) -> str:
    if kinds.default is None:
        raise UsageError(f"no kind of event; there are {', '.join(kinds.names)}: name their column in domain.toml")
    return kinds.default
